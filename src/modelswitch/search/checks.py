"""Whether a search can come to anything, asked before the first training and remembered.

Light to import, for Snakemake asks when it plans: torch is imported when there is something to ask.
"""

import importlib.util
import sys
from pathlib import Path

from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment, load
from modelswitch.config.file import of_search
from modelswitch.errors import missing_extra
from modelswitch.lineage import Lineage
from modelswitch.search.schedule import trainings
from modelswitch.storage import cache_folder
from modelswitch.storage.code_digest import code_digest


def check_once(experiment: Experiment) -> None:
    """Raise `UserError` for a search whose budget pays for too little, of whose students none keeps
    to the constraints, or of which some cannot be trained as it says."""
    search = experiment.search
    assert search is not None
    if importlib.util.find_spec("optuna") is None:
        raise missing_extra("search", ImportError("not installed: optuna"), "search")
    if search.budget.hours is None:
        trainings(experiment)
    asked = [
        of_search(experiment).model_dump(mode="json"),
        code_digest(Path(__file__).with_name("designs.py")),
        sys.version,
    ]
    stamp = cache_folder.FOLDER / f"search-{digest(canonical(asked))}"
    if stamp.exists():
        return
    from modelswitch.data.shapes import shapes_of
    from modelswitch.deployment.export import format_of
    from modelswitch.planning.model_checks import check_models
    from modelswitch.search.designs import MEASURED, sizes_of

    if {*search.constraints.bounds, *search.goal.least} & set(MEASURED):
        format_of("onnx")
    shape = shapes_of(experiment.data)[experiment.datasets[0]]
    if shape is None:
        # It is known after a download only, and asked again then.
        return
    sizes_of(experiment, shape)
    check_models(with_samples(experiment))
    cache_folder.write(stamp, "")


def with_samples(experiment: Experiment) -> Experiment:
    """The experiment with a chain for every family of students and for every transfer that the
    last switch is made from, as chains."""
    choices, search = experiment.choices, experiment.search
    assert choices is not None
    assert search is not None
    found: dict[str, Lineage] = {}
    for family in choices.families:
        for base in search.space.transfers:
            values: dict[str, str] = {}
            for choice in choices.asked(values):
                given = {"student": family, "transfer": base}
                values[choice.name] = given.get(choice.name, choice.values[-1])
            found[f"sample{len(found)}"] = choices.lineage(values)
    changed: dict[str, object] = {
        "claims": {},
        "sweeps": {},
        "looks": None,
        "power": None,
        "deploy": None,
    }
    chains = {"chains": {name: str(lineage) for name, lineage in found.items()}}
    return load(experiment.model_dump(mode="json") | changed | chains | {"repeats": {}})
