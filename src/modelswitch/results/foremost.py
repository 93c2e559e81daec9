"""Which of many models are drawn one by one; of the others there is a spread.

Never chosen by how they did on test images: what claims name, then the most accurate on validation
images, each with what it is compared to.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from modelswitch.results import seeds, tree
from modelswitch.results.tree import TreeNode

if TYPE_CHECKING:
    import pandas as pd

    from modelswitch.results.tables import Tables

MOST = 40  # models that are all drawn
DRAWN = 20  # of more than that
# Transfers between one pair of models that agree in these differ in their weighting alone, as far
# as models.csv tells.
_BUT_RULE = ("parent", "model", "soft", "temperature", "output_loss", "hint", "views")


def foremost(tables: Tables, most: int = MOST, drawn: int = DRAWN) -> Tables:
    """The rows of about `drawn` models of one data set; all rows of no more than `most` models.

    With a model come those above it, the same network from scratch and behind a direct switch, and
    of weighting rules the fixed weight and the grid of δ that it belongs to.
    """
    models = tables.models
    nodes = {node.lineage: node for node in tree.tree(models)}
    if len(nodes) <= most:
        return tables
    grids = _grids(models)
    chosen: dict[str, None] = {}
    claimed, others = _ranked(tables, nodes)
    for node in claimed + others:
        wanted = dict.fromkeys([node.lineage, *grids.get(node.lineage, ())])
        rivals = [node.model, f"{node.lineage.split('/')[0]}/{node.step}"] if node.parent else []
        wanted |= dict.fromkeys(tree.with_those_above([*wanted, *rivals]))
        more = chosen | {lineage: None for lineage in wanted if lineage in nodes}
        if len(more) > drawn and chosen and node not in claimed:
            break
        chosen = more
    return tables.only(chosen)


def sides(tables: Tables, metric: str = "") -> set[str]:
    """Labels and lineages that claims name, of one metric if it is given."""
    claims = tables.claims
    if claims is None:
        return set()
    rows = claims[claims["metric"] == metric] if metric else claims
    return {side for key in ("better", "than") for side in rows[key] if side}


def others(tables: Tables, split: str) -> dict[str, float]:
    """Mean accuracy of the models that `tables` are without, by lineage; none for whole tables."""
    drawn = set(tables.models["lineage"])
    every = tables.whole.models
    known = seeds.over_seeds(every[~every["lineage"].isin(drawn)], "accuracy", split)
    return {lineage: found.mean for lineage, found in known.items() if found.count}


def _ranked(tables: Tables, nodes: dict[str, TreeNode]) -> tuple[list[TreeNode], list[TreeNode]]:
    """What claims name, and the other ends of chains from the most accurate one down."""
    named = sides(tables)
    claimed = [node for node in nodes.values() if named & {node.lineage, *node.labels}]
    known = seeds.over_seeds(tables.models, "accuracy", "validation")
    accuracy = {lineage: found.mean for lineage, found in known.items() if found.count}
    ends = [node for node in nodes.values() if node.labels and node not in claimed]
    # Among equals, and where nothing was held back, the configuration's order.
    ends.sort(key=lambda node: -accuracy.get(node.lineage, -math.inf))
    return claimed, ends


def _grids(models: pd.DataFrame) -> dict[str, list[str]]:
    """Of each transfer by a rule the fixed weights, and of one with δ the other δ, that are the
    same but for the weighting."""
    switched = models[models["rule"] != ""].drop_duplicates("lineage")
    found: dict[str, list[str]] = {}
    for _, group in switched.groupby(list(_BUT_RULE), sort=False, dropna=False):
        fixed = group.loc[group["rule"] == "fixed", "lineage"].tolist()
        for rule, own in group[group["rule"] != "fixed"].groupby("rule", sort=False):
            grid = own["lineage"].tolist() if rule == "correctness" and fixed else []
            # One that is longer than what is drawn is not drawn whole.
            with_it = fixed + grid * (len(grid) <= DRAWN)
            found |= dict.fromkeys(own["lineage"], with_it)
    return found
