"""Checks that need torch, made before the first training and remembered.

Building every model and finding every hint layer takes seconds, and a workflow is parsed often:
what has been checked once is kept under a digest of the configuration and of this code.
"""

from pathlib import Path

from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.data.manifest import check_present
from modelswitch.graph import Graph
from modelswitch.storage import cache_folder
from modelswitch.storage.code_digest import code_digest


def check_once(experiment: Experiment) -> None:
    """Raise `UserError` if a model cannot be built or a hint layer does not exist."""
    check_present(experiment.data)
    parts = {
        "data": experiment.data.model_dump(mode="json"),
        "models": {k: m.model_dump(mode="json") for k, m in experiment.models.items()},
        "transfers": {k: t.canonical() for k, t in experiment.all_transfers.items()},
        "lineages": sorted(map(str, set(experiment.lineages.values()))),
        "code": code_digest(Path(__file__).with_name("model_checks.py")),
        "own": Graph(experiment).code,
    }
    stamp = cache_folder.FOLDER / f"checked-{digest(canonical(parts))}"
    if stamp.exists():
        return
    from modelswitch.planning.model_checks import check_models

    check_models(experiment)
    cache_folder.write(stamp, "")
