"""The winner's chain as a configuration of its own, to copy."""

from typing import Any

import yaml

from modelswitch.config.experiment import Experiment, load
from modelswitch.config.shortened import short
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
        "data": short(experiment.data),
        "models": {name: short(model) for name, model in named.items()},
        "transfers": {name: short(transfer) for name, transfer in transfers.items()},
        "chains": {"winner": str(lineage)},
        "training": short(experiment.training),
        "seeds": experiment.seeds,
    }
    if changes:
        values["model_training"] = {name: short(change) for name, change in changes.items()}
    for key in ("responses", "resources"):
        if said := short(getattr(experiment, key)):
            values[key] = said
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    load(yaml.safe_load(text), "the winner's configuration")
    return text
