"""Accuracy against size: what has one size stands in one band."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETDOWN
from matplotlib.ticker import MaxNLocator

from modelswitch.report.figures import style
from modelswitch.results import foremost, seeds, tree
from modelswitch.results.intervals import Estimate
from modelswitch.wording import amount

# Number of switches above a model -> face, ink of its number, name. Three steps of lightness, so
# that they are told apart in grey.
KINDS = (
    ("#FFFFFF", "#000000", "no switch"),
    ("#A6D4F2", "#000000", "one switch"),
    (style.BLUE, "#FFFFFF", "several switches"),
)
PATHS = (style.GREY, style.SKY, style.BLUE)  # lines of the same three kinds
DISC = 8.6  # points, wide enough for two digits
PITCH = 9.6  # points from one column of a band to the next
HEIGHT = 2.05  # inches of the axes
MARGIN, LEAST_GAP = 4.0, 6.0  # points beside a band, and between two
Box = tuple[float, float]  # lowest and highest accuracy that a model's mark covers


@dataclass
class Band:
    """One size, and the columns in which its models stand side by side."""

    parameters: float
    columns: dict[str, int]  # of each lineage
    centre: float = 0.0

    @property
    def width(self) -> float:
        return PITCH * (max(self.columns.values()) + 1)

    def x(self, lineage: str) -> float:
        return self.centre - self.width / 2 + PITCH * (self.columns[lineage] + 0.5)


def accuracy_by_size(tables) -> Figure:
    """Accuracy against parameters; every chain is a path from its teacher to its student.

    Sizes fall from left to right, the way a chain runs. Models of one size stand in one band:
    within it the horizontal place says nothing, between bands it says the ratio of sizes. The
    numbers at the ends of chains are their ranks, and lead to the list below. Thin grey lines are
    models that are not drawn one by one, see `results.foremost`. A model that did not learn, so far
    below all others that these could not be told apart, stands at the bottom, on an arrow.
    """
    models, split = tables.models, seeds.split_of(tables.models)
    accuracy = seeds.over_seeds(models, "accuracy", split)
    paths = _paths(models, accuracy)
    if not paths:
        return style.message("No chain has results and known sizes yet.")
    paths.sort(key=lambda path: -accuracy[path[-1].lineage].mean)
    ends = [path[-1] for path in paths]
    nodes = {node.lineage: node for path in paths for node in path}
    axes_height = 72 * HEIGHT
    died = seeds.died(models, accuracy)
    died = set() if died.issuperset(nodes) else died & set(nodes)
    boxes = {name: _box(accuracy[name]) for name in nodes if name not in died}
    lowest = min(low for low, _ in boxes.values())
    highest = max(high for _, high in boxes.values())
    others = foremost.others(tables, split)
    if others:  # as far down as most of them; the worst would leave no height for the best
        lowest = min(lowest, 100 * float(np.quantile(list(others.values()), 0.1)))
    # Those that died take a row of their own below, twice as high as a disc.
    half = DISC / 2 * ((highest - lowest) or 1.0) / (axes_height - (6 if died else 2) * DISC)
    bottom = lowest - 4 * half
    boxes |= dict.fromkeys(died, (bottom, bottom))
    room = 72 * style.COLUMN - 34
    bands = _bands(nodes, {n: (low - half, high + half) for n, (low, high) in boxes.items()})
    wide = _width(bands) > room
    if wide:
        room = 72 * style.PAGE - 34
    bounded = _width(bands) <= room
    if not bounded:  # not even then is there room for intervals side by side
        means = {n: bottom if n in died else 100 * accuracy[n].mean for n in nodes}
        bands = _bands(nodes, {n: (mean - half, mean + half) for n, mean in means.items()})
    room = max(room, _width(bands))
    _place(bands, room)
    at = {
        lineage: (band.x(lineage), bottom if lineage in died else 100 * accuracy[lineage].mean)
        for band in bands
        for lineage in band.columns
    }

    listed = 4 if wide else 2
    lines = -(-len(ends) // listed)
    below = 0.2 + 0.135 * lines
    height = HEIGHT + 0.45 + below
    figure = style.new(height, style.PAGE if wide else style.COLUMN)
    style.spacing(figure).set(rect=(0, below / height, 1, 1 - below / height))
    axes = figure.subplots()
    legend = figure.add_axes((0, 0, 1, below / height))
    legend.set_in_layout(False)
    _draw_bands(axes, bands, room)
    sizes = {node.lineage: node.parameters for node in tree.tree(tables.whole.models)}
    for band in bands:
        rest = [100 * a for name, a in others.items() if sizes[name] == band.parameters]
        axes.hlines(rest, band.centre - band.width / 2, band.centre + band.width / 2,
                    color=style.GREY, linewidth=0.3, alpha=0.5, zorder=1)  # fmt: skip
    kinds = {node.lineage: min(node.level, 2) for node in ends}
    for path in reversed(paths):
        places = np.array([at[node.lineage] for node in path])
        axes.plot(*places.T, color=PATHS[kinds[path[-1].lineage]], linewidth=0.8, alpha=0.75,
                  zorder=2)  # fmt: skip
    numbers = {node.lineage: rank for rank, node in enumerate(ends, start=1)}
    for lineage in nodes:
        x, y = at[lineage]
        if lineage in died:
            axes.plot(x, y - 1.4 * half, marker=CARETDOWN, color="#222222", markersize=5, zorder=3)
        elif bounded and not math.isnan(accuracy[lineage].low):
            axes.plot([x] * 2, boxes[lineage], color="#444444", linewidth=0.7, zorder=3)
        if lineage in numbers:
            _disc(axes, x, y, numbers[lineage], kinds[lineage])
        else:
            axes.plot(x, y, marker="o", color="#444444", markersize=3, linestyle="none", zorder=4)
    axes.set_ylim((bottom if died else lowest) - 2 * half, highest + 2 * half)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylabel(f"{split} accuracy (%)")
    axes.set_xlabel("parameters (a band holds one size)")
    _list(legend, ends, accuracy, kinds, listed, lines)
    return figure


def _paths(models, accuracy: dict[str, Estimate]) -> list[list[tree.TreeNode]]:
    """Of every chain the models that have results and a size, first to last."""
    nodes = {node.lineage: node for node in tree.tree(models)}
    ends = tree.ends(models) or [node for node in nodes.values() if not node.children]
    paths = []
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
    return paths


def _box(estimate: Estimate) -> Box:
    """From the interval's lower to its upper end, in percent; the mean twice without one."""
    if math.isnan(estimate.low):
        return 100 * estimate.mean, 100 * estimate.mean
    return 100 * estimate.low, 100 * estimate.high


