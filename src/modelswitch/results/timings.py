"""How long exported files take: on the machine of the run, and on others whose tables join it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from modelswitch.config.deploy import exported_file
from modelswitch.config.experiment import Experiment
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import LATENCY_FILE, ModelFolder, Replicate
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.tables import read_csv

if TYPE_CHECKING:
    import pandas as pd

_WEIGHTS = "model.safetensors"
_KEPT = ("format", "machine", "threads", "batch", "median_ms", "p5_ms", "p95_ms", "peak_memory_mb")


def timings(experiment: Experiment, results: Path) -> pd.DataFrame:
    """Rows of latency.csv: those of the run first, then those of `deploy.measured`.

    Raises:
        UserError: a table of another machine cannot be read, or times files that are not these.
    """
    import pandas as pd

    deploy = experiment.deploy
    frames = []
    for dataset in dict.fromkeys(experiment.datasets if deploy else ()):
        path = results / LATENCY_FILE.format(experiment=experiment.name, dataset=dataset)
        if path.exists():
            frames.append(_rows(experiment, read_csv(path, SCHEMAS["latency"], ["branch"])))
    for name in deploy.measured if deploy else ():
        frames.append(_rows(experiment, _from_elsewhere(experiment, results, Path(name))))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _rows(experiment: Experiment, found: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    seeds = [Replicate.parse(branch).seed for branch in found["branch"]]
    key = pd.DataFrame({"experiment": experiment.name, "dataset": found["dataset"],
                        "seed": seeds, "lineage": found["lineage"]})  # fmt: skip
    return pd.concat([key, found[list(_KEPT)]], axis=1)


def _from_elsewhere(experiment: Experiment, results: Path, path: Path) -> pd.DataFrame:
    """What `modelswitch measure` wrote on another machine, of files that are this run's."""
    where = f"deploy.measured: {path}"
    if not path.is_file():
        raise UserError(f"{where}: no such file")
    try:
        found = read_csv(path, SCHEMAS["latency"], ["branch", "sha256", "file"])
    except ValueError as error:
        raise UserError(
            f"{where}: is no table that `modelswitch measure` wrote ({error})"
        ) from error
    needed = ("dataset", "branch", "lineage", "sha256", *_KEPT)
    missing = [name for name in needed if name not in found.columns]
    if missing:
        raise UserError(
            f"{where}: column {missing[0]!r} is missing; `modelswitch measure` writes it"
        )
    own = {
        (place.dataset, str(place.branch), str(place.lineage)): place
        for place in Graph(experiment).exported()
    }
    known: dict[tuple[str, ...], str] = {}
    for row in found[["dataset", "branch", "lineage", "format", "sha256"]].itertuples(index=False):
        key = tuple(row)[:4]
        if key not in known:
            place = own.get(tuple(row)[:3])
            known[key] = "" if place is None else _sha256(results, place, str(row.format))
        if known[key] != row.sha256:
            said = f"{row.lineage} as {row.format} ({row.dataset}, {row.branch})"
            raise UserError(
                f"{where}: times {said}, "
                + ("another file than this run's" if known[key] else "which this run has not")
                + "; measure the files of this run"
            )
    return found


def _sha256(results: Path, place: ModelFolder, name: str) -> str:
    """Digest of a model's file in a format; '' where it is not there."""
    try:
        file = _WEIGHTS if name == "torch" else exported_file(name)
        return hashlib.sha256((results / place.file(file)).read_bytes()).hexdigest()
    except (KeyError, FileNotFoundError):
        return ""
