"""Figures of a search: every student with the front, what mattered, and the path that won."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from modelswitch.lineage import Lineage
from modelswitch.report.figures import style
from modelswitch.results.intervals import mean_interval
from modelswitch.search.outcome import FRONT, WINNER, Judged
from modelswitch.search.schedule import GUIDED
from modelswitch.wording import amount, round_amount

TITLES = {
    "parameters": "parameters",
    "macs": "multiply-accumulates",
    "latency_ms": "latency of the ONNX file (ms)",
    "size_kb": "size of the ONNX file (kB)",
}


def front_figure(rows: Sequence[dict], size: str, rungs: int, bound: float | None) -> Figure:
    """Accuracy against size of every student, on the highest rung that it got to.

    Args:
        rows: of `outcome.trial_rows`.
        size: which column is the size.
        bound: largest size that is allowed, if there is one.
    """
    figure = style.new(3.4)
    axes = figure.subplots()
    for arm, marker in ((GUIDED, "o"), ("random", "x")):
        for rung in range(1, rungs + 1):
            own = [row for row in rows if row["arm"] == arm and row["rung"] == rung]
            if own:
                long = f"{own[0]['epochs']} epoch{'s' if own[0]['epochs'] > 1 else ''}"
                axes.scatter(
                    [row[size] for row in own],
                    [100 * row["validation"] for row in own],
                    marker=marker,
                    s=8 + 5 * rung,
                    linewidths=0.7,
                    color=style.colour(rung - 1),
                    alpha=0.45 + 0.5 * rung / rungs,
                    label=f"{'search' if arm == GUIDED else 'random'}, {long}",
                )
    own = [row for row in rows if row["arm"] == GUIDED]
    front = sorted((row for row in own if row["front"]), key=lambda row: row[size])
    # One student that is best in both is a front without a line.
    if len(front) > 1:
        axes.step(
            [row[size] for row in front],
            [100 * row["validation"] for row in front],
            where="post",
            color=style.ORANGE,
            linewidth=0.9,
            label="front",
        )
    for row in own:
        if row["winner"]:
            axes.scatter([row[size]], [100 * row["validation"]], marker="*", s=70,
                         facecolor=style.ORANGE, edgecolor="white", linewidths=0.5, zorder=3,
                         label="winner")  # fmt: skip
    if bound is not None:
        axes.axvline(bound, color=style.GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="limit")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: round_amount(value)))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_xlabel(TITLES[size])
    axes.set_ylabel("validation accuracy (%)")
    # Students may be anywhere, so that there is no place for it among them.
    figure.legend(loc="outside lower center", ncols=3, fontsize=style.SMALLEST)
    return figure


def importance_figure(shares: Mapping[str, float]) -> Figure:
    """The share of each choice in what moved validation accuracy."""
    if not shares:
        return style.message("too few students to say which choices mattered")
    order = sorted(shares.items(), key=lambda item: -item[1])
    figure = style.new(0.5 + 0.2 * len(order))
    axes = figure.subplots()
    style.rows_axis(axes, len(order))
    axes.barh(range(len(order)), [100 * share for _, share in order], color=style.BLUE, height=0.6)
    axes.set_yticks(range(len(order)), [name for name, _ in order])
    axes.set_xlabel("share of the importance (%)")
    return figure


def path_figure(
    lineage: Lineage, sizes: Sequence[float], accuracies: Sequence[float | None]
) -> Figure:
    """The path that won, from the first model to the student.

    Args:
        sizes: parameters of each model; NaN where they are not known.
        accuracies: on test images, means over seeds.
    """
    count, width = len(lineage), style.PAGE if len(lineage) > 2 else style.COLUMN
    figure = style.new(1.35, width)
    axes = figure.subplots()
    axes.axis("off")
    axes.set_xlim(-0.6, count - 0.4)
    axes.set_ylim(-1.0, 1.0)
    # Points from one model to the next.
    apart = 72 * width / (count + 0.2)
    largest = max((size for size in sizes if size == size), default=1.0)
    for at, step in enumerate(lineage.steps):
        size, reached = sizes[at], accuracies[at]
        axes.scatter([at], [0], s=max(12, 420 * (size / largest if size == size else 0)),
                     color=style.BLUE if at == 0 else style.GREEN, zorder=2)  # fmt: skip
        axes.text(at, 0.7, style.fitting(step.model, 0.95 * apart, 6.5), ha="center", va="bottom",
                  fontsize=6.5)  # fmt: skip
        said = "" if size != size else f"{amount(size)} parameters"
        said += "" if reached is None else f"\n{100 * reached:.2f} % on test images"
        axes.text(at, -0.5, said.strip(), ha="center", va="top", fontsize=style.SMALLEST)
        if at:
            axes.annotate("", (at - 0.15, 0), (at - 0.85, 0),
                          arrowprops={"arrowstyle": "->", "color": style.GREY})  # fmt: skip
            axes.text(at - 0.5, 0.12, _in_lines(step.transfer or "", 0.75 * apart), ha="center",
                      va="bottom", fontsize=style.SMALLEST, linespacing=1.1)  # fmt: skip
    return figure


def _in_lines(name: str, width: float, most: int = 3) -> str:
    """A transfer's name in lines of so many points: as the parts of it that fit into one."""
    lines: list[str] = []
    for part in name.split("-"):
        joined = f"{lines[-1]}-{part}" if lines else part
        if lines and (len(lines) == most or style.fitting(joined, width, style.SMALLEST) == joined):
            lines[-1] = joined
        else:
            lines.append(part)
    return "-\n".join(style.fitting(line, width, style.SMALLEST) for line in lines)


def judged_figure(found: Sequence[Judged]) -> Figure:
    """Accuracy on test images of everything that was judged, with intervals over seeds."""
    figure = style.new(0.8 + 0.22 * len(found))
    axes = figure.subplots()
    style.rows_axis(axes, len(found))
    for at, one in enumerate(found):
        reached = mean_interval(one.test)
        shown = (100 * reached.mean, 100 * reached.low, 100 * reached.high)
        own = one.role in (WINNER, FRONT)
        style.interval(axes, at, *shown, colour=style.GREEN if own else style.GREY)
        if one.searched == one.searched:
            axes.plot(100 * one.searched, at, marker="|", color=style.ORANGE, markersize=7)
    axes.set_yticks(range(len(found)), [one.role for one in found])
    axes.set_xlabel("accuracy (%)")
    looks = {
        "test images, found": (style.GREEN, "o", 3.5),
        "test images, controls": (style.GREY, "o", 3.5),
        "validation images, while searching": (style.ORANGE, "|", 7),
    }
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="", label=label)
        for label, (colour, marker, size) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=style.SMALLEST)
    return figure
