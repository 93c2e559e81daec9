"""What figures and summaries line up: lineages in the order of the tree, with means over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from modelswitch.statistics import Estimate, mean_interval


@dataclass
class Node:
    """A lineage, its place in the tree and its size."""

    lineage: str
    model: str
    transfer: str
    parent: str
    labels: list[str]  # chains that end here
    parameters: float
    depth: float  # layers; NaN if unknown
    children: list[Node] = field(default_factory=list)
    level: int = 0  # switches above it

    @property
    def name(self) -> str:
        """What to call it: its chains' labels, or the last step of its lineage."""
        return ", ".join(self.labels) or self.step

    @property
    def step(self) -> str:
        return f"{self.model}@{self.transfer}" if self.transfer else self.model

    @property
    def role(self) -> str:
        if not self.parent:
            return "teacher" if self.children else "alone"
        return "assistant" if self.children else "student"


def tree(models) -> list[Node]:
    """Nodes in the order of the tree (each model above what it was switched into)."""
    nodes: dict[str, Node] = {}
    for row in models.drop_duplicates("lineage").itertuples():
        nodes[row.lineage] = Node(
            lineage=row.lineage,
            model=row.model,
            transfer=row.transfer,
            parent=row.lineage.rpartition("/")[0],
            labels=[label for label in row.chains.split(";") if label],
            parameters=float(row.parameters),
            depth=float(row.depth),
        )
    roots = []
    for node in nodes.values():
        parent = nodes.get(node.parent)
        (parent.children if parent else roots).append(node)
    # Trees first, models that stand alone after them.
    roots.sort(key=lambda node: not node.children)
    ordered: list[Node] = []

    def visit(node: Node, level: int) -> None:
        node.level = level
        ordered.append(node)
        for child in node.children:
            visit(child, level + 1)

    for root in roots:
        visit(root, 0)
    return ordered


def over_seeds(models, metric: str, split: str = "test") -> dict[str, Estimate]:
    """Mean and interval of a metric for each lineage."""
    rows = models[models["split"] == split]
    return {
        lineage: mean_interval(group[metric])
        for lineage, group in rows.groupby("lineage", sort=False)
    }


def per_seed(models, lineage: str, metric: str = "accuracy", split: str = "test") -> dict:
    """{seed: value} of one lineage."""
    rows = models[(models["lineage"] == lineage) & (models["split"] == split)]
    values = rows.groupby("seed")[metric].mean().dropna()
    return {int(seed): float(value) for seed, value in values.items()}


def ends(models) -> list[Node]:
    """The lineages in which chains end, in the order of the table."""
    by_lineage = {node.lineage: node for node in tree(models)}
    order = models.drop_duplicates("lineage")["lineage"]
    return [by_lineage[lineage] for lineage in order if by_lineage[lineage].labels]


def split_of(models) -> str:
    """`test`, or `validation` for a run that never touched the test set (a search)."""
    return "test" if (models["split"] == "test").any() else "validation"


def percent(estimate: Estimate, digits: int = 1) -> str:
    """`84.3 ± 0.4`, in percent; without an interval just `84.3`."""
    if math.isnan(estimate.mean):
        return ""
    mean = f"{100 * estimate.mean:.{digits}f}"
    if math.isnan(estimate.low):
        return mean
    return f"{mean} ± {100 * estimate.half_width:.{digits}f}"
