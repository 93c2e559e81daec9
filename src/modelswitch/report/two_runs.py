"""Two sets of results side by side: which metrics moved, and by how much of an interval."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelswitch.config import metrics
from modelswitch.config.file import results_of
from modelswitch.errors import UserError
from modelswitch.report.contents import RUN
from modelswitch.report.sheet import Sheet, Shown, difference, number, of_metric, text
from modelswitch.results import intervals, selection, tree
from modelswitch.results.joining import CONFIGURATION
from modelswitch.results.seeds import per_seed, split_of
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import SITUATION

METRICS = tuple(metric.name for metric in metrics.METRICS.values() if metric.compared)
OF_MODELS = {metric.name for metric in metrics.of_models()}


def tables_of(where: str) -> Tables:
    """Tables of a results folder, a folder with tables, or a configuration's name in results/."""
    path = Path(where)
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        path = results_of(path)
    for folder in (path / "tables", path):
        if (folder / "models.csv").is_file():
            return Tables(folder)
    if not path.exists():
        place = f"{where}: no such folder" if str(path) == where else f"{where}: no folder {path}"
    else:
        place = f"{where}: no tables/models.csv there"
    raise UserError(
        f"{place}; give a results folder, a folder with tables, or a "
        "configuration that has been run"
    )


def compare(first: Tables, second: Tables, chosen: Sequence[str] = METRICS) -> list[dict[str, Any]]:
    """One row per metric of what both have: of every lineage of a data set, and of every method of
    a selector in a situation (see `selection_summary`). The difference is second - first.

    Seeds that both have are paired; without two of them the means are compared by Welch's
    interval. `moved` is the difference in half-widths of its 95 % interval: beyond 1 (or below
    -1) it is more than chance. NaN where there is no interval.
    """
    rows = []
    models = (first.models, second.models)
    splits = [split_of(table) for table in models]
    split = splits[0] if splits[0] == splits[1] else "validation"
    names = {node.lineage: node.name for table in models for node in tree.tree(table)}
    datasets = [d for d in dict.fromkeys(models[0]["dataset"]) if d in set(models[1]["dataset"])]
    for dataset in datasets:
        parts = [table[table["dataset"] == dataset] for table in models]
        shared = set(parts[1]["lineage"])
        for lineage in dict.fromkeys(parts[0]["lineage"]):
            if lineage not in shared:
                continue
            for metric in [m for m in chosen if m in OF_MODELS]:
                values = [per_seed(part, lineage, metric, split) for part in parts]
                if not values[0] or not values[1]:
                    continue
                rows.append(
                    {"dataset": dataset, "lineage": lineage, "name": names[lineage],
                     "metric": metric, "split": split, **_difference(*values)}
                )  # fmt: skip
    return rows + _selections(first.selection, second.selection, chosen)


def _selections(first, second, chosen: Sequence[str]) -> list[dict[str, Any]]:
    """The same for two tables of selection, where both runs have one."""
    if first is None or second is None:
        return []
    rows = []
    selectors = set(second["selector"])
    for selector in [s for s in dict.fromkeys(first["selector"]) if s in selectors]:
        own = [table[table["selector"] == selector] for table in (first, second)]
        parts = [selection.situations(table) for table in _alike(*own)]
        for situation in parts[0]:
            found = [selection.per_seed(part[situation]) for part in parts]
            for method in [m for m in found[0] if m in found[1]]:
                name = f"{selector}, {situation}: {method.replace('_', ' ')}"
                for metric in [m for m in metrics.OF_SELECTION if m in chosen]:
                    values = [methods[method][metric] for methods in found]
                    # A rule that fuses all modalities picks none.
                    if any(map(math.isnan, (*values[0].values(), *values[1].values()))):
                        continue
                    rows.append(
                        {"dataset": "", "lineage": "", "name": name, "metric": metric,
                         "split": "test", **_difference(*values)}
                    )  # fmt: skip
    return rows


def _alike(first, second) -> list:
    """The rows of what both were tried on: a mean over other levels is another quantity."""
    keys = [list(zip(*(table[c] for c in SITUATION), strict=True)) for table in (first, second)]
    both = set(keys[0]) & set(keys[1])
    return [
        table[[key in both for key in own]]
        for table, own in zip((first, second), keys, strict=True)
    ]


