"""A contact sheet: what the modalities look like, clean and degraded."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from modelswitch.config.degradations import Degradations
from modelswitch.data.degradations import amount, degrade, own_level
from modelswitch.report.figures import style

CAPTURES, GAP = 4, 2


def _tiles(images: list[list[torch.Tensor]]) -> np.ndarray:
    """A picture [rows, columns, 3] of a table of images [H, W, C], white between them."""
    height, width, _ = images[0][0].shape
    sheet = np.full(
        (len(images) * (height + GAP) - GAP, len(images[0]) * (width + GAP) - GAP, 3), 255, np.uint8
    )
    for row, line in enumerate(images):
        for column, image in enumerate(line):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = _visible(image)
    return sheet


def _visible(image: torch.Tensor) -> np.ndarray:
    """An image [H, W, C] in colour, or where it has not three channels their mean in grey."""
    if image.shape[-1] != 3:
        image = image.float().mean(-1, keepdim=True).round().to(torch.uint8).expand(-1, -1, 3)
    return image.numpy()


def contact_sheet(
    images: dict[str, torch.Tensor],
    labels: torch.Tensor,
    degradations: Degradations,
    synthetic: bool,
) -> Figure:
    """Per modality, captures of some classes and one sample under every degradation.

    `images` holds uint8 [N, H, W, C] per modality, paired; `labels` is [N].
    """
    kinds = [*degradations.seen, *degradations.unseen]
    levels = degradations.levels
    shown = [levels[round(i * (len(levels) - 1) / 3)] for i in range(4)] if levels[3:] else levels
    classes = labels.unique()[: len(kinds)].tolist()
    people = [(labels == label).nonzero().flatten()[:CAPTURES].tolist() for label in classes]
    fewest = min(len(rows) for rows in people)
    strongest = {kind: own_level(kind, levels[-1], degradations.scale) for kind in kinds}
    most = {kind: amount(kind, level) for kind, level in strongest.items()}
    panels = {}
    for name, values in images.items():
        clean = _tiles([[values[row] for row in rows[:fewest]] for rows in people])
        sample = values[people[0][0]][None]
        worse = _tiles(
            [
                [
                    degrade(sample, kind, x, seed=0, scale=degradations.scale)[0]
                    for x in (0.0, *shown)
                ]
                for kind in kinds
            ]
        )
        panels[name] = clean, worse

    width = style.PAGE
    ratios = [clean.shape[1] / worse.shape[1] for clean, worse in panels.values()]
    unit = width * 0.82 / (1 + max(ratios))
    heights = [
        max(unit * clean.shape[0] / worse.shape[1], unit * worse.shape[0] / worse.shape[1])
        for clean, worse in panels.values()
    ]
    figure = style.new(sum(heights) + 0.3 * len(heights) + 0.35, width)
    axes = figure.subplots(
        len(panels), 2, squeeze=False, height_ratios=heights, width_ratios=[max(ratios), 1]
    )
    for (left, right), (name, (clean, worse)) in zip(axes, panels.items(), strict=True):
        for panel, picture in ((left, clean), (right, worse)):
            panel.imshow(picture, interpolation="nearest")
            panel.grid(visible=False)
            panel.spines[:].set_visible(False)
            panel.tick_params(length=0)
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_anchor("NW")
        high, wide, channels = images[name].shape[1:]
        mean = f", mean of {channels} channels" if channels not in (1, 3) else ""
        left.set_title(f"{name}: {len(people)} classes (rows), {fewest} samples of each{mean}")
        right.set_xticks(
            [wide / 2 + i * (wide + GAP) for i in range(1 + len(shown))],
            ["clean", *(f"{x:g}" for x in shown)],
        )
        right.xaxis.tick_top()
        right.set_yticks(
            [high / 2 + i * (high + GAP) for i in range(len(kinds))],
            [f"{kind.replace('_', ' ')}\n{most[kind]}" for kind in kinds],
            fontsize=5,
        )
        right.set_title(f"{name}: degraded, by level")
    source = "Synthetic images, drawn at random: nobody's eyes. " if synthetic else ""
    figure.suptitle(source + "Test samples.", x=0.01, ha="left", fontsize=8, fontweight="bold")
    return figure
