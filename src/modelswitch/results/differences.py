"""Which differences are worth a look without anybody having claimed them, and their statistics."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from modelswitch.results import intervals, pooling, seeds, tree
from modelswitch.results.intervals import PairedDifference
from modelswitch.results.tree import TreeNode

if TYPE_CHECKING:
    import pandas as pd

    from modelswitch.results.tables import Tables

# Below this share of wrong answers by the teacher, rules that look at correctness all do the same.
TOO_FEW_WRONG = 0.02
SCRATCH, DIRECT = "over scratch", "over a direct switch"
FIXED = "fixed"
Row = dict[Hashable, Any]  # of a table: column name to value


@dataclass(frozen=True)
class Pair:
    """One lineage beside another: better - than.

    Attributes:
        group: why they are compared.
        refused: why they cannot be: then there is no difference.
    """

    group: str
    better: TreeNode
    than: TreeNode
    difference: PairedDifference
    refused: str = ""


@dataclass(frozen=True)
class Rule:
    """A weighting rule beside the fixed weight that switched the same pair of models.

    Attributes:
        baseline: lineage of the fixed weight whose transfer is the same but for the weighting;
            '' without one.
        difference: `None` for a baseline, and without one.
        refused: in what it differs from the fixed weights that there are, or why there is no
            difference to its own.
    """

    node: TreeNode
    name: str
    rule: str
    delta: float
    baseline: str
    difference: PairedDifference | None
    refused: str
    p_holm: float = math.nan  # corrected within one pair of models


def of_chains(models: pd.DataFrame, metric: str = "accuracy") -> list[Pair]:
    """Chain ends beside the same model from scratch, and beside a direct switch."""
    compared = seeds.Compared(models, metric, seeds.split_of(models))
    pairs = [_pair(compared, group, better, than) for group, better, than in _rivals(models)]
    return sorted(pairs, key=lambda pair: pair.group != SCRATCH)


def _rivals(models: pd.DataFrame) -> Iterator[tuple[str, TreeNode, TreeNode]]:
    """Each end of a chain and what it is compared to: why, the one, the other."""
    nodes = {node.lineage: node for node in tree.tree(models)}
    for node in tree.ends(models):
        if not node.parent:
            continue
        root = node.lineage.split("/")[0]
        rivals = {SCRATCH: node.model}
        if node.level > 1:
            rivals[DIRECT] = f"{root}/{node.step}"
        for group, rival in rivals.items():
            if rival in nodes:
                yield group, node, nodes[rival]


def of_others(tables: Tables, metric: str = "accuracy") -> dict[str, list[float]]:
    """Of models that `tables` are without, the means of their differences to the same model from
    scratch and behind a direct switch, by group; of whole tables none."""
    import numpy as np

    every, drawn = tables.whole.models, set(tables.models["lineage"])
    split = seeds.split_of(every)
    if drawn == set(every["lineage"]):
        return {}
    by_seed = every[every["split"] == split].pivot_table(metric, "lineage", "seed", sort=False)
    made = pooling.made(every)
    found: dict[str, list[float]] = {}
    for group, better, than in _rivals(every):
        if better.lineage not in drawn and {better.lineage, than.lineage} <= set(by_seed.index):
            one, other = (by_seed.loc[node.lineage].to_numpy() for node in (better, than))
            known = (one - other)[~np.isnan(one - other)]
            if known.size and not pooling.unlike(made, better.lineage, than.lineage):
                found.setdefault(group, []).append(float(known.mean()))
    return found


def of_teachers(models: pd.DataFrame, metric: str = "accuracy") -> list[Pair]:
    """Every first model beside each student of its chains trained from scratch.

    A teacher that is not the better of the two has little to teach.
    """
    nodes = {node.lineage: node for node in tree.tree(models)}
    pairs = dict.fromkeys(
        (end.lineage.split("/")[0], end.model)
        for end in tree.ends(models)
        if end.parent and end.model in nodes
    )
    compared = seeds.Compared(models, metric, seeds.split_of(models))
    return [
        _pair(compared, "teacher", nodes[teacher], nodes[student])
        for teacher, student in pairs
        if teacher in nodes and teacher != student
    ]


def _pair(compared: seeds.Compared, group: str, better: TreeNode, than: TreeNode) -> Pair:
    difference, refused = compared(better.lineage, than.lineage)
    return Pair(group, better, than, difference, refused)


def of_rules(tables: Tables, metric: str = "accuracy") -> list[Rule]:
    """Weighting rules: every transfer beside the fixed one that switched the same pair of models.

    All else in the two transfers, and in how both were trained, is the same.
    """
    models = tables.models
    compared = seeds.Compared(models, metric, seeds.split_of(models))
    switched = models[models["rule"] != ""].drop_duplicates("lineage")
    settings = {row["lineage"]: row for row in switched.to_dict("records")}
    pairs: dict[tuple[str, str], list[TreeNode]] = {}
    for node in tree.tree(models):
        if node.lineage in settings:
            pairs.setdefault((node.parent, node.model), []).append(node)
    rows: list[Rule] = []
    for group in pairs.values():
        if len({settings[node.lineage]["rule"] for node in group}) < 2:
            continue
        alike = {node.lineage: _but_rule(settings[node.lineage]) for node in group}
        rows += [_beside_fixed(node, settings, alike, compared) for node in group]
    # Over all of them: whoever reads that so many differ does not ask of which pair of models.
    corrected = intervals.holm([row.difference.p if row.difference else math.nan for row in rows])
    rows = [dataclasses.replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]
    short = Counter(row.name for row in rows)
    # The rule says it best, unless transfers with one rule differ in something else.
    return [
        row if short[row.name] == 1 else dataclasses.replace(row, name=row.node.name)
        for row in rows
    ]


class Curve(NamedTuple):
    """Switches of one pair of models that differ in δ alone, from a fixed weight, δ = 0, on."""

    parent: str  # lineage of the teacher
    model: str
    baseline: str  # lineage of the fixed weight

    @property
    def name(self) -> str:
        return f"{self.parent.split('/')[-1]} → {self.model}"


def delta_curves(tables: Tables) -> dict[Curve, dict[float, str]]:
    """Curves over δ by correctness, of one data set: rising δ to lineage; 0 is the fixed weight."""
    curves: dict[Curve, dict[float, str]] = {}
    for rule in of_rules(tables):
        if rule.rule == "correctness" and rule.difference and not rule.refused:
            curve = Curve(rule.node.parent, rule.node.model, rule.baseline)
            curves.setdefault(curve, {0.0: rule.baseline})[rule.delta] = rule.node.lineage
    return {curve: dict(sorted(found.items())) for curve, found in curves.items()}


def _beside_fixed(
    node: TreeNode,
    settings: dict[str, Row],
    alike: dict[str, dict[str, Any]],
    compared: seeds.Compared,
) -> Rule:
    """A switch beside the fixed weight among those of its pair of models.

    Args:
        alike: of each of these, all that is known of it but its weighting.
    """
    own = settings[node.lineage]
    others = {
        lineage: pooling.differing(other, alike[node.lineage], everything=True)
        for lineage, other in alike.items()
        if settings[lineage]["rule"] == FIXED
    }
    baseline = next((lineage for lineage, differ in others.items() if not differ), "")
    difference, refused = None, ""
    if baseline and baseline != node.lineage:
        difference, refused = compared(node.lineage, baseline)
    elif not baseline and others:
        nearest = min(others, key=lambda lineage: len(others[lineage]))
        refused = f"not the same as {nearest} but for the rule: {pooling.named(others[nearest])}"
    name = own["rule"].replace("_", " ")
    if not math.isnan(own["delta"]):
        name = f"{name} ±{own['delta']:g}"
    return Rule(node, name, own["rule"], own["delta"], baseline, difference, refused)


def _but_rule(row: Row) -> dict[str, Any]:
    """All that is known of how a switch was made but its weighting: by path, leaves of JSON."""
    if row["settings"]:
        settings = json.loads(row["settings"])
        settings["transfer"].pop("weighting", None)
        return pooling.flat(settings)
    # A table from before settings were recorded says less.
    known = {key: row[key] for key in ("hint", "views", "soft", "temperature", "epochs")}
    return {key: value for key, value in known.items() if value == value}


def teacher_wrong_share(history: pd.DataFrame | None) -> float:
    """Share of training views on which the teacher is wrong, over all trainings that say so."""
    if history is None or history["teacher_wrong"].notna().sum() == 0:
        return math.nan
    return float(history["teacher_wrong"].mean())
