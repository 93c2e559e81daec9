"""What chains gain, over how much better the teacher is than its student alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from modelswitch.report.figures import style
from modelswitch.report.studies import Gain
from modelswitch.wording import short

LETTERS = 30  # of a name in the key
# One switch, two, and more.
MARKERS = ("o", "s", "D")
# Of as many studies as there are colours, then of as many more, and again.
FILLS = ("full", "left", "none")
SWITCHES = ("one switch", "two switches", "three or more")


def gains(found: Sequence[Gain]) -> Figure:
    """Each chain of each study as a point with both 95 % t intervals over seeds.

    Across: first model over the student from scratch. Up: the student behind the chain over the
    same from scratch. On the diagonal a student is as good as its teacher. Colours and the order of
    the key: studies. Shapes: switches.
    """
    if not found:
        return style.message("There is no chain whose last model was trained from scratch, too.")
    settings = list(dict.fromkeys((one.study, one.dataset) for one in found))
    several = len(settings) > len({study for study, _ in settings})
    figure = style.new(3.0 + 0.14 * math.ceil(len(settings) / 2))
    axes = figure.subplots()
    axes.axhline(0, color="#555555", linewidth=0.8, zorder=1)
    axes.axvline(0, color="#555555", linewidth=0.8, zorder=1)
    for one in found:
        index = settings.index((one.study, one.dataset))
        x, y = 100 * one.lead.estimate, 100 * one.gain.estimate
        across, up = (100 * (found.high - found.estimate) for found in (one.lead, one.gain))
        axes.errorbar(x, y, xerr=across, yerr=up, fmt="none", ecolor=style.colour(index),
                      elinewidth=0.7, alpha=0.6, zorder=2)  # fmt: skip
        axes.plot(x, y, **_point(index, one.switches), zorder=3)
    # The limits are those of the points; the diagonal goes through whatever of it is there.
    limits = axes.axis()
    axes.axline((0, 0), slope=1, color=style.GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    axes.axis(limits)
    axes.set_xlabel("teacher over the student from scratch (points)")
    axes.set_ylabel("chain over the student from scratch (points)")
    handles = [
        Line2D([], [], **_point(index, 1),
               label=short(f"{study}, {dataset}" if several else study, LETTERS))
        for index, (study, dataset) in enumerate(settings)
    ]  # fmt: skip
    kinds = sorted({min(one.switches, len(MARKERS)) for one in found})
    handles += [
        Line2D([], [], color="white", markeredgecolor="#222222", marker=MARKERS[kind - 1],
               linestyle="none", label=SWITCHES[kind - 1])
        for kind in kinds
    ]  # fmt: skip
    if _crosses(limits):
        handles.append(
            Line2D([], [], color=style.GREY, linewidth=0.7, linestyle=(0, (4, 2)),
                   label="as good as the teacher")
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _point(index: int, switches: int) -> dict[str, Any]:
    """How a chain of so many switches of a setting, by its place in the key, is drawn."""
    fill = FILLS[index // len(style.PALETTE) % len(FILLS)]
    edge = style.colour(index) if fill == "none" else "#222222"
    return {
        "marker": MARKERS[min(switches, len(MARKERS)) - 1],
        "color": style.colour(index),
        "markersize": 4.5,
        "fillstyle": fill,
        "markerfacecoloralt": "white",
        "markeredgecolor": edge,
        "markeredgewidth": 0.9 if fill == "none" else 0.5,
        "linestyle": "none",
    }


def _crosses(limits: tuple[float, float, float, float]) -> bool:
    """Whether the diagonal is seen."""
    left, right, low, high = limits
    return max(left, low) < min(right, high)
