"""Whether models can be where a configuration has them, by where their first weights come from."""

from collections.abc import Collection, Mapping

from modelswitch.config.base import check_known
from modelswitch.config.models import ChangedModel, ModelSpec, is_trained
from modelswitch.config.origin import EnsembleModel
from modelswitch.errors import UserError
from modelswitch.lineage import Lineage


def check_steps(
    where: str, lineage: Lineage, models: Mapping[str, ModelSpec], transfers: Collection[str]
) -> None:
    """Raise ValueError for models and transfers that are not there, or not in their place."""
    for step in lineage.steps:
        check_known(where, step.model, models, "model")
        if step.transfer is None:
            first = models[step.model]
            if isinstance(first, ChangedModel):
                raise ValueError(
                    f"{where}: {step.model!r} is {first.family} from the model before it, so it "
                    "cannot be the first of a chain"
                )
            continue
        check_known(where, step.transfer, transfers, "transfer")
        model = models[step.model]
        if isinstance(model, EnsembleModel):
            raise ValueError(
                f"{where}: {step.model!r} is an ensemble, which is never trained, so it can only "
                "be the first of a chain"
            )
        if not is_trained(model):
            raise ValueError(
                f"{where}: {step.model!r} is taken as it is, so it can only be the first of a "
                f"chain; without train: false, {step.transfer!r} can train it"
            )


def check_ensembles(
    given: Mapping[str, ModelSpec], models: Mapping[str, ModelSpec], transfers: Collection[str]
) -> None:
    """Raise ValueError for the first ensemble whose members cannot be had.

    Args:
        given: the models of the configuration.
        models: those, and the members that ensembles make of one.
    """
    for name, model in given.items():
        if not isinstance(model, EnsembleModel):
            continue
        where = f"models.{name}.of"
        if isinstance(model.of, str):
            for member in model.members:
                if member in given:
                    raise ValueError(f"{where}: the member {member!r} is another model's name")
            if not is_trained(given[model.of]):
                raise ValueError(
                    f"{where}: {model.of!r} is not trained, so all members would be the same"
                )
        for member in model.members:
            try:
                lineage = Lineage.parse(member)
            except UserError as error:
                raise ValueError(f"{where}: {error}") from error
            check_steps(where, lineage, models, transfers)
            if isinstance(models[lineage.steps[0].model], EnsembleModel):
                raise ValueError(f"{where}: {member!r} comes from an ensemble itself")
