"""Checks that need torch, made before the first training and remembered.

Building and trying every model takes seconds, and a workflow is read often: what has been checked
once is kept under a digest of all that it depends on.
"""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.data.manifest import Manifest, manifest
from modelswitch.graph import Graph
from modelswitch.storage import cache_folder
from modelswitch.storage.code_digest import code_digest

# Megabytes for jobs of which nothing is known.
_UNKNOWN = 3000
_LIBRARIES = ("torch", "torchvision", "timm")
_needs: dict[Path, dict[str, Any]] = {}


def check_once(experiment: Experiment) -> Manifest:
    """The data's manifest; raises `UserError` if they are not there, or something that a
    configuration names does not work: a model in building, training, answering or being loaded, a
    rule, a loss, a hint."""
    found = manifest(experiment.data)
    asked = _asked(experiment) | {
        "contents": found.contents,
        "code": code_digest(Path(__file__).with_name("model_checks.py")),
        "own": Graph(experiment).code,
        "versions": [platform.python_version(), *map(_version, _LIBRARIES)],
    }
    stamp = cache_folder.FOLDER / f"checked-{digest(canonical(asked))}"
    if stamp.exists():
        return found
    from modelswitch.planning.model_checks import check_models

    needs = check_models(experiment)
    cache_folder.write(memory_note(experiment), json.dumps(needs, indent=1))
    cache_folder.write(stamp, "")
    return found


def memory_note(experiment: Experiment) -> Path:
    """Where it is noted how much memory the jobs of an experiment are estimated to need."""
    return cache_folder.FOLDER / f"memory-{digest(canonical(_asked(experiment)))}.json"


def needed_mb(note: Path, dataset: str | None = None, lineage: str | None = None) -> int:
    """Megabytes that the jobs of a model need, or those that work on all data or all answers.

    Something for any job where the note is not there: before the checks, or where what models need
    is not known before a download.
    """
    needs = _noted(note)
    if dataset is None or lineage is None:
        return needs.get("data", _UNKNOWN)
    return needs.get("models", {}).get(dataset, {}).get(lineage, _UNKNOWN)


def needed_on_gpu(note: Path) -> dict[str, int]:
    """Megabytes of a GPU's memory that the most demanding training needs, by rule; nothing where
    that is not known."""
    return _noted(note).get("gpu", {})


def _noted(note: Path) -> dict[str, Any]:
    if note not in _needs:
        if not note.exists():
            return {}
        _needs[note] = json.loads(note.read_text(encoding="utf-8"))
    return _needs[note]


def _asked(experiment: Experiment) -> dict[str, Any]:
    """All of a configuration that the checks look at."""
    parts = ("data", "models", "training", "model_training", "responses", "selector", "deploy",
             "resources")  # fmt: skip
    return experiment.model_dump(mode="json", include=set(parts)) | {
        "transfers": {k: t.canonical() for k, t in experiment.all_transfers.items()},
        "lineages": sorted(map(str, set(experiment.lineages.values()))),
        "seeds": len(experiment.seeds),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
