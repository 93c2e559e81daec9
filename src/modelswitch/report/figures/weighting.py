"""What the weighting rules do: accuracy against δ, where they help, and the weights they give."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch.report.figures import style
from modelswitch.results import intervals, tops, tree
from modelswitch.results.differences import FIXED, delta_curves, of_rules
from modelswitch.results.seeds import over_seeds, split_of
from modelswitch.wording import short


def delta_curve(tables) -> Figure:
    """Accuracy against δ with 95 % intervals; below, the paired difference to δ = 0.

    The thin lines are the single seeds. A rule that helps shows a hump; one that does not, none.
    Dashed below: the fitted curve, with its top and that one's interval.
    """
    models, split = tables.models, split_of(tables.models)
    curves = delta_curves(tables)
    if not curves:
        return style.message("No grid of δ beside a fixed weight is in this experiment.")
    figure = style.new(3.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
    for index, (which, curve) in enumerate(curves.items()):
        colour = style.colour(index)
        deltas = np.array(list(curve))
        values_at = tops.values_of(models, curve)
        seeds = list(values_at.values())
        for seed in sorted(set.intersection(*(set(values) for values in seeds))):
            above.plot(deltas, [100 * values[seed] for values in seeds], color=colour,
                       linewidth=0.4, alpha=0.5, zorder=1)  # fmt: skip
        estimates = [intervals.mean_interval(list(values.values())) for values in seeds]
        _band(above, deltas, estimates, [e.mean for e in estimates], index, which.name)
        differences = [intervals.paired_by_seed(values, seeds[0]) for values in seeds]
        _band(below, deltas, differences, [d.estimate for d in differences], index, which.name)
        top = tops.fit(values_at)
        if top is not None:
            _top(below, top, estimates[0].mean, colour)
    below.axhline(0, color="#555555", linewidth=0.8, zorder=1)
    above.set_ylabel(f"{split} accuracy (%)")
    below.set_ylabel("difference to δ = 0\n(percentage points)")
    below.set_xlabel("δ, shift of the soft loss's weight\nby the teacher's correctness")
    for axes in (above, below):
        axes.yaxis.set_major_locator(MaxNLocator(5))
    if len(curves) > 1:
        above.legend(loc="best")
    figure.align_ylabels()
    return figure


def _top(axes, top: tops.Top, zero: float, colour: str) -> None:
    """The fitted curve over what was measured at δ = 0, and its highest point."""
    x = np.linspace(top.deltas[0], top.deltas[-1], 200)
    axes.plot(x, 100 * (top.at(x) - zero), color=colour, linewidth=0.9, linestyle="--", zorder=4)
    height = 100 * (top.at(np.array([top.place]))[0] - zero)
    if not math.isnan(top.place_low):
        axes.plot([top.place_low, top.place_high], [height, height], color=style.BLACK,
                  linewidth=0.8, zorder=5)  # fmt: skip
    axes.plot([top.place], [height], color=style.BLACK, marker="D", markersize=2.6, zorder=6)


def _band(axes, x, bounds, centre, index: int, label: str) -> None:
    colour = style.colour(index)
    low, high = (np.array([100 * getattr(b, side) for b in bounds]) for side in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
    axes.plot(x, 100 * np.array(centre), color=colour, linestyle=style.dashes(index),
              marker=style.marker(index), zorder=3, label=label)  # fmt: skip


def teacher_right_wrong(tables) -> Figure:
    """Accuracy on images that the teacher gets right, and on those that it gets wrong.

    Dashed: the fixed weight. Note the different scales.
    """
    rows = of_rules(tables)
    models, split = tables.models, split_of(tables.models)
    metrics = {"accuracy_teacher_right": "teacher right", "accuracy_teacher_wrong": "teacher wrong"}
    if not rows or models["accuracy_teacher_wrong"].notna().sum() == 0:
        return style.message("No weighting rules are compared in this experiment.")
    figure = style.new(0.6 + 0.165 * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    for (metric, title), axes in zip(metrics.items(), panels, strict=True):
        estimates = over_seeds(models, metric, split)
        style.rows_axis(axes, len(rows))
        for y, row in enumerate(rows):
            estimate = estimates[row.node.lineage]
            fixed = row.rule == FIXED
            style.interval(axes, y, 100 * estimate.mean, 100 * estimate.low, 100 * estimate.high,
                           style.BLACK if fixed else style.BLUE)  # fmt: skip
            if fixed:
                axes.axvline(100 * estimate.mean, color="#555555", linewidth=0.7, linestyle="--")
        axes.set_title(title)
        axes.set_xlabel(f"{split} accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.margins(x=0.1)
        low, high = axes.get_xlim()  # an interval may leave what an accuracy can be
        axes.set_xlim(max(low, -1.0), min(high, 101.0))
    panels[0].set_yticks(range(len(rows)), [short(row.name, 22) for row in rows])
    return figure


def weight_histograms(tables) -> Figure:
    """Weight of the soft loss per training view, where the teacher is right and where it is wrong.

    Each of the two histograms has area 1, so that the few wrong ones can be seen.
    """
    weights = tables.weights
    if weights is None or weights.empty:
        return style.message("No weights of single samples are stored.")
    nodes = {node.lineage: node for node in tree.tree(tables.models)}
    compared = {rule.node.lineage: rule.name for rule in of_rules(tables)}
    known = set(weights["lineage"])
    shown = [lineage for lineage in compared if lineage in known]
    shown = shown or [lineage for lineage in nodes if lineage in known]
    if not shown:
        return style.message("No weights of single samples are stored.")
    figure, axes = style.grid(len(shown), panel=0.92, extra=0.5)
    heights = []
    for lineage, panel in zip(shown, axes, strict=True):
        rows = weights[weights["lineage"] == lineage]
        bins = rows.groupby(["bin_left", "bin_right"])[["count_right", "count_wrong"]].sum()
        edges = np.append(
            bins.index.get_level_values("bin_left"), bins.index.get_level_values("bin_right")[-1]
        )
        for column, colour, line, name in (
            ("count_right", style.BLUE, "-", "teacher right"),
            ("count_wrong", style.AMBER, style.DASHES[2], "teacher wrong"),
        ):
            total = bins[column].sum()
            if total == 0:
                continue
            share = bins[column].to_numpy() / total
            heights.append(share.max())
            panel.stairs(share, edges, color=colour, fill=True, alpha=0.35, linewidth=0)
            panel.stairs(share, edges, color=colour, linewidth=0.9, linestyle=line, label=name)
        total = bins.to_numpy().sum()
        wrong = bins["count_wrong"].sum() / total if total else math.nan
        panel.text(0.04, 0.9, f"{100 * wrong:.1f} % wrong", transform=panel.transAxes, va="top",
                   fontsize=style.SMALLEST, color="#555555")  # fmt: skip
        name = compared.get(lineage) or (nodes[lineage].name if lineage in nodes else lineage)
        panel.set_title(short(name, 19),
                        pad=2, fontsize=6.3)  # fmt: skip
    axes[0].set_ylim(0, 1.45 * max(heights, default=1))
    axes[0].yaxis.set_major_locator(MaxNLocator(3))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    figure.supxlabel("weight of the soft loss", fontsize=7)
    figure.supylabel("share of views", fontsize=7)
    return figure
