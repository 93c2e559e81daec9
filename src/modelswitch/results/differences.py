"""Which differences are worth a look without anybody having claimed them, and their statistics."""

from __future__ import annotations

import math

from modelswitch.results import intervals, seeds, tree
from modelswitch.results.intervals import PairedDifference

# Below this share of wrong answers by the teacher, rules that look at correctness all do the same.
TOO_FEW_WRONG = 0.02
SCRATCH, DIRECT = "over scratch", "over a direct switch"


def of_chains(models, metric: str = "accuracy") -> list[dict]:
    """Paired differences of chain ends: to the same model from scratch, and to a direct switch.

    Rows with keys group, better, than (names), lineage, rival (lineages) and difference.
    """
    split = seeds.split_of(models)
    nodes = {node.lineage: node for node in tree.tree(models)}
    rows = []
    for node in tree.ends(models):
        if not node.parent:
            continue
        root = node.lineage.split("/")[0]
        rivals = {SCRATCH: node.model}
        if node.level > 1:
            rivals[DIRECT] = f"{root}/{node.step}"
        for group, rival in rivals.items():
            if rival in nodes:
                difference = _difference(models, node.lineage, rival, metric, split)
                rows.append(
                    {"group": group, "better": node.name, "than": nodes[rival].name,
                     "lineage": node.lineage, "rival": rival, "difference": difference}
                )  # fmt: skip
    return sorted(rows, key=lambda row: row["group"] != SCRATCH)


def of_teachers(models, metric: str = "accuracy") -> list[dict]:
    """Every first model beside each student of its chains trained from scratch.

    Rows with keys teacher, student (lineages) and difference, teacher minus student. A teacher that
    is not the better of the two has little to teach.
    """
    split = seeds.split_of(models)
    nodes = {node.lineage: node for node in tree.tree(models)}
    pairs = dict.fromkeys(
        (end.lineage.split("/")[0], end.model)
        for end in tree.ends(models)
        if end.parent and end.model in nodes
    )
    return [
        {
            "teacher": teacher,
            "student": student,
            "difference": _difference(models, teacher, student, metric, split),
        }
        for teacher, student in pairs
        if teacher in nodes and teacher != student
    ]


def of_rules(tables, metric: str = "accuracy") -> list[dict]:
    """Weighting rules: every transfer beside the fixed one that switched the same pair of models.

    Rows with keys node, name, rule, delta, baseline (lineage of the fixed one, '' if there is
    none), difference (`None` for the baseline itself), and p_holm within one pair of models.
    """
    models = tables.models
    split = seeds.split_of(models)
    settings = {row.lineage: row for row in models.itertuples() if row.rule}
    pairs: dict[tuple[str, str], list[tree.TreeNode]] = {}
    for node in tree.tree(models):
        if node.lineage in settings:
            pairs.setdefault((node.parent, node.model), []).append(node)
    rows = []
    for group in pairs.values():
        if len({settings[node.lineage].rule for node in group}) < 2:
            continue
        found = []
        for node in group:
            own = settings[node.lineage]
            baseline = next(
                (
                    other.lineage
                    for other in group
                    if settings[other.lineage].rule == "fixed"
                    and _same_but_rule(settings[other.lineage], own)
                ),
                "",
            )
            difference = None
            if baseline and baseline != node.lineage:
                difference = _difference(models, node.lineage, baseline, metric, split)
            found.append(
                {"node": node, "rule": own.rule, "delta": own.delta, "baseline": baseline,
                 "difference": difference}
            )  # fmt: skip
        corrected = intervals.holm(
            [row["difference"].p if row["difference"] else math.nan for row in found]
        )
        for row, p in zip(found, corrected, strict=True):
            row["p_holm"] = p
        rows += found
    short = [_rule_name(row) for row in rows]
    for row, name in zip(rows, short, strict=True):
        # The rule says it best, unless transfers with one rule differ in something else.
        row["name"] = name if short.count(name) == 1 else row["node"].name
    return rows


def _rule_name(row: dict) -> str:
    name = row["rule"].replace("_", " ")
    return name if math.isnan(row["delta"]) else f"{name} ±{row['delta']:g}"


def teacher_wrong_share(history) -> float:
    """Share of training views on which the teacher is wrong, over all trainings that say so."""
    if history is None or history["teacher_wrong"].notna().sum() == 0:
        return math.nan
    return float(history["teacher_wrong"].mean())


def _difference(models, better: str, than: str, metric: str, split: str) -> PairedDifference:
    return intervals.paired_by_seed(
        seeds.per_seed(models, better, metric, split),
        seeds.per_seed(models, than, metric, split),
    )


def _same_but_rule(first, second) -> bool:
    """Whether two transfers agree in everything but the rule, as far as the table knows."""

    def key(row):
        numbers = (row.soft, row.temperature)
        return (row.hint, row.views, *(None if math.isnan(n) else n for n in numbers))

    return key(first) == key(second)
