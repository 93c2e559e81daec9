"""A validated configuration as a file, for the scripts that need the whole of it.

Not an argument on their command line, which ends at 128 KiB: some 300 chains. Light to import, for
Snakemake writes it while it parses the workflow: no torch in here.

    python -m modelswitch.config.file config/digits.yaml     # prints where its results go
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from modelswitch.config.base import digest
from modelswitch.config.experiment import Experiment, load
from modelswitch.errors import UserError, run_script
from modelswitch.lineage import EXPERIMENT_FOLDER
from modelswitch.storage import cache_folder


def keep(experiment: Experiment) -> str:
    """The path of a file with ``experiment`` in it, written unless it is there.

    The path holds the content's digest: as a parameter of a rule it changes with the configuration.
    Where nothing can be written, a script that needs the file names it.
    """
    text = experiment.model_dump_json()
    path = cache_folder.FOLDER / f"experiment-{digest(text)}.json"
    if not path.exists():
        cache_folder.write(path, text)
    return str(path)


def of_designs(experiment: Experiment) -> Experiment:
    """An experiment with all designs of another one and no more: of that, all that sizes and
    latency depend on but the data."""
    members = [m for model in experiment.models.values() for m in experiment.members(model)]
    steps = [step for lineage in members for step in lineage.steps]
    transfers = {step.transfer for step in steps if step.transfer is not None}
    chains = {}
    for number, design in enumerate(experiment.designs):
        # How one was trained after it had been made from another is no part of what it costs.
        first, *changed = design.split("/")
        chains[f"design{number}"] = "/".join([first, *(f"{name}@any" for name in changed)])
        transfers |= {"any"} if changed else set()
    kept = experiment.model_dump(mode="json", include={"name", "models"})
    used = {"chains": chains, "transfers": {name: {} for name in sorted(transfers)}, "seeds": [0]}
    return load(kept | used | {"data": {"source": "digits"}})


def of_search(experiment: Experiment) -> Experiment:
    """Of an experiment that has a search, all that the search depends on."""
    changed: dict[str, Any] = {
        "claims": {},
        "looks": None,
        "power": None,
        "deploy": None,
        "repeats": {},
    }
    return load(experiment.model_dump(mode="json") | changed)


def read(path: str | Path) -> Experiment:
    """The experiment that `keep` wrote to ``path``; raises `OSError` where there is none."""
    return load(json.loads(Path(path).read_text(encoding="utf-8")), str(path))


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds.

    Raises:
        UserError: it is no YAML.
        OSError: it is not there.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        json.dumps(values, skipkeys=True, default=str)  # what holds itself has no end
        return values
    # A date that is none is a ValueError, too.
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not YAML that can be read ({error})") from error


def results_of(path: str | Path) -> Path:
    """Where the results of a configuration in YAML go, as long as no command line says otherwise.

    Raises:
        UserError: it is no YAML, or has no name.
        OSError: it is not there.
    """
    values = read_yaml(path)
    if not isinstance(values, dict) or not values.get("name"):
        raise UserError(f"{path}: has no key 'name', so its results cannot be found")
    folder = (values.get("pathvars") or {}).get("results", "results")
    return Path(folder).expanduser() / EXPERIMENT_FOLDER.format(experiment=values["name"])


if __name__ == "__main__":
    run_script(lambda: print(results_of(*sys.argv[1:])))
