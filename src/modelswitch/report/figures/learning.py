"""Learning curves and calibration: one small panel for each model, the others in grey behind it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch.report.figures import style
from modelswitch.results import foremost, seeds, tree
from modelswitch.wording import short

MOST_PANELS = 15
# Images below which the share of right answers jumps between 0 and 1.
FEW = 20
TITLE = 19  # characters over a panel of a third of a column


def panels(tables) -> list[tree.TreeNode]:
    """The models worth a panel: all of a small tree, else first models and chain ends, and of very
    many the foremost."""
    if tables.whole is not tables:
        tables = foremost.foremost(tables, MOST_PANELS, MOST_PANELS)
    nodes = tree.tree(tables.models)
    if len(nodes) > MOST_PANELS:
        nodes = [node for node in nodes if node.labels or node.role == "teacher"]
    return nodes


def curves(tables) -> Figure:
    """Validation accuracy over epochs; the band reaches from the lowest to the highest seed.

    A dotted line is what the model's own teacher reached; grey are the other models of its kind.
    """
    history = tables.history
    if history is None or history["validation_accuracy"].notna().sum() == 0:
        return style.message("No training history is stored.")
    history = history[(history["stage"] != "hint") & history["validation_accuracy"].notna()]
    by_epoch = (
        history.groupby(["lineage", "epoch"])["validation_accuracy"]
        .agg(["mean", "min", "max"])
        .mul(100)
    )
    known = set(by_epoch.index.get_level_values("lineage"))
    nodes = [node for node in panels(tables) if node.lineage in known]
    if not nodes:
        return style.message("No training history is stored.")
    every = {node.lineage: node for node in tree.tree(tables.models)}
    final = {lineage: rows["mean"].iloc[-1] for lineage, rows in by_epoch.groupby("lineage")}
    figure, axes = style.grid(len(nodes))
    for node, panel in zip(nodes, axes, strict=True):
        for other in sorted(known):
            if other != node.lineage and other in every and every[other].model == node.model:
                curve = by_epoch.loc[other]
                panel.plot(curve.index, curve["mean"], color="#D5D5D5", linewidth=0.6, zorder=1)
        curve = by_epoch.loc[node.lineage]
        panel.fill_between(curve.index, curve["min"], curve["max"], color=style.BLUE, alpha=0.25,
                           linewidth=0, zorder=2)  # fmt: skip
        panel.plot(curve.index, curve["mean"], color=style.BLUE, zorder=3)
        if node.parent in final:
            panel.axhline(final[node.parent], color=style.ORANGE, linewidth=0.8, linestyle=":")
        panel.set_title(short(node.name, TITLE), pad=2, fontsize=6.3)
    # The first epochs rise from chance and would flatten everything that matters.
    shown = [by_epoch.loc[node.lineage] for node in nodes]
    start = min(curve["mean"].iloc[len(curve) // 4] for curve in shown)
    top = max(max(curve["max"].max() for curve in shown), max(final.values()))
    axes[0].set_ylim(start - 0.05 * (top - start), top + 0.08 * (top - start))
    axes[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0].yaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel("epoch", fontsize=7)
    figure.supylabel("validation accuracy (%)", fontsize=7)
    return figure


def calibration(tables, bins: int = 10) -> Figure:
    """Reliability: how often an answer given with some confidence is right, pooled over seeds.

    A dot's area is proportional to the share of images in its bin; on the diagonal, confidence is
    just what it should be. A bin with fewer than `FEW` images tells nothing and is left out, unless
    all are like that.
    """
    from statsmodels.stats.proportion import proportion_confint

    models = tables.models
    split, shown = seeds.split_of(models), panels(tables)
    predictions = tables.answers([node.lineage for node in shown], split)
    if predictions is None:
        return style.message("No predictions are stored.")
    known = set(predictions["lineage"])
    nodes = [node for node in shown if node.lineage in known]
    errors = seeds.over_seeds(models, "ece", split)
    edges = np.linspace(0, 1, bins + 1)
    figure, axes = style.grid(len(nodes), panel=1.12)
    for node, panel in zip(nodes, axes, strict=True):
        rows = predictions[predictions["lineage"] == node.lineage]
        right = (rows["predicted"] == rows["label"]).to_numpy(dtype=float)
        confidence = rows["confidence"].to_numpy(dtype=float)
        position = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
        counts = np.bincount(position, minlength=bins)
        filled = counts >= min(FEW, counts.max())
        sure = np.bincount(position, confidence, minlength=bins)[filled] / counts[filled]
        true = np.bincount(position, right, minlength=bins)[filled] / counts[filled]
        # 95 % interval of a share (Wilson): wide where a bin holds few images
        rightly = np.bincount(position, right, minlength=bins)[filled]
        low, high = proportion_confint(rightly, counts[filled], method="wilson")
        panel.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.7, linestyle="--", zorder=1)
        panel.fill_between(sure, low, high, color=style.BLUE, alpha=0.2, linewidth=0, zorder=2)
        panel.plot(sure, true, color=style.BLUE, linewidth=0.9, zorder=3)
        panel.scatter(sure, true, s=2 + 22 * counts[filled] / counts.sum(), color=style.BLUE,
                      linewidths=0, zorder=4, clip_on=False)  # fmt: skip
        error = errors.get(node.lineage)
        if error is not None and not math.isnan(error.mean):
            # In the half that the curve leaves free: above the diagonal is who is too modest.
            modest = np.average(true - sure, weights=counts[filled]) > 0
            x, y, across, along = (0.96, 0.07, "right", "bottom") if modest else (
                0.04, 0.93, "left", "top")  # fmt: skip
            panel.text(x, y, f"ECE {100 * error.mean:.1f} %", transform=panel.transAxes,
                       ha=across, va=along, fontsize=6, zorder=5,
                       bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0,
                             "pad": 0.6})  # fmt: skip
        panel.set_title(short(node.name, TITLE), pad=2, fontsize=6.3)
    axes[0].set_xlim(0, 1.02)
    axes[0].set_ylim(0, 1.02)
    # Short ones: numbers of neighbours may stand side by side.
    axes[0].set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes[0].set_yticks([0, 0.5, 1])
    figure.supxlabel("confidence", fontsize=7)
    figure.supylabel(f"share right, {split}", fontsize=7)
    return figure
