"""The table of chains."""

from __future__ import annotations

import math

from modelswitch.config.metrics import METRICS, Metric, of_models
from modelswitch.report.contents import COMPRESSION
from modelswitch.report.sheet import Sheet, Shown, measured, number, share, text
from modelswitch.report.summaries.remarks import (
    datasets,
    no_better_than_majority,
    one_seed,
    refused,
    teachers,
    tied,
)
from modelswitch.results import differences, repeats, seeds, tree
from modelswitch.results.intervals import PairedDifference

NAN = math.nan
# These have a place of their own in the table; the other metrics with a heading stand behind them.
PLACED = (
    "accuracy",
    "majority_share",
    "balanced_accuracy",
    "parameters",
    "depth",
    "parent_accuracy",
)
_OF_REPEATS = (
    " Repeats: trainings of a model for each seed, by other first weights and another order of the "
    "images from the same teachers; their mean stands for the seed, and intervals count seeds. "
    "Spread of repeats: standard deviation around their seed's mean, in percentage points."
)


def chains_sheet(tables) -> Sheet | None:
    """Chains with mean and 95 % t interval over seeds, sizes, and the gain over scratch."""
    several = len(datasets(tables)) > 1
    rows: list[dict] = []
    warnings: list[str] = []
    beside: list[str] = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        models = part.models
        found, lines = teachers(models, seeds.split_of(models), dataset if several else "")
        warnings += found
        beside += lines
        pairs = differences.of_chains(models)
        warnings += refused(pairs)
        warnings += no_better_than_majority(models, seeds.split_of(models))
        rows += _rows(models, part.trainings, pairs, dataset)
    if not rows:
        return None
    split = rows[0]["split"]
    others = [m for m in _shown() if m.name not in PLACED]
    several_repeats = any(row["repeats"] > 1 for row in rows)
    validation = share("validation accuracy %", "validation_accuracy", brief=False)
    columns = [
        *([text("data set", "dataset")] if several else []),
        Shown("chain", _chain, _chain, numeric=False),
        _column("parameters"),
        number("times smaller", "times_smaller", "{:.1f}", brief=False),
        _column("depth"),
        _column("accuracy", f"{split} accuracy %"),
        _column("majority_share"),
        _column("balanced_accuracy"),
        share("gain over scratch", "gain", signed=True),
        *([validation] if split == "test" else []),
        _column("parent_accuracy"),
        share("from scratch %", "scratch_accuracy", brief=False),
        *(_column(metric.name) for metric in others),
        number("seeds", "seeds", "{:.0f}"),
        number(
            "repeats", "repeats", lambda most: f"{most:.0f}" if several_repeats else "", brief=False
        ),
        share("spread of repeats %", "spread_of_repeats", digits=2, brief=False),
        text("lineage", "lineage", brief=False),
    ]
    return Sheet(
        "chains", "Chains", COMPRESSION, rows, columns,
        note="Mean over seeds ± half of the 95 % t interval. Gain: difference, paired by seed, to "
        "the same model trained from scratch, in percentage points. Majority: accuracy of always "
        "answering the most frequent class. Latency: one image, one CPU "
        "thread, median." + several_repeats * _OF_REPEATS + "".join(f" {line}" for line in beside),
        warnings=[*tables.remarks, *warnings, *tied(rows), *one_seed(rows)],
        in_brief=lambda row: bool(row["chain"]) or row["switches"] == 0,
    )  # fmt: skip


def _shown() -> list[Metric]:
    return [metric for metric in of_models() if metric.heading]


def _column(name: str, heading: str = "") -> Shown:
    return measured(METRICS[name], heading, brief=METRICS[name].brief)


def _rows(models, trainings, pairs: list[differences.Pair], dataset: str) -> list[dict]:
    """Models on the way, teacher first, then those in which chains end, on one data set."""
    split = seeds.split_of(models)
    nodes = {node.lineage: node for node in tree.tree(models)}
    estimates = {m.name: seeds.over_seeds(models, m.name, split) for m in of_models()}
    validation = seeds.over_seeds(models, "accuracy", "validation")
    times = seeds.by_lineage(trainings)
    gains = {
        pair.better.lineage: pair.difference for pair in pairs if pair.group == differences.SCRATCH
    }
    shown = tree.ends(models)
    named = {node.lineage for node in shown}
    # The models on the way belong to the story even if no chain ends there.
    shown = [node for node in nodes.values() if node.lineage not in named] + shown
    # A model that stands alone is measured against the experiment's largest first model.
    sizes = [n.parameters for n in nodes.values() if not n.parent and n.parameters > 0]
    largest = max(sizes, default=NAN)
    rows = []
    for node in shown:
        lineage = node.lineage
        accuracy = estimates["accuracy"].get(lineage)
        if accuracy is None:
            continue
        root = nodes.get(lineage.split("/")[0], node)
        from_scratch = estimates["accuracy"].get(node.model) if node.parent else None
        rows.append(
            {
                "chain": node.name if node.labels else "",
                "dataset": dataset,
                "lineage": lineage,
                "split": split,
                "seeds": accuracy.count,
                "repeats": repeats.most(times[lineage], lineage),
                "spread_of_repeats": repeats.spread(times[lineage], lineage, "accuracy", split),
                "switches": lineage.count("/"),
                "times_smaller": (largest if root.role == "alone" else root.parameters)
                / (node.parameters or NAN),
                **{name: found[lineage].mean for name, found in estimates.items()},
                "accuracy_low": accuracy.low,
                "accuracy_high": accuracy.high,
                "validation_accuracy": validation[lineage].mean if lineage in validation else NAN,
                **gains.get(lineage, PairedDifference.without_interval()).columns("gain"),
                "scratch_accuracy": from_scratch.mean if from_scratch else NAN,
            }
        )
    return rows


def _chain(row: dict) -> str:
    """What a chain is called; a model on the way goes by its own step."""
    return row["chain"] or row["lineage"].rpartition("/")[2]
