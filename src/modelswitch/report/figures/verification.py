"""Error rates of comparing samples of people in no training: DET curves."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy.stats import norm

from modelswitch.config import methods
from modelswitch.report.figures import style

TICKS = (1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
TITLES = {
    "seen": "one side or more degraded, as in training",
    "unseen": "one side or more degraded, not as in training",
    "everywhere": "every side degraded",
    "clean": "nothing degraded",
    "absent": "one side or more not there at all",
}
# What a rate of nothing or of all is drawn as, for the normal deviate of it is infinite.
SMALLEST = 1e-4


def det(tables, selector: str) -> Figure:
    """FNMR against FMR, both as normal deviates (Martin et al. 1997), a panel for each situation.

    Curves are the mean over seeds of FNMR at each FMR; the selector's band is the range of seeds.
    """
    table = tables.det
    rows = None if table is None else table[table["selector"] == selector]
    if rows is None or rows.empty:
        return style.message(f"Nothing is known of people in no training ({selector}).")
    panels = [name for name in TITLES if (rows["situation"] == name).any()]
    shown = list(dict.fromkeys(rows["method"]))
    figure, axes = style.grid(len(panels), columns=2, panel=2.0, width=style.PAGE * 0.72, extra=0.6)
    drawn = looks(shown)
    for panel, name in zip(axes, panels, strict=True):
        own = rows[rows["situation"] == name]
        for method in shown:
            _curve(panel, own[own["method"] == method], method, drawn[method])
        _normal_deviates(panel, max(SMALLEST, rows["fnmr"].quantile(0.02) / 3))
        panel.set_title(TITLES[name])
    label(figure, axes, "pairs of two people accepted, FMR (%)", "pairs of one rejected, FNMR (%)")
    return figure


def label(figure: Figure, axes, across: str, up: str) -> None:
    """Words at the outer axes of two columns of panels, and one legend below all."""
    for panel in axes[-2:]:
        panel.set_xlabel(across)
    for panel in axes[::2]:
        panel.set_ylabel(up)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, [name.replace("_", " ") for name in names],
                  loc="outside lower center", ncols=4, handlelength=1.8)  # fmt: skip


def _deviate(shares) -> np.ndarray:
    return norm.ppf(np.clip(shares, SMALLEST, 1 - SMALLEST))


def _normal_deviates(panel, lowest: float) -> None:
    for axis, ends in ((panel.xaxis, (SMALLEST, 0.6)), (panel.yaxis, (lowest, 0.999))):
        axis.set_major_locator(FixedLocator(list(norm.ppf(TICKS))))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda z, at: f"{100 * norm.cdf(z):.3g}"))
        low, high = norm.ppf(ends)
        (panel.set_xlim if axis is panel.xaxis else panel.set_ylim)(low, high)
    # Equal error rates lie on it.
    ends = norm.ppf([SMALLEST, 0.6])
    panel.plot(ends, ends, color=style.LIGHT, linewidth=0.6, zorder=1)


def _curve(panel, rows, method: str, look: dict) -> None:
    if rows.empty:
        return
    by_rate = rows.groupby("fmr")["fnmr"]
    # Where a seed has too few pairs for a rate, there would be a mean of others.
    means = by_rate.mean()[by_rate.count() == by_rate.count().max()]
    places = _deviate(means.index.to_numpy())
    panel.plot(places, _deviate(means), label=method, **look)
    if method == methods.SELECTOR and rows["seed"].nunique() > 1:
        low, high = by_rate.min().loc[means.index], by_rate.max().loc[means.index]
        panel.fill_between(places, _deviate(low), _deviate(high), color=look["color"], alpha=0.2,
                           linewidth=0)  # fmt: skip


def looks(shown: list[str]) -> dict[str, dict]:
    """The selector in front, single recognisers in grey, fusions in colours."""
    colours = [c for c in style.PALETTE if c not in (style.BLUE, style.BLACK)]
    # Neighbours differ in both, to be told apart without colours, too.
    lines = zip(itertools.cycle(colours), itertools.cycle(style.DASHES), strict=False)
    greys = iter(("-", "--", ":", "-."))
    found = {}
    for method in shown:
        if method == methods.SELECTOR:
            found[method] = {"color": style.BLUE, "linewidth": 1.5, "zorder": 5}
        elif method.startswith(methods.always("")):
            found[method] = {"color": style.GREY, "linewidth": 1.0,
                             "linestyle": next(greys, "-"), "zorder": 3}  # fmt: skip
        else:
            colour, dash = next(lines)
            found[method] = {"color": colour, "linestyle": dash, "linewidth": 0.9, "zorder": 4}
    return found
