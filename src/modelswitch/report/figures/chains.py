"""The models themselves: the tree of chains."""

from __future__ import annotations

import math
from statistics import median

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch.report.figures import style
from modelswitch.results import foremost, seeds, tree
from modelswitch.wording import amount

ROLES = {
    "teacher": style.BLUE,
    "assistant": style.AMBER,
    "student": style.GREEN,
    "alone": style.GREY,
}
POINTS = 18.5  # width of one unit of the diagram's left half, a little less than it comes out


def diagram(tables) -> Figure:
    """The tree of models from the teacher down, each with its size and its accuracy.

    A circle's area is proportional to the number of parameters. An arrow: a model that did not
    learn, so far below all others that these could not be told apart.
    """
    models, split = tables.models, seeds.split_of(tables.models)
    nodes = tree.tree(models)
    accuracy = seeds.over_seeds(models, "accuracy", split)
    # A row is taller where the chain's label stands under the step.
    heights = [1.45 if labelled(node) else 1.0 for node in nodes]
    tops = [sum(heights[:i]) for i in range(len(nodes))]
    centre = {node.lineage: top + h / 2 for node, top, h in zip(nodes, tops, heights, strict=True)}
    others = foremost.others(tables, split)
    total = sum(heights) + (1.2 if others else 0)
    figure = style.new(0.55 + 0.19 * total)
    left, right = figure.subplots(1, 2, width_ratios=(2.35, 1), sharey=True)
    left.set_ylim(total, -0.9)
    largest = max((node.parameters for node in nodes if node.parameters > 0), default=1)
    indent, text_end = 0.3, 8.0
    died = seeds.died(models, accuracy)
    kind_at, size_at, depth_at = 5.55, 6.9, 8.0
    # Where all are trained or distilled, the names of the transfers say more.
    kinds = {node.kind for node in nodes} - {"trained", "distilled"}
    names_end = kind_at - 1.3 if kinds else size_at - 1.55
    for node in nodes:
        x, y = node.level * indent, centre[node.lineage]
        if node.parent in centre:
            above = centre[node.parent]
            left.plot([x - indent, x - indent, x], [above, y, y], color=style.LIGHT, linewidth=0.8,
                      zorder=1)  # fmt: skip
        known = not math.isnan(node.parameters)
        area = 70 * node.parameters / largest if known else 0
        left.scatter([x], [y], s=max(area, 3), color=ROLES[node.role], zorder=2, linewidths=0)
        under = labelled(node)
        room = POINTS * (names_end - x - 0.35)
        left.text(x + 0.35, y - (0.30 if under else 0), style.fitting(node.step, room, 6.5),
                  va="center", fontsize=6.5)  # fmt: skip
        if under:
            left.text(x + 0.35, y + 0.36, style.fitting(under, room, style.SMALLEST), va="center",
                      fontsize=style.SMALLEST, color="#666666")  # fmt: skip
        if kinds:
            left.text(kind_at, y, node.kind, va="center", ha="right", fontsize=style.SMALLEST)
        size = amount(node.parameters) if known else "?"
        left.text(size_at, y, size, va="center", ha="right", fontsize=6.5)
        if not math.isnan(node.depth):
            left.text(depth_at, y, f"{node.depth:.0f}", va="center", ha="right", fontsize=6.5)
        estimate = accuracy.get(node.lineage)
        if estimate is None:
            continue
        if node.lineage in died:
            style.beyond(right, y, True, ROLES[node.role])
        else:
            style.interval(right, y, 100 * estimate.mean, 100 * estimate.low,
                           100 * estimate.high, ROLES[node.role])  # fmt: skip
        right.text(1.22, y, f"{100 * estimate.mean:.1f}", transform=right.get_yaxis_transform(),
                   ha="right", va="center", fontsize=6.5)  # fmt: skip
    if others:
        y = total - 0.5
        low, middle, high = (100 * f(list(others.values())) for f in (min, median, max))
        left.text(0.35, y, f"{len(others):,} others, lowest, median, highest", va="center",
                  fontsize=style.SMALLEST, color="#666666")  # fmt: skip
        style.interval(right, y, middle, low, high, style.GREY)
        right.text(1.22, y, f"{middle:.1f}", transform=right.get_yaxis_transform(), ha="right",
                   va="center", fontsize=6.5, color="#666666")  # fmt: skip
    for x, heading in ((size_at, "param."), (depth_at, "layers")):
        left.text(
            x, -0.45, heading, ha="right", va="center", fontsize=style.SMALLEST, color="#666666"
        )
    left.text(
        0, -0.45, "model@transfer", ha="left", va="center", fontsize=style.SMALLEST, color="#666666"
    )
    left.set_xlim(-0.35, text_end + 0.05)
    left.axis("off")
    style.rows_axis(right, 1)
    right.set_ylim(total, -0.9)
    right.tick_params(axis="y", labelleft=False)
    right.xaxis.set_major_locator(MaxNLocator(3))
    right.set_xlabel(f"{split} accuracy (%)")
    right.margins(x=0.12)
    for node, top in zip(nodes, tops, strict=True):
        if node.level == 0 and top > 0:  # a line between trees
            for axes in (left, right):
                axes.axhline(top, color=style.LIGHT, linewidth=0.5)
    return figure


def labelled(node: tree.TreeNode) -> str:
    """The chains' labels, where they say more than the step above them."""
    name = ", ".join(node.labels)
    return "" if name in ("", node.step, node.model) else name
