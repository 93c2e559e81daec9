"""The winner's chain as a configuration of its own, to copy."""

from typing import Any

import yaml

from modelswitch.config.base import Strict
from modelswitch.config.experiment import Experiment, load
from modelswitch.lineage import Lineage


def recipe(experiment: Experiment, lineage: Lineage) -> str:
    """YAML of an experiment that has one chain and everything that it needs, and no more."""
    models = {step.model: experiment.all_models[step.model] for step in lineage.steps}
    for model in list(models.values()):
        for member in experiment.members(model):
            for step in member.steps:
                models[step.model] = experiment.all_models[step.model]
    # Members that an ensemble makes of one model have no entry; the one does.
    named = {name: experiment.models.get(name) or model for name, model in models.items()}
    changes = {k: v for k, v in experiment.model_training.items() if k in named}
    transfers = {
        step.transfer: experiment.all_transfers[step.transfer]
        for step in lineage.steps
        if step.transfer is not None
    }
    values: dict[str, Any] = {
        "name": f"{experiment.name}-winner",
        "data": _short(experiment.data),
        "models": {name: _short(model) for name, model in named.items()},
        "transfers": {name: _short(transfer) for name, transfer in transfers.items()},
        "chains": {"winner": str(lineage)},
        "training": _short(experiment.training),
        "seeds": experiment.seeds,
    }
    if changes:
        values["model_training"] = {name: _short(change) for name, change in changes.items()}
    for key in ("responses", "resources"):
        if said := _short(getattr(experiment, key)):
            values[key] = said
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    load(yaml.safe_load(text), "the winner's configuration")
    return text


def _short(section: Any) -> dict[str, Any]:
    """What differs from the defaults, and what says which kind of section it is."""
    assert isinstance(section, Strict)
    values = section.model_dump(mode="json", exclude_defaults=True)
    for key in ("family", "source"):
        if hasattr(section, key):
            values = {key: getattr(section, key)} | values
    weighting = getattr(section, "weighting", None)
    if weighting is not None and "weighting" in values:
        values["weighting"] = {"rule": weighting.rule} | values["weighting"]
    loss = getattr(section, "loss", None)
    if loss is not None and "loss" in values:
        values["loss"] = {"name": loss.name} | values["loss"]
    return values
