"""Which classes are taken for which: a matrix of every chain's end, or its worst pairs."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch.report.figures import style
from modelswitch.results import classes, seeds, tree
from modelswitch.results.intervals import Estimate
from modelswitch.wording import short

MOST_CLASSES = 20  # names beside a matrix can be read up to here
MOST_NUMBERS = 10  # and numbers in it, two matrices beside each other in a column
MOST_PANELS = 6
MOST_PAIRS = 8
LETTERS = 12  # of a class's name
MISTAKES = LinearSegmentedColormap.from_list("mistakes", ["#FFFFFF", style.ORANGE])


def matrices(tables) -> Figure:
    """Share of each class's images that was given each answer, all seeds together.

    Of six ends of chains. What is right stands in grey, so that the colours are
    left to the mistakes. With more than `MOST_CLASSES` classes the pairs that are most often
    mistaken instead.
    """
    confusions, per_class, models = tables.class_confusions, tables.per_class, tables.models
    split = seeds.split_of(models)
    if confusions is None or per_class is None or not (confusions["split"] == split).any():
        return style.message("No answers are stored by class.")
    confusions = confusions[confusions["split"] == split]
    names = classes.names_of(per_class)
    nodes = shown(models, set(confusions["lineage"]), split)
    if not nodes:
        return style.message("No chain has results yet.")
    own = {node.lineage: confusions[confusions["lineage"] == node.lineage] for node in nodes}
    if len(names) > MOST_CLASSES:
        return _pairs(nodes, own, split)
    return _matrices(nodes, own, names, split)


def shown(models, known: set[str], split: str) -> list[tree.TreeNode]:
    """Ends of chains, in the order of the table; of many the most accurate on validation images."""
    accuracy = seeds.over_seeds(models, "accuracy", split)
    ends = [end for end in tree.ends(models) if end.lineage in known & accuracy.keys()]
    # Without such images the first ones: what is shown is not chosen on test images either.
    chosen_by = seeds.over_seeds(models, "accuracy", "validation")
    best = sorted(ends, key=lambda end: -_mean(chosen_by.get(end.lineage)))[:MOST_PANELS]
    return [end for end in ends if end in best]


def _mean(estimate: Estimate | None) -> float:
    return 0.0 if estimate is None else estimate.mean


def _matrices(nodes, own, names: list[str], split: str) -> Figure:
    many = len(names) > MOST_NUMBERS
    width = style.PAGE if many else style.COLUMN
    across = min(3 if many else 2, len(nodes))
    down = -(-len(nodes) // across)
    size = min(0.5 + 0.105 * len(names), (width - 0.6) / across)  # inches, of a square
    figure = style.new(down * (size + 0.17) + 0.7, width)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    shares = {node.lineage: classes.matrix(own[node.lineage], len(names)) for node in nodes}
    diagonal = np.eye(len(names), dtype=bool)
    most = max((np.nanmax(np.where(diagonal, 0, m)) for m in shares.values()), default=0)
    ticks = [short(name, LETTERS) for name in names]
    for panel, node in zip(axes.flat, nodes, strict=False):
        matrix = shares[node.lineage]
        mistakes = np.ma.masked_array(100 * matrix, diagonal | np.isnan(matrix))
        panel.imshow(mistakes, cmap=MISTAKES, vmin=0, vmax=100 * most or 1, aspect="equal")
        panel.imshow(
            np.ma.masked_array(np.full(matrix.shape, 0.88), ~diagonal),
            cmap="gray", vmin=0, vmax=1, aspect="equal",
        )  # fmt: skip
        if not many:
            for (row, column), share in np.ndenumerate(matrix):
                if share >= 0.005:
                    panel.text(column, row, f"{100 * share:.0f}", ha="center", va="center",
                               fontsize=style.SMALLEST)  # fmt: skip
        panel.set_title(short(node.name, 30), pad=2, fontsize=6.3)
        panel.grid(visible=False)
        panel.tick_params(length=0, labelsize=style.SMALLEST)
        panel.set_xticks(range(len(names)), ticks, rotation=90)
        panel.set_yticks(range(len(names)), ticks)
    for spare in list(axes.flat)[len(nodes) :]:
        spare.set_visible(False)
    figure.supxlabel("answer", fontsize=7)
    if down == 1:  # a square in a wide figure stands far from its edge
        axes[0, 0].set_ylabel(f"right class ({split})")
    else:
        figure.supylabel(f"right class ({split})", fontsize=7)
    return figure


def _pairs(nodes, own, split: str) -> Figure:
    found = {node.lineage: classes.most_confused(own[node.lineage], MOST_PAIRS) for node in nodes}
    rows = [max(1, len(pairs)) for pairs in found.values()]
    figure = style.new(0.55 + sum(0.3 + 0.135 * count for count in rows))
    axes = figure.subplots(len(nodes), 1, sharex=True, squeeze=False, height_ratios=rows)
    for panel, node in zip(axes.flat, nodes, strict=True):
        pairs = found[node.lineage]
        style.rows_axis(panel, max(1, len(pairs)))
        panel.barh(range(len(pairs)), [100 * pair.share for pair in pairs], color=style.ORANGE,
                   height=0.65)  # fmt: skip
        labels = [f"{short(p.label, LETTERS)} → {short(p.answer, LETTERS)}" for p in pairs]
        panel.set_yticks(range(len(pairs)), labels, fontsize=6)
        panel.set_title(short(node.name, 40), pad=2, fontsize=6.3)
        panel.xaxis.set_major_locator(MaxNLocator(4))
    axes[-1, 0].set_xlabel(f"share of the class's images ({split}, %)")
    return figure
