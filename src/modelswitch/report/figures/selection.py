"""Selecting a modality: how often the right one is picked, and what that is worth."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch.config.methods import (
    CALIBRATED_PROBABILITY,
    CALIBRATED_PRODUCT,
    LARGEST_PROBABILITY,
    LOGISTIC_FUSION,
    ORACLE,
    SELECTOR,
    SUM_RULE,
)
from modelswitch.report.figures import style
from modelswitch.results import intervals

LABELS = {"selection_accuracy": "right modality picked (%)", "accuracy": "accuracy (%)"}
# What a figure for one side shows: the selector, what it chooses from, its strongest rivals.
RIVALS = (
    SELECTOR,
    LARGEST_PROBABILITY,
    CALIBRATED_PROBABILITY,
    SUM_RULE,
    CALIBRATED_PRODUCT,
    LOGISTIC_FUSION,
    ORACLE,
)


def for_selector(tables, selector: str, side: str) -> Figure:
    """`of_selector` from tidy tables."""
    if tables.selection is None:
        return style.message("No selector is in this experiment.")
    return of_selector(tables.selection, selector, side)


def of_selector(table, selector: str, side: str) -> Figure:
    """Selection accuracy and accuracy of the whole system against the strength of the degradation.

    One column for each kind of degradation, for one selector and one degraded side, so that
    nothing is averaged but seeds. Band: 95 % t interval over seeds, for the selector only.
    """
    rows = table[(table["selector"] == selector) & (table["side"] == side)]
    shown = rows["method"].isin(RIVALS) | rows["method"].str.startswith("always")
    return _draw(rows[shown])


def _draw(table) -> Figure:
    table = table.assign(both=table["side"].isin(("both", "all")))
    metrics = {m: label for m, label in LABELS.items() if table[m].notna().any()}
    columns = list(dict.fromkeys(zip(table["degradation"], table["both"], strict=True)))
    columns.sort(key=lambda column: column[1])
    methods = list(dict.fromkeys(table["method"]))
    looks = _looks(methods, set(table["selector"]))
    width = style.COLUMN if len(columns) <= 2 else style.PAGE
    across = len(columns) if len(columns) <= 4 else -(-len(columns) // 2)
    blocks = -(-len(columns) // across)
    figure = style.new(
        1.35 * len(metrics) * blocks + 0.25 + 0.14 * -(-len(methods) // (width // 1.2)), width
    )
    axes = figure.subplots(len(metrics) * blocks, across, sharex=True, sharey="row", squeeze=False)
    for position in range(blocks * across):
        block, column = divmod(position, across)
        pair = axes[len(metrics) * block : len(metrics) * (block + 1), column]
        if position >= len(columns):
            for panel in pair:
                panel.set_visible(False)
            continue
        degradation, both = columns[position]
        rows = table[(table["degradation"] == degradation) & (table["both"] == both)]
        unseen = set(rows["seen"].str.lower()) == {"false"}
        for panel, (metric, label) in zip(pair, metrics.items(), strict=True):
            for method in methods:
                _curve(panel, rows[rows["method"] == method], metric, method, looks[method])
            panel.yaxis.set_major_locator(MaxNLocator(5))
            if column == 0:
                panel.set_ylabel(label)
        pair[0].set_title(degradation.replace("_", " ") + (" (unseen)" if unseen else ""))
        pair[-1].tick_params(axis="x", labelbottom=True)
        pair[-1].set_xlabel("strength of the degradation")
    handles, names = axes[len(metrics) - 1, 0].get_legend_handles_labels()
    figure.legend(handles, [name.replace("_", " ") for name in names], loc="outside lower center",
                  ncols=int(width // 1.2), handlelength=1.8)  # fmt: skip
    return figure


def _curve(panel, rows, metric: str, method: str, look: dict) -> None:
    if rows.empty or rows[metric].isna().all():
        return
    per_seed = rows.groupby(["level", "seed"])[metric].mean()
    levels = np.array(sorted(set(rows["level"])))
    estimates = [intervals.mean_interval(per_seed.loc[level]) for level in levels]
    panel.plot(levels, [100 * e.mean for e in estimates], label=method, **look)
    if look["zorder"] > 4:
        # with few seeds a t interval may leave what a share can be
        low, high = (np.clip([100 * getattr(e, end) for e in estimates], 0, 100)
                     for end in ("low", "high"))  # fmt: skip
        panel.fill_between(levels, low, high, color=look["color"], alpha=0.25, linewidth=0)


def _looks(methods: list[str], selectors: set[str]) -> dict[str, dict]:
    """The selector in front, the oracle as a ceiling, single modalities in grey, rivals thin."""
    looks, rivals = {}, 0
    greys = iter(("-", "--", ":"))
    for method in methods:
        if method == SELECTOR or method in selectors:
            looks[method] = {"color": style.BLUE, "linewidth": 1.6, "marker": "o", "zorder": 5}
        elif method == ORACLE:
            looks[method] = {"color": style.BLACK, "linewidth": 0.9, "linestyle": ":", "zorder": 3}
        elif method.startswith("always"):
            looks[method] = {"color": style.GREY, "linewidth": 0.9,
                             "linestyle": next(greys, "-"), "zorder": 2}  # fmt: skip
        else:
            colours = [c for c in style.PALETTE if c not in (style.BLUE, style.BLACK)]
            looks[method] = {"color": colours[rivals % len(colours)], "linewidth": 0.8,
                             "linestyle": style.dashes(rivals), "zorder": 3,
                             "marker": style.marker(rivals + 1), "markersize": 2.2}  # fmt: skip
            rivals += 1
    return looks