def _difference(first: dict[int, float], second: dict[int, float]) -> dict:
    common = sorted(set(first) & set(second))
    if len(common) >= 2:  # so that the difference is that of the two numbers before it
        first, second = ({s: values[s] for s in common} for values in (first, second))
    row = {
        "first": intervals.mean_interval(list(first.values())).mean,
        "second": intervals.mean_interval(list(second.values())).mean,
    }
    if len(common) >= 2:
        found = intervals.paired_difference(
            [second[s] for s in common], [first[s] for s in common], resamples=99
        )
        row |= {"paired_seeds": len(common), "difference": found.estimate, "low": found.low,
                "high": found.high}  # fmt: skip
    else:
        low, high = intervals.welch_interval(list(second.values()), list(first.values()))
        row |= {"paired_seeds": 0, "difference": row["second"] - row["first"], "low": low,
                "high": high}  # fmt: skip
    half = (row["high"] - row["low"]) / 2
    row["moved"] = math.nan if math.isnan(half) or half == 0 else row["difference"] / half
    return row


def moves(row: dict) -> bool:
    """Whether a difference is more than chance, or is there and has no interval to judge it by."""
    if math.isnan(row["moved"]):
        return row["difference"] != 0
    return abs(row["moved"]) >= 1


Seeds = dict[tuple[str, str], set[int]]  # of a data set's lineage


def only_in_one(first: Tables, second: Tables) -> tuple[list[str], list[str]]:
    """Lineages that only the first, and only the second has, or of which it has more seeds."""
    seeds = [
        {
            (str(dataset), str(lineage)): set(map(int, rows["seed"]))
            for (dataset, lineage), rows in tables.models.groupby(
                ["dataset", "lineage"], sort=False
            )
        }
        for tables in (first, second)
    ]
    several = len({dataset for own in seeds for dataset, _ in own}) > 1

    def extra(own: Seeds, other: Seeds) -> list[str]:
        found = []
        for key, has in own.items():
            more = sorted(has - other.get(key, set()))
            on, lineage = key
            name = f"{lineage} on {on}" if several else lineage
            if key not in other:
                found.append(name)
            elif more:
                found.append(f"{name} (seed {', '.join(map(str, more))})")
        return found

    return extra(seeds[0], seeds[1]), extra(seeds[1], seeds[0])


def data_changes(first: Tables, second: Tables) -> list[str]:
    """A line for each data set that the two runs share by name and not by content."""
    held = [
        table.models.drop_duplicates("dataset").set_index("dataset")["data"].to_dict()
        for table in (first, second)
    ]
    return [
        f"{dataset}: the first is of data {before}, the second of {held[1][dataset]}; "
        "the data differ too, not the models alone"
        for dataset, before in held[0].items()
        if before and held[1].get(dataset) and held[1][dataset] != before
    ]


def remarks(first: Tables, second: Tables) -> list[str]:
    """Of each run what a reader has to know: which seeds are left out of its means, and why."""
    return [
        f"In the {which}: {line}"
        for which, tables in (("first", first), ("second", second))
        for line in (*tables.remarks, *tables.remarks_on_selectors)
    ]


def configuration_changes(first: Tables, second: Tables) -> list[str]:
    """Lines of a unified diff of the two configurations, if both folders have them."""
    paths = [tables.folder / CONFIGURATION for tables in (first, second)]
    if not all(path.exists() for path in paths):
        return []
    before, after = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() for path in paths
    )
    return list(difflib.unified_diff(before, after, "first", "second", lineterm="", n=1))


def comparison(rows: list[dict]) -> Sheet:
    """The comparison as a table, what moved most first."""

    def written(key: str) -> Shown:
        def write(row: dict) -> str:
            unit = metrics.METRICS[row["metric"]].unit
            text = unit.text(row[key], finer=1)
            return f"{text} {unit.sign}".rstrip() if text else ""

        return Shown(key, write, lambda row: row[key])

    ordered = sorted(
        rows, key=lambda row: -abs(row["moved"]) if not math.isnan(row["moved"]) else 0
    )
    several = len({row["dataset"] for row in rows}) > 1
    columns = [
        *([text("data set", "dataset", brief=False)] if several else []),
        text("model", "name"),
        Shown("metric", lambda r: metrics.METRICS[r["metric"]].words, lambda r: r["metric"],
              numeric=False),
        written("first"),
        written("second"),
        *difference("difference", "difference", unit=of_metric, ends=("low", "high"), brief=False),
        number("intervals", "moved", "{:+.1f}"),
        number("paired seeds", "paired_seeds", "{:.0f}", brief=False),
    ]  # fmt: skip
    return Sheet(
        "comparison", "Comparison", RUN, ordered, columns,
        note="Second minus first, of shares in percentage points. Intervals: the difference in "
        "half-widths of its 95 % t interval (paired by seed where both have the same seeds, "
        "Welch's otherwise); beyond ±1 it is more than the seeds explain. Nothing there: no "
        "interval, because there is one seed or because all seeds agree.",
    )  # fmt: skip
