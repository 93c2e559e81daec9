"""Exported files from the tidy tables: by model and format, with the network itself beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelswitch.config.experiment import Experiment
from modelswitch.graph import Graph
from modelswitch.lineage import Replicate
from modelswitch.results.seeds import per_seed
from modelswitch.results.tree import tree
from modelswitch.selector.graph import SelectorGraph

if TYPE_CHECKING:
    import pandas as pd

NETWORK = "torch"  # the format of what is trained
Times = dict[tuple[int, int], dict[str, float]]


@dataclass
class Exported:
    """One model in one format, over seeds.

    Attributes:
        accuracy, network_accuracy: by seed, on the test set: of the file, and of its network.
        agreement: share of test images for which both name one class, mean over seeds.
        file_bytes, balanced_accuracy, ece: means over seeds; the last two NaN where not known.
        on: by machine, that of the run first, what `times` has of it.
    """

    lineage: str
    name: str
    format: str
    accuracy: dict[int, float]
    network_accuracy: dict[int, float]
    agreement: float
    file_bytes: float
    balanced_accuracy: float = math.nan
    ece: float = math.nan
    on: dict[str, Times] = field(default_factory=dict)

    @property
    def machine(self) -> str:
        """Where it was measured first; '' for nowhere."""
        return next(iter(self.on), "")

    @property
    def times(self) -> Times:
        """There, by (threads, images at a time): median_ms, p5_ms, p95_ms, peak_memory_mb."""
        return self.on.get(self.machine, {})

    @property
    def is_network(self) -> bool:
        return self.format == NETWORK

    @property
    def mean_accuracy(self) -> float:
        return _mean(self.accuracy.values())


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def exported(tables) -> list[Exported]:
    """Of one data set's tables: every exported model, in the order of the tree, network first."""
    exports, models = tables.exports, tables.firsts("models")
    if exports is None:
        return []
    result = []
    for node in tree(models):
        own = exports[exports["lineage"] == node.lineage]
        if own.empty:
            continue
        # Files are not made of every seed.
        of_files = models[models["seed"].isin(own["seed"])]
        network = per_seed(of_files, node.lineage, "accuracy", "test")
        size = models.loc[models["lineage"] == node.lineage, "file_bytes"].mean()
        balanced, ece = (
            _mean(per_seed(of_files, node.lineage, name, "test").values())
            for name in ("balanced_accuracy", "ece")
        )
        found = [
            Exported(
                node.lineage,
                node.name,
                NETWORK,
                network,
                network,
                agreement=math.nan,
                file_bytes=float(size),
                balanced_accuracy=balanced,
                ece=ece,
            )
        ]
        for name, rows in own.groupby("format", sort=False):
            by_seed = rows.set_index("seed")
            found.append(
                Exported(
                    node.lineage,
                    node.name,
                    str(name),
                    {int(seed): float(value) for seed, value in by_seed["accuracy"].items()},
                    {
                        int(seed): float(value)
                        for seed, value in by_seed["network_accuracy"].items()
                    },
                    float(rows["agreement"].mean()),
                    float(rows["file_bytes"].mean()),
                    float(rows["balanced_accuracy"].mean()),
                    float(rows["ece"].mean()),
                )
            )
        for one in found:
            _add_times(one, tables.latency)
        result += found
    return result


def _add_times(one: Exported, latency) -> None:
    if latency is None:
        return
    rows = latency[(latency["lineage"] == one.lineage) & (latency["format"] == one.format)]
    one.on = by_machine(rows)


def by_machine(rows) -> dict[str, Times]:
    """What rows of a table of times say, by machine, in their order; of several seeds the first."""
    found: dict[str, Times] = {}
    for row in rows.itertuples():
        measured = {
            "median_ms": row.median_ms,
            "p5_ms": row.p5_ms,
            "p95_ms": row.p95_ms,
            "peak_memory_mb": row.peak_memory_mb,
        }
        of_machine = found.setdefault(row.machine, {})
        of_machine.setdefault((int(row.threads), int(row.batch)), measured)
    return found


def selector_files(experiment: Experiment, results: Path) -> pd.DataFrame:
    """Rows of selector_exports.csv: every file of a selector and its recognisers that is there,
    with what was found when it was run."""
    import pandas as pd

    selects = experiment.selector is not None
    files = SelectorGraph(Graph(experiment)).exported() if selects else ()
    rows = []
    for branch, name, file in files:
        path = results / f"{file}.json"
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            key = {"experiment": experiment.name, "seed": Replicate.parse(branch).seed}
            about = {"selector": name, "format": "onnx", "file_bytes": known["bytes"]}
            about["modalities"] = ";".join(known["modalities"])
            rows.append(key | about | known["judgement"])
    return pd.DataFrame(rows)


def pareto(points: list[tuple[float, float]]) -> list[int]:
    """Which of points (cost, gain) no other beats in both: their numbers, by rising cost.

    Of equal points the first counts.
    """
    front: list[int] = []
    best = -math.inf
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if points[index][1] > best:
            best = points[index][1]
            front.append(index)
    return front
