"""Methods that answer only where they are sure: risk over coverage."""

from __future__ import annotations

from matplotlib.figure import Figure

from modelswitch.config import methods
from modelswitch.report.figures import style
from modelswitch.report.figures.selection import RIVALS
from modelswitch.report.figures.verification import TITLES, label, looks
from modelswitch.results import intervals

SHOWN = (*(name for name in RIVALS if name != methods.ORACLE), methods.CHOSEN)


def risks(tables, selector: str) -> Figure:
    """Share of wrong answers against the share of samples that are answered, the surest first; a
    panel for each situation. Means over seeds; band: 95 % t interval, for the selector."""
    table = tables.risk_coverage
    rows = None if table is None else table[table["selector"] == selector]
    if rows is None or rows.empty:
        return style.message(f"Nothing is known of how sure {selector} is.")
    rows = rows[rows["method"].isin(SHOWN)]
    panels = [name for name in TITLES if (rows["situation"] == name).any()]
    shown = list(dict.fromkeys(rows["method"]))
    figure, axes = style.grid(len(panels), columns=2, panel=1.5, width=style.PAGE * 0.72, extra=0.6)
    drawn = looks(shown)
    for panel, name in zip(axes, panels, strict=True):
        own = rows[rows["situation"] == name]
        for method in shown:
            by_coverage = own[own["method"] == method].groupby("coverage")["risk"]
            estimates = [intervals.mean_interval(values) for _, values in by_coverage]
            places = [100 * coverage for coverage in by_coverage.groups]
            panel.plot(places, [100 * e.mean for e in estimates], label=method, **drawn[method])
            if method == methods.SELECTOR:
                # With few seeds a t interval may leave what a share can be.
                low, high = ([100 * min(1, max(0, getattr(e, end))) for e in estimates]
                             for end in ("low", "high"))  # fmt: skip
                panel.fill_between(places, low, high, color=style.BLUE, alpha=0.2, linewidth=0)
        panel.set_title(TITLES[name])
    label(figure, axes, "answered, the surest first (%)", "of these wrong (%)")
    return figure
