"""What optics, light, pose and spectacles do to pictures of eyes in the field.

Beside the degradations of `data.degradations`, to whose contract these keep: nothing at level 0,
more at a higher level, the same draws at every level. All take and give uint8
[N, rows, columns, channels] and work on any picture; `dilation` means unrolled iris patterns.
"""

import numpy as np
import torch
import torch.nn.functional as F

DEFOCUS_RADIUS = 0.16
GLINTS, GLINT_SIZE = 9, 0.22
STEEPEST = 75
BRIGHTEST = 1.0
CAST = 0.85
LOST_ROWS = 0.75
MEANING = {
    "defocus": f"radius of the disc that a point becomes, up to {DEFOCUS_RADIUS} of the shorter "
    "side",
    "glints": f"radius of {GLINTS} spots of light, saturated, up to {GLINT_SIZE} of the shorter "
    "side",
    "off_axis": f"angle by which the surface is turned away, up to {STEEPEST} degrees, about an "
    "axis near the upright",
    "spectacles": "light that two soft panes reflect into the picture, up to "
    f"{BRIGHTEST} of the range",
    "colour_cast": f"how far light of one colour takes that of the others, up to {CAST}; where "
    "there is one channel, its light",
    "dilation": f"share of the rows, those next to the pupil, that are lost while the others are "
    f"stretched over them, up to {LOST_ROWS}",
}


def channels_first(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2)


def quantise(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0, 255).round().to(torch.uint8)


def _drawn(streams: list, *ranges: tuple[float, float]) -> list[torch.Tensor]:
    """For each range one number a picture, [N, 1, 1]."""
    rows = [[rng.uniform(*ends) for ends in ranges] for rng in streams]
    return [column[:, None, None] for column in torch.tensor(rows, dtype=torch.float32).unbind(1)]


def _places(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of the pixels' centres, in shorter sides from the picture's middle."""
    rows, columns = images.shape[1:3]
    side = min(rows, columns)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (y + 0.5 - rows / 2) / side, (x + 0.5 - columns / 2) / side


def _sampled(images: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The pictures at places [N, rows, columns] as of `_places`, the border beyond it."""
    rows, columns = images.shape[1:3]
    side = min(rows, columns)
    grid = torch.stack([x * 2 * side / columns, y * 2 * side / rows], -1)
    moved = F.grid_sample(
        channels_first(images).float(), grid, padding_mode="border", align_corners=False
    )
    return quantise(moved).permute(0, 2, 3, 1).contiguous()


def defocus(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """The mean over a disc, as a lens out of focus gives it; its edge is as fine as a pixel."""
    radius = DEFOCUS_RADIUS * level * min(images.shape[1:3])
    reach = int(np.ceil(radius + 0.5))
    offsets = torch.arange(-reach, reach + 1).float()
    distance = (offsets[:, None] ** 2 + offsets[None] ** 2).sqrt()
    disc = (radius + 0.5 - distance).clamp(0, 1)
    kernel = (disc / disc.sum())[None, None]
    flat = channels_first(images).float().reshape(-1, 1, *images.shape[1:3])
    blurred = F.conv2d(F.pad(flat, [reach] * 4, mode="replicate"), kernel)
    return quantise(blurred.reshape(channels_first(images).shape)).permute(0, 2, 3, 1).contiguous()


def glints(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """Spots of light at places of their own, each with a soft edge, where the sensor saturates."""
    y, x = _places(images)
    light = torch.zeros(images.shape[:3])
    tall, wide = y.max(), x.max()
    for _ in range(GLINTS):
        down, across, share = _drawn(streams, (-1, 1), (-1, 1), (0.4, 1))
        radius = GLINT_SIZE * level * share
        distance = ((y - down * tall) ** 2 + (x - across * wide) ** 2).sqrt()
        light = torch.maximum(light, (1.5 * (1 - distance / radius)).clamp(0, 1))
    return quantise(images + (255 - images.float()) * light[..., None])


def off_axis(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """A flat surface turned away from the camera: shortened across the axis about its middle."""
    turned = float(np.deg2rad(STEEPEST * level))
    [axis] = _drawn(streams, (-np.pi / 6, np.pi / 6))
    y, x = _places(images)
    along = x * torch.cos(axis) + y * torch.sin(axis)
    further = along * (1 / np.cos(turned) - 1)
    return _sampled(images, y + further * torch.sin(axis), x + further * torch.cos(axis))


def spectacles(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """Two panes of light with soft edges, as windows and lamps in a lens, add to the picture."""
    y, x = _places(images)
    tall, wide = y.max(), x.max()
    light = torch.zeros(images.shape[:3])
    for _ in range(2):
        down, across, turn, long, narrow = _drawn(
            streams, (-0.6, 0.6), (-0.7, 0.7), (-0.8, 0.8), (0.6, 1.1), (0.25, 0.5)
        )
        v, u = y - down * tall, x - across * wide
        along = u * torch.cos(turn) + v * torch.sin(turn)
        over = v * torch.cos(turn) - u * torch.sin(turn)
        inside = torch.minimum(long * wide - along.abs(), narrow * tall - over.abs())
        light = torch.maximum(light, torch.sigmoid(inside * 30))
    return quantise(images + 255 * BRIGHTEST * level * light[..., None])


def colour_cast(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """Each channel loses light, all but one that is drawn; of a single one its light is lost."""
    channels = images.shape[3]
    loss = torch.tensor(
        np.stack([rng.uniform(0.5, 1, channels) for rng in streams]), dtype=torch.float32
    )
    if channels > 1:
        kept = torch.tensor([int(rng.integers(channels)) for rng in streams])
        loss[torch.arange(len(kept)), kept] = 0
    return quantise(images * (1 - CAST * level * loss)[:, None, None])


def dilation(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """A wider pupil in an unrolled iris, whose last row lies at the pupil: what is next to it
    folds away, and the rest is stretched over the rows."""
    [share] = _drawn(streams, (0.7, 1))
    y, x = _places(images)
    top = y.min()
    return _sampled(
        images,
        top + (y - top) * (1 - LOST_ROWS * level * share),
        x.expand(len(images), -1, -1),
    )


DEGRADATIONS = {
    "defocus": defocus,
    "glints": glints,
    "off_axis": off_axis,
    "spectacles": spectacles,
    "colour_cast": colour_cast,
    "dilation": dilation,
}
