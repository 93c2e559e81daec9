"""Forest plot: paired differences over seeds with their intervals."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch import comparisons
from modelswitch.figures import style

SHARES = ("accuracy", "selection_accuracy", "top5", "accuracy_teacher_right",
          "accuracy_teacher_wrong", "agreement", "ece")  # fmt: skip
VERDICTS = {"supported": style.GREEN, "contradicted": style.ORANGE}


def forest(tables) -> Figure:
    """Paired differences in accuracy: what was claimed, and what each chain wins.

    Thick line: 95 % t interval over seeds. Thin line below it: bootstrap over seeds. Claims are
    green where supported, orange where contradicted.
    """
    groups: dict[str, list[dict]] = {}
    claims = tables.claims
    if claims is not None:
        for row in claims.itertuples():
            if row.metric in SHARES and not math.isnan(row.estimate):
                groups.setdefault("claims", []).append(
                    {"name": row.claim, "estimate": row.estimate, "low": row.low,
                     "high": row.high, "bootstrap_low": row.bootstrap_low,
                     "bootstrap_high": row.bootstrap_high,
                     "colour": VERDICTS.get(row.verdict, style.BLACK)}
                )  # fmt: skip
    for row in comparisons.of_chains(tables.models):
        groups.setdefault(row["group"], []).append(_row(row["better"], row["difference"]))
    return draw(groups)


def rules_forest(tables) -> Figure:
    """Paired difference of every weighting rule to the fixed weight."""
    rows = [row for row in comparisons.of_rules(tables) if row["difference"] is not None]
    return draw({"over a fixed weight": [_row(r["name"], r["difference"]) for r in rows]})


def _row(name: str, difference) -> dict:
    return {
        "name": name,
        "estimate": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "bootstrap_low": difference.bootstrap_low,
        "bootstrap_high": difference.bootstrap_high,
        "colour": style.BLUE,
    }


def draw(groups: dict[str, list[dict]]) -> Figure:
    lines = []
    for group, rows in groups.items():
        rows = [row for row in rows if not math.isnan(row["estimate"])]
        if rows:
            lines += [group, *rows]
    if not lines:
        return style.message("There are no two models to compare.")
    figure = style.new(0.55 + 0.165 * len(lines))
    axes = figure.subplots()
    style.rows_axis(axes, len(lines))
    axes.axvline(0, color="#555555", linewidth=0.8, zorder=1)
    for y, line in enumerate(lines):
        if isinstance(line, str):
            axes.text(-0.02, y, line, transform=axes.get_yaxis_transform(), ha="right",
                      va="center", fontsize=6.5, fontweight="bold")  # fmt: skip
            continue
        estimate, low, high = (100 * line[key] for key in ("estimate", "low", "high"))
        if not math.isnan(line["bootstrap_low"]):
            axes.plot([100 * line["bootstrap_low"], 100 * line["bootstrap_high"]],
                      [y + 0.27, y + 0.27], color=style.GREY, linewidth=0.6)  # fmt: skip
        style.interval(axes, y, estimate, low, high, line["colour"])
        axes.text(-0.02, y, style.short(line["name"], 27), transform=axes.get_yaxis_transform(),
                  ha="right", va="center", fontsize=6.3)  # fmt: skip
        numbers = f"{estimate:+.1f}"
        if not math.isnan(low):
            numbers += f" [{low:+.1f}, {high:+.1f}]"
        axes.text(1.02, y, numbers, transform=axes.get_yaxis_transform(), ha="left", va="center",
                  fontsize=6.2)  # fmt: skip
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("difference (percentage points)")
    return figure
