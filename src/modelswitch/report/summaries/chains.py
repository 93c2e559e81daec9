"""The table of chains."""

from __future__ import annotations

import math

from modelswitch.report.contents import COMPRESSION
from modelswitch.report.sheet import Sheet, Shown, number, share, text
from modelswitch.report.summaries.common import datasets, one_seed, teachers
from modelswitch.results import differences, seeds, tree
from modelswitch.wording import amount

NAN = math.nan


def chains_sheet(tables) -> Sheet | None:
    """Chains with mean and 95 % t interval over seeds, sizes, and the gain over scratch."""
    several = len(datasets(tables)) > 1
    rows: list[dict] = []
    warnings: list[str] = []
    beside: list[str] = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        models, split = part.models, seeds.split_of(part.models)
        nodes = {node.lineage: node for node in tree.tree(models)}
        estimates = {
            metric: seeds.over_seeds(models, metric, split)
            for metric in ("accuracy", "nll", "ece", "agreement", "latency_ms", "macs",
                           "file_bytes", "parent_accuracy")
        }  # fmt: skip
        validation = seeds.over_seeds(models, "accuracy", "validation")
        gains = {
            row["lineage"]: row["difference"]
            for row in differences.of_chains(models)
            if row["group"] == differences.SCRATCH
        }
        found, lines = teachers(models, split, dataset if several else "")
        warnings += found
        beside += lines
        shown = tree.ends(models)
        named = {node.lineage for node in shown}
        # The models on the way, teacher first, belong to the story even if no chain ends there.
        shown = [node for node in nodes.values() if node.lineage not in named] + shown
        for node in shown:
            accuracy = estimates["accuracy"].get(node.lineage)
            if accuracy is None:
                continue
            root = nodes.get(node.lineage.split("/")[0], node)
            # A model that stands alone is measured against the experiment's largest first model.
            largest = max(n.parameters for n in nodes.values() if not n.parent)
            ratio = (largest if root.role == "alone" else root.parameters) / node.parameters
            gain = gains.get(node.lineage)
            rows.append(
                {
                    "chain": node.name if node.labels else "",
                    "dataset": dataset,
                    "lineage": node.lineage,
                    "split": split,
                    "seeds": accuracy.count,
                    "switches": node.lineage.count("/"),
                    "parameters": node.parameters,
                    "times_smaller": ratio,
                    "layers": node.depth,
                    "accuracy": accuracy.mean,
                    "accuracy_low": accuracy.low,
                    "accuracy_high": accuracy.high,
                    "validation_accuracy": validation[node.lineage].mean
                    if node.lineage in validation
                    else NAN,
                    "gain": gain.estimate if gain else NAN,
                    "gain_low": gain.low if gain else NAN,
                    "gain_high": gain.high if gain else NAN,
                    "teacher_accuracy": estimates["parent_accuracy"][node.lineage].mean,
                    "scratch_accuracy": estimates["accuracy"][node.model].mean
                    if node.parent and node.model in estimates["accuracy"]
                    else NAN,
                    **{
                        metric: estimates[metric][node.lineage].mean
                        for metric in (
                            "agreement",
                            "nll",
                            "ece",
                            "macs",
                            "file_bytes",
                            "latency_ms",
                        )
                    },
                }
            )
    if not rows:
        return None
    split = rows[0]["split"]
    columns = [
        *([text("data set", "dataset")] if several else []),
        Shown("chain", _chain, _chain, numeric=False),
        number("parameters", "parameters", amount),
        number("times smaller", "times_smaller", "{:.1f}", brief=False),
        number("layers", "layers", "{:.0f}", brief=False),
        share(f"{split} accuracy %", "accuracy"),
        share("gain over scratch", "gain", signed=True),
        *(
            [share("validation accuracy %", "validation_accuracy", brief=False)]
            if split == "test"
            else []
        ),
        share("its teacher %", "teacher_accuracy", brief=False),
        share("from scratch %", "scratch_accuracy", brief=False),
        share("agrees with it %", "agreement", brief=False),
        number("NLL", "nll", "{:.3f}", brief=False),
        share("ECE %", "ece", brief=False),
        number("MACs", "macs", amount, brief=False),
        number("latency ms", "latency_ms", "{:.2f}", brief=False),
        number("seeds", "seeds", "{:.0f}"),
        text("lineage", "lineage", brief=False),
    ]  # fmt: skip
    return Sheet(
        "chains", "Chains", COMPRESSION, rows, columns,
        note="Mean over seeds ± half of the 95 % t interval. Gain: difference, paired by seed, to "
        "the same model trained from scratch, in percentage points. Latency: one image, one CPU "
        "thread, median." + "".join(f" {line}" for line in beside),
        warnings=warnings + one_seed(rows),
        in_brief=lambda row: bool(row["chain"]) or row["switches"] == 0,
    )  # fmt: skip


def _chain(row: dict) -> str:
    """What a chain is called; a model on the way goes by its own step."""
    return row["chain"] or row["lineage"].rpartition("/")[2]
