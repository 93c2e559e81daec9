"""The table of weighting rules."""

from __future__ import annotations

import math

from modelswitch.report.contents import SELECTIVE
from modelswitch.report.sheet import Sheet, number, probability, share, text
from modelswitch.report.summaries.chains import NAN
from modelswitch.report.summaries.remarks import datasets, one_seed, teachers
from modelswitch.results import differences, intervals, seeds


def rules_sheet(tables) -> Sheet | None:
    """Weighting rules beside the fixed weight, with Holm's correction over the rules."""
    rows: list[dict] = []
    warnings: list[str] = []
    beside: list[str] = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        compared = differences.of_rules(part)
        if not compared:
            continue
        models, history = part.models, part.history
        split = seeds.split_of(models)
        found, lines = teachers(models, split, dataset if len(datasets(tables)) > 1 else "")
        warnings += found
        beside += lines
        estimates = {
            metric: seeds.over_seeds(models, metric, split)
            for metric in ("accuracy", "accuracy_teacher_right", "accuracy_teacher_wrong")
        }
        warnings += [f"{r.node.name}: no difference, {r.refused}." for r in compared if r.refused]
        for rule in compared:
            difference = rule.difference or intervals.PairedDifference.without_interval()
            lineage = rule.node.lineage
            own = None if history is None else history[history["lineage"] == lineage]
            accuracy = estimates["accuracy"][lineage]
            rows.append(
                {
                    "dataset": dataset,
                    "transfer": rule.node.transfer,
                    "rule": rule.rule,
                    "delta": rule.delta,
                    "lineage": lineage,
                    "split": split,
                    "seeds": accuracy.count,
                    "accuracy": accuracy.mean,
                    "accuracy_low": accuracy.low,
                    "accuracy_high": accuracy.high,
                    **difference.columns("difference"),
                    "p": difference.p,
                    "p_holm": rule.p_holm,
                    "seeds_needed": intervals.seeds_needed(difference.estimate, difference.spread),
                    "accuracy_teacher_right": estimates["accuracy_teacher_right"][lineage].mean,
                    "accuracy_teacher_wrong": estimates["accuracy_teacher_wrong"][lineage].mean,
                    "teacher_wrong_stored": _stored_wrong(part.responses, rule.node.parent),
                    "teacher_wrong_first": _at_epoch(own, "teacher_wrong", first=True),
                    "teacher_wrong": differences.teacher_wrong_share(own),
                    "weight_soft": _mean(own, "weight_soft"),
                    "weight_hard": _mean(own, "weight_hard"),
                }
            )
        warnings += _too_few_wrong([row for row in rows if row["dataset"] == dataset], dataset)
    if not rows:
        return None
    split = rows[0]["split"]
    columns = [
        text("transfer", "transfer"),
        text("rule", "rule", brief=False),
        number("δ", "delta", "{:g}", brief=False),
        share(f"{split} accuracy %", "accuracy"),
        share("difference to fixed", "difference", signed=True),
        probability("p (Holm)", "p_holm"),
        number("seeds needed", "seeds_needed", "{:.0f}", brief=False),
        share("teacher right %", "accuracy_teacher_right", brief=False),
        share("teacher wrong %", "accuracy_teacher_wrong", brief=False),
        share("stored views wrong %", "teacher_wrong_stored", brief=False),
        share("views wrong, first epoch %", "teacher_wrong_first", brief=False),
        share("views wrong, all epochs %", "teacher_wrong", brief=False),
        number("soft weight", "weight_soft", "{:.3f}", brief=False),
        number("hard weight", "weight_hard", "{:.3f}", brief=False),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]
    return Sheet(
        "rules", "Weighting rules", SELECTIVE, rows, columns,
        note="Difference to the fixed weight, paired by seed, in percentage points ± half of the "
        "95 % t interval; p-values Holm-corrected over the rules. Teacher right, teacher wrong: "
        "accuracy on the images that the teacher gets right or wrong. Views wrong: share of "
        "training views on which the teacher is wrong; stored views: of those that were stored "
        "before training. Seeds needed: to find a difference of this size with 80 % power."
        + _passes(tables)
        + "".join(f" {line}" for line in beside),
        warnings=warnings + one_seed(rows),
    )  # fmt: skip


def _stored_wrong(responses, teacher: str) -> float:
    if responses is None:
        return NAN
    return float(responses.loc[responses["lineage"] == teacher, "teacher_wrong"].mean())


def _too_few_wrong(rows: list[dict], dataset: str) -> list[str]:
    """A warning for every teacher that is hardly ever wrong; others' mistakes are no help there."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        if not math.isnan(row["teacher_wrong"]):
            shares.setdefault(row["lineage"].rpartition("/")[0], []).append(row["teacher_wrong"])
    return [
        f"The teacher {teacher} is wrong on {100 * share:.1f} % of the training views of "
        f"{dataset}, fewer than {100 * differences.TOO_FEW_WRONG:.0f} %: this comparison cannot "
        "tell the rules apart."
        for teacher, each in shares.items()
        if (share := sum(each) / len(each)) < differences.TOO_FEW_WRONG
    ]


def _passes(tables) -> str:
    """How often teachers were run over the training images, and how often it would have been."""
    responses, models = tables.responses, tables.trainings
    stored = models[(models["views"] == "stored") & models["epochs"].notna()]
    stored = stored.drop_duplicates(["dataset", "seed", "repeat", "lineage"])
    if responses is None or stored.empty:
        return ""
    return (
        f" Teachers were run over the training images {responses['views'].sum():.0f} times, once "
        f"for each stored view; without the store it would have been {stored['epochs'].sum():.0f} "
        "times, once for each epoch of each student."
    )


def _mean(table, column: str) -> float:
    if table is None or table[column].notna().sum() == 0:
        return NAN
    return float(table[column].mean())


def _at_epoch(table, column: str, first: bool) -> float:
    if table is None or table[column].notna().sum() == 0:
        return NAN
    known = table[table[column].notna()]
    epoch = known["epoch"].min() if first else known["epoch"].max()
    return float(known[known["epoch"] == epoch][column].mean())
