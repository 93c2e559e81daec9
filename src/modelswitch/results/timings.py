"""How long exported files take: on the machine of the run, and on others whose tables join it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from modelswitch.config.deploy import exported_file
from modelswitch.config.experiment import Experiment
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import LATENCY_FILE, SELECTOR_TIMES_FILE, Replicate
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import read_csv
from modelswitch.selector.graph import SelectorGraph

if TYPE_CHECKING:
    import pandas as pd

_WEIGHTS = "model.safetensors"
_KEPT = ("format", "machine", "threads", "batch", "median_ms", "p5_ms", "p95_ms", "peak_memory_mb")
_TEXT = ("branch", "sha256", "file", "selector")
# What a row is of; of a selector's, no data set and no lineage.
_OF = ("dataset", "branch", "lineage", "format", "selector")


def timings(experiment: Experiment, results: Path) -> pd.DataFrame:
    """Rows of latency.csv: those of the run first, then those of `deploy.measured`.

    Raises:
        UserError: a table of another machine cannot be read, or times files that are not these.
    """
    datasets = dict.fromkeys(experiment.datasets if experiment.deploy else ())
    own = [LATENCY_FILE.format(experiment=experiment.name, dataset=name) for name in datasets]
    return _joined(experiment, results, own, ["dataset", "seed", "lineage"])


def selector_timings(experiment: Experiment, results: Path) -> pd.DataFrame:
    """Rows of selector_latency.csv, likewise."""
    own = SELECTOR_TIMES_FILE.format(experiment=experiment.name)
    return _joined(experiment, results, [own] if experiment.deploy else [], ["seed", "selector"])


def _joined(experiment: Experiment, results: Path, own: list[str], key: list[str]) -> pd.DataFrame:
    import pandas as pd

    frames = [_read(results / name) for name in own if (results / name).exists()]
    measured = experiment.deploy.measured if experiment.deploy else []
    frames += [_from_elsewhere(experiment, results, Path(name)) for name in measured]
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(frames, ignore_index=True)
    rows = rows[(rows["selector"] != "") == ("selector" in key)]
    rows["experiment"] = experiment.name
    rows["seed"] = [Replicate.parse(branch).seed for branch in rows["branch"]]
    return rows[["experiment", *key, *_KEPT]] if len(rows) else pd.DataFrame()


def _read(path: Path) -> pd.DataFrame:
    found = read_csv(path, SCHEMAS["latency"], _TEXT)
    # Tables of before there were times of selectors.
    return found if "selector" in found.columns else found.assign(selector="")


def _from_elsewhere(experiment: Experiment, results: Path, path: Path) -> pd.DataFrame:
    """What `modelswitch measure` wrote on another machine, of files that are this run's."""
    where = f"deploy.measured: {path}"
    if not path.is_file():
        raise UserError(f"{where}: no such file")
    try:
        found = _read(path)
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
    own = _own_files(experiment)
    known: dict[tuple[str, ...], str] = {}
    for row in found[[*_OF, "sha256"]].astype(str).to_dict("records"):
        key = tuple(row[name] for name in _OF)
        if key not in known:
            known[key] = _sha256(results / own[key]) if key in own else ""
        if known[key] != row["sha256"]:
            what = f"selector {row['selector']}" if row["selector"] else row["lineage"]
            place = ", ".join(row[name] for name in ("dataset", "branch") if row[name])
            raise UserError(
                f"{where}: times {what} as {row['format']} ({place}), "
                + ("another file than this run's" if known[key] else "which this run has not")
                + "; measure the files of this run"
            )
    return found


def _own_files(experiment: Experiment) -> dict[tuple[str, ...], str]:
    """Every file of this run that may be timed, below the folder of results, by what it is of."""
    graph = Graph(experiment)
    formats = experiment.deploy.formats if experiment.deploy else []
    files = {"torch": _WEIGHTS} | {str(name): exported_file(name) for name in formats}
    own: dict[tuple[str, ...], str] = {
        (place.dataset, str(place.branch), str(place.lineage), name, ""): place.file(file)
        for place in graph.exported()
        for name, file in files.items()
    }
    if experiment.selector is not None:
        for branch, name, path in SelectorGraph(graph).exported():
            own["", branch, "", "onnx", name] = path
    return own


def _sha256(path: Path) -> str:
    """Digest of a file; '' where it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
