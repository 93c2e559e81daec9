"""What exported models cost on a device: accuracy against latency and against size."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from modelswitch.report.figures import style
from modelswitch.results import intervals
from modelswitch.results.devices import Exported, exported, pareto
from modelswitch.wording import round_amount, short


def tradeoff(tables) -> Figure:
    """Every format of every exported model; the steps are the Pareto front: nothing beats it.

    One colour a model, one marker a format. Accuracy with its 95 % t interval over seeds.
    """
    files = exported(tables)
    if not files:
        return style.message("No model has been exported.")
    models = list(dict.fromkeys(one.lineage for one in files))
    formats = list(dict.fromkeys(one.format for one in files))
    figure = style.new(2.3 + 0.13 * (len(models) + len(formats) + 1) / 2)
    left, right = figure.subplots(1, 2, sharey=True)
    # Of several machines the first: times on two would be no trade-off on either.
    machines = dict.fromkeys(machine for one in files for machine in one.on)
    where = f"\n{short(files[0].machine, 40)}" if len(machines) > 1 else ""
    for axes, cost, label in (
        (left, _latency, "ms an image, one thread"),
        (right, _kilobytes, "size, kB"),
    ):
        _panel(axes, files, models, formats, cost)
        axes.set_xlabel(f"{label} (log){where if axes is left else ''}")
    left.set_ylabel("test accuracy (%)")
    _legends(figure, files, models, formats)
    return figure


def _latency(one: Exported) -> float:
    return one.times.get((1, 1), {}).get("median_ms", math.nan)


def _kilobytes(one: Exported) -> float:
    return one.file_bytes / 1000


def _panel(axes, files: list[Exported], models: list[str], formats: list[str], cost) -> None:
    known = [one for one in files if not math.isnan(cost(one)) and one.accuracy]
    for one in known:
        x, colour = cost(one), _colour(models.index(one.lineage))
        mean = intervals.mean_interval(list(one.accuracy.values()))
        if not math.isnan(mean.low):
            axes.plot([x, x], [100 * mean.low, 100 * mean.high], color=colour, linewidth=0.7,
                      alpha=0.6, zorder=2)  # fmt: skip
        axes.plot(x, 100 * mean.mean, marker=_marker(formats.index(one.format)), zorder=3,
                  **_face(models.index(one.lineage)))  # fmt: skip
    front = pareto([(cost(one), one.mean_accuracy) for one in known])
    if len(front) > 1:
        axes.step(
            [cost(known[i]) for i in front], [100 * known[i].mean_accuracy for i in front],
            where="post", color="#777777", linewidth=0.7, linestyle="--", zorder=1,
        )  # fmt: skip
    axes.set_xscale("log")
    costs = [cost(one) for one in known]
    wide = not costs or max(costs) > 5 * min(costs)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.margins(x=0.12, y=0.12)
    low, high = axes.get_ylim()  # an interval may leave what an accuracy can be
    axes.set_ylim(max(low, -1.0), min(high, 101.0))


def _tick(value: float) -> str:
    return round_amount(value) if value >= 1 else f"{value:g}"


def _marker(index: int) -> str:
    markers = (*style.MARKERS, "P", "X", "*")
    return markers[index % len(markers)]


def _colour(model: int) -> str:
    return style.colour(model % 3)


def _face(model: int) -> dict[str, Any]:
    """How a model's points look: one of three colours that differ in lightness, filled or open."""
    colour = _colour(model)
    return {"linestyle": "none", "markersize": 4.5, "markeredgecolor": colour, "color": colour,
            "markeredgewidth": 0.8, "fillstyle": ("full", "none", "left", "top")[model // 3 % 4],
            "markerfacecoloralt": "white"}  # fmt: skip


def _legends(figure, files: list[Exported], models: list[str], formats: list[str]) -> None:
    from matplotlib.lines import Line2D

    names = {one.lineage: short(one.name, 24) for one in files}
    dot: dict[str, Any] = {"linestyle": "none", "markersize": 4}
    entries = [
        Line2D([], [], marker="o", label=names[lineage], **_face(i))
        for i, lineage in enumerate(models)
    ]
    entries += [
        Line2D([], [], color="#555555", marker=_marker(i), label=name, **dot)
        for i, name in enumerate(formats)
    ]
    line: dict[str, Any] = {"color": "#777777", "linewidth": 0.7, "linestyle": "--"}
    entries.append(Line2D([], [], label="Pareto front", **line))
    figure.legend(handles=entries, loc="outside lower center", ncols=3)
