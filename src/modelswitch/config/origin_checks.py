"""Whether models can be where a configuration has them, by where their first weights come from."""

from collections.abc import Mapping

from modelswitch.config.base import check_known
from modelswitch.config.models import ChangedModel, ModelSpec, is_trained
from modelswitch.config.origin import EnsembleModel
from modelswitch.config.transfer import Transfer
from modelswitch.errors import UserError
from modelswitch.lineage import Lineage, Step


def check_steps(
    where: str, lineage: Lineage, models: Mapping[str, ModelSpec], transfers: Mapping[str, Transfer]
) -> None:
    """Raise ValueError for models and transfers that are not there, or not in their place."""
    before: Step | None = None
    for step in lineage.steps:
        check_known(where, step.model, models, "model")
        if step.transfer is None:
            first = models[step.model]
            if isinstance(first, ChangedModel):
                raise ValueError(
                    f"{where}: {step.model!r} is {first.family} from the model before it, so it "
                    "cannot be the first of a chain"
                )
            before = step
            continue
        check_known(where, step.transfer, transfers, "transfer")
        model = models[step.model]
        assert before is not None
        quantises = _check_quantised(where, before, step, models, transfers)
        before = step
        if isinstance(model, EnsembleModel):
            raise ValueError(
                f"{where}: {step.model!r} is an ensemble, which is never trained, so it can only "
                "be the first of a chain"
            )
        if not is_trained(model) and not quantises:
            raise ValueError(
                f"{where}: {step.model!r} is taken as it is, so it can only be the first of a "
                f"chain; without train: false, {step.transfer!r} can train it"
            )


def _check_quantised(
    where: str,
    before: Step,
    step: Step,
    models: Mapping[str, ModelSpec],
    transfers: Mapping[str, Transfer],
) -> bool:
    """Whether a step quantises the model ``before`` it; raise ValueError where it cannot, or where
    a step cannot follow upon a quantised one."""
    assert step.transfer is not None
    transfer = transfers[step.transfer]
    quantised = before.transfer is not None and transfers[before.transfer].quantise is not None
    if transfer.quantise is not None:
        if step.model != before.model:
            raise ValueError(
                f"{where}: {step.transfer!r} quantises the model before it, {before.model!r}, and "
                f"makes no other of it; found {step}, allowed: {before.model}@{step.transfer}"
            )
        if quantised:
            raise ValueError(f"{where}: {before} is quantised already; leave {step} out")
        return True
    if quantised and isinstance(models[step.model], ChangedModel):
        raise ValueError(
            f"{where}: {step.model!r} is {models[step.model].family} from the model before it, "
            f"which is quantised; quantise after it instead"
        )
    if quantised and transfer.hint_losses:
        raise ValueError(
            f"{where}: {step.transfer!r} has hints, and {before} is quantised, which leaves no "
            "layers to hint from; a transfer of outputs alone is allowed"
        )
    return False


def check_ensembles(
    given: Mapping[str, ModelSpec],
    models: Mapping[str, ModelSpec],
    transfers: Mapping[str, Transfer],
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
