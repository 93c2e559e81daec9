"""Time of an epoch against the number of images and against the number of parameters.

The project's loop on one core. On log-log axes either should be a straight line: no term that grows
faster hides in the loop, none that is large and fixed either.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
from contestants import objective, parameters, session
from matplotlib.ticker import NullFormatter
from measure import ROOT, WORK, Figure, Part, arguments, finish, note, prepared, take_one_core
from torch import nn

from modelswitch.config.models import ModelSpec, PlainModel
from modelswitch.jobs.fit import fit
from modelswitch.report.figures import style
from modelswitch.wording import round_amount

IMAGES = (2_560, 5_120, 10_240, 20_480, 40_960)
WIDTHS = (8, 12, 16, 24, 32, 48)
SUBSET = 2_560
STRAIGHT = 0.98


def plain(width: int) -> ModelSpec:
    stages = [[width], [2 * width], [4 * width, 4 * width], [8 * width]]
    return PlainModel(family="plain", stages=stages)


THIN = PlainModel(family="plain", stages=[[16], [32], [64]])


class Epochs:
    """One-epoch trainings of a model on the first images of the training set."""

    def __init__(self, data: Path, model: ModelSpec, images: int) -> None:
        self._here = session(data, model, epochs=1, validation=0.0)
        self._here.train_index = self._here.train_index[:images]
        self._objective: nn.Module = objective(self._here, WORK)
        self.parameters = parameters(self._objective.student)

    def seconds(self) -> float:
        here, trained = self._here, self._objective
        history = fit(here, trained, trained.student, "train", here.job.training, validates=False)
        return history[0]["seconds"]


def in_turns(epochs: list[Epochs], rounds: int) -> list[list[float]]:
    """Seconds of an epoch of each, in every round."""
    measured: list[list[float]] = [[] for _ in epochs]
    for _ in range(rounds):
        for one, seconds in zip(epochs, measured, strict=True):
            seconds.append(one.seconds())
    return measured


def slope(sizes: list[float], seconds: list[float]) -> tuple[float, float, float]:
    """Exponent and factor of seconds = factor * size ** exponent, and R² of the fit in logs."""
    x, y = np.log(sizes), np.log(seconds)
    exponent, offset = np.polyfit(x, y, 1)
    rest = y - (exponent * x + offset)
    return float(exponent), math.exp(offset), float(1 - rest.var() / y.var())


def draw(panels: list[tuple[str, str, list[float], list[list[float]]]]):
    """One log-log panel a series: medians with their extremes, and the fitted line."""
    figure = style.new(1.9)
    axes = figure.subplots(1, len(panels), sharey=True)
    for panel, (title, label, sizes, measured) in zip(axes, panels, strict=True):
        medians = [statistics.median(each) for each in measured]
        exponent, factor, straight = slope(sizes, medians)
        ends = np.array([min(sizes), max(sizes)])
        panel.plot(ends, factor * ends**exponent, color=style.GREY, linewidth=0.8, zorder=1)
        low = [m - min(each) for m, each in zip(medians, measured, strict=True)]
        high = [max(each) - m for m, each in zip(medians, measured, strict=True)]
        panel.errorbar(sizes, medians, [low, high], fmt="o", color=style.BLUE, linewidth=0.8)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(title, pad=3)
        text = f"slope {exponent:.2f}\nR² {straight:.3f}"
        panel.text(0.05, 0.95, text, transform=panel.transAxes, va="top", fontsize=6.5)
        panel.set_xlabel(label)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_formatter(NullFormatter())
        if max(sizes) < 100 * min(sizes):
            panel.set_xticks(sizes[::2])  # decades alone would leave a tick or two
        panel.xaxis.set_major_formatter(lambda value, _: round_amount(value))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].set_ylabel("seconds an epoch")
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "reference" / "bench")
    args = parser.parse_args()
    take_one_core()
    data, name = prepared(args.data)
    rounds = 1 if args.quick else 3
    folder = WORK / "quick" if args.quick else args.folder
    subsets = [Epochs(data, THIN, count) for count in IMAGES]
    by_images = in_turns(subsets, rounds)
    note("images done")
    models = [Epochs(data, plain(width), SUBSET) for width in WIDTHS]
    by_size = in_turns(models, rounds)
    sizes = [float(model.parameters) for model in models]
    small = round_amount(subsets[0].parameters)
    panels = [
        (f"{small} parameters", "training images", [float(count) for count in IMAGES], by_images),
        (f"{SUBSET:,} images", "parameters", sizes, by_size),
    ]
    figures = []
    for _, label, values, measured in panels:
        exponent, _, straight = slope(values, [statistics.median(each) for each in measured])
        figures.append(Figure(f"{label}, straightness (R²)", straight, goal=STRAIGHT))
        figures.append(Figure(f"{label}, slope", exponent))
        for size, each in zip(values, measured, strict=True):
            figures.append(Figure.of(f"{round_amount(size)} {label}", each, "s"))
    with style.look():
        style.save(draw(panels), folder, "growth")
    notes = ["bfloat16 where the processor has it, batch 128, 1 thread; growth.png, growth.svg"]
    title = "Growth of the time of an epoch, log-log"
    finish(Part("growth", title, figures, notes, name), args.to)


if __name__ == "__main__":
    main()
