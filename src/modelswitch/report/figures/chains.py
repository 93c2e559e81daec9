"""The models themselves: the tree of chains, and accuracy against size."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from modelswitch.report.figures import style
from modelswitch.results import seeds, tree
from modelswitch.wording import amount, round_amount, short

ROLES = {
    "teacher": style.BLUE,
    "assistant": style.AMBER,
    "student": style.GREEN,
    "alone": style.GREY,
}
POINTS = 19.5  # width of one unit of the diagram's left half, a little less than it comes out


def diagram(tables) -> Figure:
    """The tree of models from the teacher down, each with its size and its accuracy.

    A circle's area is proportional to the number of parameters.
    """
    models, split = tables.models, seeds.split_of(tables.models)
    nodes = tree.tree(models)
    accuracy = seeds.over_seeds(models, "accuracy", split)
    # A row is taller where the chain's label stands under the step.
    heights = [1.45 if labelled(node) else 1.0 for node in nodes]
    tops = [sum(heights[:i]) for i in range(len(nodes))]
    centre = {node.lineage: top + h / 2 for node, top, h in zip(nodes, tops, heights, strict=True)}
    total = sum(heights)
    figure = style.new(0.55 + 0.19 * total)
    left, right = figure.subplots(1, 2, width_ratios=(2.35, 1), sharey=True)
    left.set_ylim(total, -0.9)
    largest = max((node.parameters for node in nodes if node.parameters > 0), default=1)
    indent, text_end = 0.3, 8.0
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
            left.text(x + 0.35, y + 0.36, style.fitting(under, room, 5.8), va="center",
                      fontsize=5.8, color="#666666")  # fmt: skip
        if kinds:
            left.text(kind_at, y, node.kind, va="center", ha="right", fontsize=5.8)
        size = amount(node.parameters) if known else "?"
        left.text(size_at, y, size, va="center", ha="right", fontsize=6.5)
        if not math.isnan(node.depth):
            left.text(depth_at, y, f"{node.depth:.0f}", va="center", ha="right", fontsize=6.5)
        estimate = accuracy.get(node.lineage)
        if estimate is None:
            continue
        style.interval(right, y, 100 * estimate.mean, 100 * estimate.low, 100 * estimate.high,
                       ROLES[node.role])  # fmt: skip
        right.text(1.22, y, f"{100 * estimate.mean:.1f}", transform=right.get_yaxis_transform(),
                   ha="right", va="center", fontsize=6.5)  # fmt: skip
    for x, heading in ((size_at, "param."), (depth_at, "layers")):
        left.text(x, -0.45, heading, ha="right", va="center", fontsize=5.8, color="#666666")
    left.text(0, -0.45, "model@transfer", ha="left", va="center", fontsize=5.8, color="#666666")
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


def accuracy_by_size(tables) -> Figure:
    """Accuracy against parameters; every chain is a path from its teacher to its student.

    Sizes fall from left to right, the way a chain runs, and the names stand behind the ends.
    """
    models, split = tables.models, seeds.split_of(tables.models)
    nodes = {node.lineage: node for node in tree.tree(models)}
    ends = tree.ends(models) or [n for n in nodes.values() if not n.children]
    accuracy = seeds.over_seeds(models, "accuracy", split)
    paths: list[list[tree.TreeNode]] = []
    for end in ends:
        path: list[tree.TreeNode] = []
        above: tree.TreeNode | None = end
        while above is not None:
            # What is unknown, or none, has no place on an axis of powers.
            if above.lineage in accuracy and above.parameters > 0:
                path.append(above)
            above = nodes.get(above.parent)
        if path and path[0] is end:
            paths.append(path[::-1])
    if not paths:
        return style.message("No chain has results and known sizes yet.")
    crowded = len(paths) > 6
    figure = style.new(max(2.4, 0.9 + 0.125 * len(paths)))
    axes = figure.subplots()
    sizes = sorted({node.parameters for path in paths for node in path}, reverse=True)
    decades = math.log10(sizes[0] / sizes[-1]) or 0.3
    places = _apart(paths, accuracy, step=min(0.02, 0.22 / len(paths)) * decades)
    finals = []
    for index, path in enumerate(paths):
        colour = style.colour(index)
        x = [places[node.lineage] for node in path]
        y = [100 * accuracy[node.lineage].mean for node in path]
        axes.plot(x, y, color=colour, linestyle=style.dashes(index), linewidth=0.9,
                  alpha=0.5 if crowded else 0.75, zorder=2)  # fmt: skip
        for node, at, mean in zip(path, x, y, strict=True):
            estimate, last = accuracy[node.lineage], node is path[-1]
            own = colour if last else "#444444"
            # With many chains only the ends keep their intervals; the diagram has the others.
            if not math.isnan(estimate.low) and (last or not crowded):
                axes.plot([at, at], [100 * estimate.low, 100 * estimate.high], color=own,
                          linewidth=0.7, alpha=0.5, zorder=1)  # fmt: skip
            axes.plot(at, mean, marker=style.marker(index) if last else "o", color=own,
                      markersize=3.4 if last else 2.4, zorder=4 if last else 3,
                      linestyle="none")  # fmt: skip
        finals.append((path[-1], x[-1], y[-1], colour))
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] * 10 ** (0.08 * decades), sizes[-1] / 10 ** (0.16 * decades))
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if decades < 1.6 else (1, 3) if decades < 3 else (1,))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: round_amount(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlabel("parameters (log scale, large to small)")
    axes.set_ylabel(f"{split} accuracy (%)")
    for _ in range(3):  # labels that need room stretch the axis, which asks for a larger gap
        low, high = axes.get_ylim()
        gap = 0.115 * (high - low) / (figure.get_figheight() - 0.5)
        placed = style.spread([y for _, _, y, _ in finals], gap)
        axes.set_ylim(min(low, min(placed) - gap / 2), max(high, max(placed) + gap / 2))
    for (node, size, mean, colour), at in zip(finals, placed, strict=True):
        axes.annotate(
            short(node.name, 27),
            xy=(size, mean),
            xytext=(1.03, at),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=6.2,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "alpha": 0.7,
                        "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)},
        )  # fmt: skip
    return figure


def _apart(paths, accuracy, step: float) -> dict[str, float]:
    """Horizontal place of every lineage: its size, moved a little among equals.

    Models of one size would hide each other. The middle of their ranking stays furthest right and
    the extremes go left, so that the lines to the names cross no other model.
    """
    same: dict[float, list[str]] = {}
    for path in paths:
        for node in path:
            group = same.setdefault(node.parameters, [])
            if node.lineage not in group:
                group.append(node.lineage)
    places = {}
    for size, group in same.items():
        ranked = sorted(group, key=lambda lineage: accuracy[lineage].mean)
        middle = (len(ranked) - 1) / 2
        for rank, lineage in enumerate(ranked):
            shift = abs(rank - middle) * 2 - middle + (0.5 if rank > middle else 0)
            places[lineage] = size * 10 ** (step * shift)
    return places