def _bands(nodes: dict[str, tree.TreeNode], boxes: dict[str, Box]) -> list[Band]:
    """The sizes, large to small; in each one as many columns as its models cover each other."""
    bands = []
    for parameters in sorted({node.parameters for node in nodes.values()}, reverse=True):
        own = [lineage for lineage, node in nodes.items() if node.parameters == parameters]
        own.sort(key=lambda lineage: -sum(boxes[lineage]))
        lowest: list[float] = []  # what each column is filled down to
        columns = {}
        for lineage in own:
            low, high = boxes[lineage]
            free = [i for i, filled in enumerate(lowest) if filled > high]
            column = free[0] if free else len(lowest)
            lowest[column : column + 1] = [low]
            columns[lineage] = column
        bands.append(Band(parameters, columns))
    return bands


def _width(bands: Sequence[Band]) -> float:
    """Points that bands need at least."""
    return 2 * MARGIN + sum(band.width for band in bands) + LEAST_GAP * (len(bands) - 1)


def _place(bands: Sequence[Band], room: float) -> None:
    """Spread bands over `room` points: the gaps in proportion to the logarithms of their ratios."""
    ratios = [math.log(a.parameters / b.parameters) for a, b in itertools.pairwise(bands)]
    spare = room - _width(bands)
    edge = MARGIN + (spare / 2 if not ratios else 0.0)
    for index, band in enumerate(bands):
        band.centre = edge + band.width / 2
        edge += band.width
        if index < len(ratios):
            edge += LEAST_GAP + spare * ratios[index] / sum(ratios)


def _draw_bands(axes: Axes, bands: Sequence[Band], room: float) -> None:
    axes.set_xlim(0, room)
    axes.grid(axis="x", visible=False)
    for band in bands:
        left, right = band.centre - band.width / 2, band.centre + band.width / 2
        axes.axvspan(left, right, color="#F0F0F0", linewidth=0, zorder=0)
    # A size whose name would cover the last one goes without: the table of chains has them all.
    named: list[Band] = []
    for band in bands:
        if not named or band.centre - named[-1].centre > 31:
            named.append(band)
    axes.set_xticks([b.centre for b in named], [amount(b.parameters) for b in named])
    axes.tick_params(axis="x", length=0)


def _disc(axes: Axes, x: float, y: float, number: int, kind: int) -> None:
    face, ink, _ = KINDS[kind]
    axes.plot(x, y, marker="o", markersize=DISC, markerfacecolor=face, markeredgecolor="#222222",
              markeredgewidth=0.6, linestyle="none", zorder=5)  # fmt: skip
    axes.annotate(str(number), (x, y), ha="center", va="center_baseline", color=ink, zorder=6,
                  fontsize=style.SMALLEST)  # fmt: skip


def _list(
    axes: Axes,
    ends: Sequence[tree.TreeNode],
    accuracy: dict[str, Estimate],
    kinds: dict[str, int],
    across: int,
    lines: int,
) -> None:
    """Below the axes: the key to the three kinds, then rank, name and accuracy of every end."""
    width = (72 * (style.COLUMN if across == 2 else style.PAGE) - 8) / across
    axes.set_xlim(-4, width * across + 4)
    axes.set_ylim(lines + 0.2, -1.3)
    axes.axis("off")
    x = 6.0
    for kind in sorted(set(kinds.values())):
        axes.plot(x, -0.75, marker="o", markersize=5.5, markerfacecolor=KINDS[kind][0],
                  markeredgecolor="#222222", markeredgewidth=0.6)  # fmt: skip
        axes.text(x + 6, -0.75, KINDS[kind][2], va="center", fontsize=6.3, color="#444444")
        x += 62
    for index, node in enumerate(ends):
        column, line = divmod(index, lines)
        left, y = column * width + 6, line + 0.5
        _disc(axes, left, y, index + 1, kinds[node.lineage])
        name = style.fitting(node.name, width - 44, 6.3)
        axes.text(left + 8, y, name, va="center", fontsize=6.3)
        axes.text(left + width - 12, y, f"{100 * accuracy[node.lineage].mean:.1f}", va="center",
                  ha="right", fontsize=6.3)  # fmt: skip
