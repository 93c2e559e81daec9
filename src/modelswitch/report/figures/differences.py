"""Forest plot: paired differences over seeds with their intervals."""

from __future__ import annotations

import itertools
import math
import textwrap
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modelswitch.config.metrics import METRICS, SHARE
from modelswitch.report.figures import style
from modelswitch.results import differences, seeds
from modelswitch.wording import short

VERDICTS = {"supported": style.GREEN, "contradicted": style.ORANGE}
# The same without colours: filled, crossed out, open.
MARKERS = {"supported": "o", "contradicted": "X"}
LETTERS = 27  # of a name beside the axis
_FAR = 3.0  # times as far from zero as all that most rows reach: beyond the axis


def forest(tables) -> Figure:
    """Paired differences in accuracy: what was claimed, and what each chain wins.

    Thick line: 95 % t interval over seeds. Thin line below it: bootstrap over seeds. Claims are
    green where supported, crossed out in orange where contradicted, open otherwise. Grey: of very
    many the median, and lowest to highest. An arrow: so far beyond all others that it is not drawn.
    """
    groups: dict[str, list[dict]] = {}
    split = seeds.split_of(tables.models)
    metrics, splits = {"accuracy"}, {split}  # of what is drawn
    claims = tables.claims
    if claims is not None:
        for row in claims.itertuples():
            if METRICS[row.metric].unit is SHARE and not math.isnan(row.estimate):
                metrics.add(row.metric)
                splits.add(row.split)
                groups.setdefault("claims", []).append(
                    {"name": _wrapped(row.claim.replace("_", " ")), "estimate": row.estimate,
                     "low": row.low, "high": row.high, "bootstrap_low": row.bootstrap_low,
                     "bootstrap_high": row.bootstrap_high,
                     "colour": VERDICTS.get(row.verdict, style.BLACK),
                     "marker": MARKERS.get(row.verdict, "")}
                )  # fmt: skip
    # Then there are only claims, see `contents.figures`: pairs are of one data set.
    several = tables.models["dataset"].nunique() > 1
    for pair in () if several else differences.of_chains(tables.models):
        groups.setdefault(pair.group, []).append(_row(pair.better.name, pair.difference))
    for group, rest in ({} if several else differences.of_others(tables)).items():
        groups.setdefault(group, []).append(_spread(rest))
    if metrics != {"accuracy"}:
        return draw(groups, "")
    return draw(groups, f"{split} accuracy" if splits == {split} else "accuracy")


def rules_forest(tables) -> Figure:
    """Paired difference of every weighting rule to the fixed weight."""
    rows = [
        _row(rule.name, rule.difference)
        for rule in differences.of_rules(tables)
        if rule.difference is not None
    ]
    groups = {"over a fixed weight": rows}
    return draw(groups, f"{seeds.split_of(tables.models)} accuracy")


def _row(name: str, difference) -> dict:
    return {
        "name": short(name, LETTERS),
        "estimate": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "bootstrap_low": difference.bootstrap_low,
        "bootstrap_high": difference.bootstrap_high,
        "colour": style.BLUE,
        "marker": "o",
    }


def _spread(estimates: list[float]) -> dict:
    """One row for all that have none of their own: from the lowest to the highest."""
    return {
        "name": f"{len(estimates):,} others, median",
        "estimate": median(estimates),
        "low": min(estimates),
        "high": max(estimates),
        "bootstrap_low": math.nan,
        "bootstrap_high": math.nan,
        "colour": style.GREY,
        "marker": "o",
    }


def _wrapped(name: str) -> str:
    """A claim's name on up to two lines: cut in the middle, two claims can look the same."""
    lines = textwrap.wrap(name, LETTERS)
    return "\n".join([*lines[:1], short(" ".join(lines[1:]), LETTERS)] if lines[1:] else lines)


def _reach(rows: list[dict]) -> float:
    """How far from zero the axis goes: to all of the rows' ends, but for few that lie so far out
    that the others could not be told from zero."""
    ends = sorted(
        (max(abs(row[key]) for key in ("estimate", "low", "high") if not math.isnan(row[key])),
         abs(row["estimate"]))
        for row in rows
    )  # fmt: skip
    for (end, _), (_, estimate) in itertools.pairwise(ends[len(ends) // 2 :]):
        if estimate > _FAR * end > 0:
            return end
    return math.inf


def draw(groups: dict[str, list[dict]], what: str) -> Figure:
    """Groups of rows under their headings; `what` is the metric that differs, '' for several."""
    lines: list[str | dict] = []
    for group, rows in groups.items():
        rows = [row for row in rows if not math.isnan(row["estimate"])]
        if rows:
            lines += [group, *rows]
    if not lines:
        return style.message("There are no two models to compare.")
    heights = [1.5 if not isinstance(line, str) and "\n" in line["name"] else 1 for line in lines]
    centres = [end - height / 2 for end, height in
               zip(itertools.accumulate(heights), heights, strict=True)]  # fmt: skip
    figure = style.new(0.55 + 0.165 * sum(heights))
    axes = figure.subplots()
    style.rows_axis(axes, 1)
    axes.set_ylim(sum(heights), 0)
    axes.axvline(0, color="#555555", linewidth=0.8, zorder=1)
    reach = 100 * _reach([line for line in lines if not isinstance(line, str)])
    for y, line in zip(centres, lines, strict=True):
        if isinstance(line, str):
            axes.text(-0.02, y, line, transform=axes.get_yaxis_transform(), ha="right",
                      va="center", fontsize=6.5, fontweight="bold")  # fmt: skip
            continue
        estimate, low, high = (100 * line[key] for key in ("estimate", "low", "high"))
        dot: dict[str, Any] = {"marker": line["marker"] or "o"}
        if line["marker"] == "X":
            dot["markersize"] = 4.5
        if not line["marker"]:
            dot["markerfacecolor"] = "white"
        if abs(estimate) > reach:
            style.beyond(axes, y, estimate < 0, line["colour"])
        else:
            if not math.isnan(line["bootstrap_low"]):
                axes.plot([100 * line["bootstrap_low"], 100 * line["bootstrap_high"]],
                          [y + 0.27, y + 0.27], color=style.GREY, linewidth=0.6)  # fmt: skip
            style.interval(axes, y, estimate, low, high, line["colour"], **dot)
        axes.text(-0.02, y, line["name"], transform=axes.get_yaxis_transform(), ha="right",
                  va="center", fontsize=6.3, linespacing=1)  # fmt: skip
        numbers = f"{estimate:+.2f}"
        if not math.isnan(low):
            numbers += f" [{low:+.2f}, {high:+.2f}]"
        axes.text(1.02, y, numbers.replace("-", "\N{MINUS SIGN}"), ha="left", va="center",
                  transform=axes.get_yaxis_transform(), fontsize=6.2)  # fmt: skip
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
    axes.set_xlabel("difference" + (f" in {what}" if what else "") + "\n(percentage points)")
    return figure
