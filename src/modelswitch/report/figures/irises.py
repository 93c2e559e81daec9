"""A sheet of photographs of eyes: what was found in them, step by step."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modelswitch.data.eyes.circles import Circle
from modelswitch.data.eyes.covers import Lid
from modelswitch.data.eyes.irises import Irises
from modelswitch.report.figures import style

_HIDDEN = np.array([214, 39, 40])  # what hides the iris, in the strip
_TITLES = ("photograph", "circles and lids", "unrolled, with what hides it", "modalities")


def iris_sheet(irises: Irises) -> Figure:
    """One row an example: the photograph, what was found in it, the strip, both modalities.

    Photographs in which nothing was found come last, with the reason.
    """
    order = sorted(range(len(irises.examples)), key=lambda n: not _row(irises, n)["iris_x"])
    height = 1.05
    figure = style.new(height * max(1, len(order)) + 0.3, style.PAGE)
    axes = figure.subplots(max(1, len(order)), 4, squeeze=False, width_ratios=[1, 1, 1.7, 1.1])
    for panel in axes.flat:
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
        panel.set_xticks([])
        panel.set_yticks([])
    for panel, title in zip(axes[0], _TITLES, strict=True):
        panel.set_title(title)
    for line, number in zip(axes, order, strict=False):
        _draw(line, irises, number)
    return figure


def _row(irises: Irises, number: int) -> dict[str, str]:
    row = irises.examples[number]["row"]
    assert isinstance(row, dict)
    return row


def _colour(image: np.ndarray) -> np.ndarray:
    """[rows, columns, 3] of an image with any number of channels, of which the first counts."""
    image = image[..., None] if image.ndim == 2 else image
    return image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, -1)


def _draw(line: np.ndarray, irises: Irises, number: int) -> None:
    row, example = _row(irises, number), irises.examples[number]
    tensors = {
        key.partition(".")[2]: value.numpy()
        for key, value in irises.tensors.items()
        if key.startswith(f"{number}.")
    }
    photo = _colour(tensors["photo"])
    line[0].imshow(photo)
    line[0].set_ylabel(row["class"][:24], fontsize=6)
    if row["found"] != "yes":
        line[2].text(0.5, 0.5, f"set aside: {row['reason']}", ha="center", va="center", fontsize=7)
        return
    line[1].imshow(photo)
    _draw_found(line[1], row, example, photo.shape)
    strip, seen = _colour(tensors["strip"]), tensors["seen"].astype(bool)
    marked = np.where(seen[..., None], strip, (0.45 * strip + 0.55 * _HIDDEN).astype(np.uint8))
    between = np.full((2, strip.shape[1], 3), 255, np.uint8)
    line[2].imshow(np.concatenate([strip, between, marked]), interpolation="nearest")
    line[2].set_xlabel(f"{float(row['seen']):.0%} seen", fontsize=6)
    views = [_colour(tensors["periocular"]), _colour(tensors["iris"])]
    if tensors["iris"].shape[-1] == 2:
        views.append(_colour(tensors["iris"][..., 1:]))
    line[3].imshow(_stack(views), interpolation="nearest")


def _draw_found(panel: Axes, row: dict[str, str], example: dict, shape: tuple[int, ...]) -> None:
    scale = float(example["scale"])
    turn = np.linspace(0, 2 * np.pi, 100)
    iris = None
    for part, colour in (("pupil", "#ffd92f"), ("iris", "#4de04d")):
        x, y, radius = (float(row[f"{part}_{key}"]) for key in ("x", "y", "radius"))
        # the middle of the first pixel is at 0 in both sizes
        iris = Circle((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, radius * scale)
        panel.plot(*iris.points(turn), color=colour, linewidth=0.8)
    assert iris is not None
    across = np.linspace(-1.3, 1.3, 50)
    for lid in example["lids"].values():
        edge = iris.y + iris.radius * Lid(*lid).at(across)
        panel.plot(iris.x + iris.radius * across, edge, color="#ff5fd2", linewidth=0.8)
    panel.set_xlim(-0.5, shape[1] - 0.5)
    panel.set_ylim(shape[0] - 0.5, -0.5)


def _stack(images: list[np.ndarray]) -> np.ndarray:
    """Images of different sizes below one another, white beside them."""
    widest = max(image.shape[1] for image in images)
    parts = []
    for image in images:
        beside = ((0, 3), (0, widest - image.shape[1]), (0, 0))
        parts.append(np.pad(image, beside, constant_values=255))
    return np.concatenate(parts)
