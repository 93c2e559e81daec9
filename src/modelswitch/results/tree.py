"""Lineages in the order of the tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class TreeNode:
    """A lineage, its place in the tree and its size."""

    lineage: str
    model: str
    transfer: str
    parent: str
    labels: list[str]  # chains that end here
    parameters: float
    depth: float  # layers; NaN if unknown
    origin: str = ""  # of its first weights, as in models.csv
    children: list[TreeNode] = field(default_factory=list)
    level: int = 0  # switches above it

    @property
    def name(self) -> str:
        """What to call it: its chains' labels, or the last step of its lineage."""
        return ", ".join(self.labels) or self.step

    @property
    def step(self) -> str:
        return f"{self.model}@{self.transfer}" if self.transfer else self.model

    @property
    def kind(self) -> str:
        """How it came about: trained, given, merged, distilled, pruned, grown or quantised."""
        if self.origin in ("pruned", "grown", "quantised"):
            return self.origin
        if self.parent:
            return "distilled"
        return self.origin if self.origin in ("given", "merged") else "trained"

    @property
    def role(self) -> str:
        if not self.parent:
            return "teacher" if self.children else "alone"
        return "assistant" if self.children else "student"


def tree(models) -> list[TreeNode]:
    """Nodes in the order of the tree (each model above what it was switched into)."""
    nodes: dict[str, TreeNode] = {}
    for row in models.drop_duplicates("lineage").itertuples():
        nodes[row.lineage] = TreeNode(
            lineage=row.lineage,
            model=row.model,
            transfer=row.transfer,
            parent=row.lineage.rpartition("/")[0],
            labels=[label for label in row.chains.split(";") if label],
            parameters=float(row.parameters),
            depth=float(row.depth),
            origin=getattr(row, "origin", ""),
        )
    roots: list[TreeNode] = []
    for node in nodes.values():
        parent = nodes.get(node.parent)
        (parent.children if parent else roots).append(node)
    # Trees first, models that stand alone after them.
    roots.sort(key=lambda node: not node.children)
    ordered: list[TreeNode] = []

    def visit(node: TreeNode, level: int) -> None:
        node.level = level
        ordered.append(node)
        for child in node.children:
            visit(child, level + 1)

    for root in roots:
        visit(root, 0)
    return ordered


def ends(models) -> list[TreeNode]:
    """The lineages in which chains end, in the order of the table."""
    by_lineage = {node.lineage: node for node in tree(models)}
    order = models.drop_duplicates("lineage")["lineage"]
    return [by_lineage[lineage] for lineage in order if by_lineage[lineage].labels]


def with_those_above(lineages: Iterable[str]) -> list[str]:
    """Lineages and all that they were switched from, each once, from the first model on."""
    steps = (lineage.split("/") for lineage in lineages)
    return list(
        dict.fromkeys("/".join(each[:end]) for each in steps for end in range(1, len(each) + 1))
    )
