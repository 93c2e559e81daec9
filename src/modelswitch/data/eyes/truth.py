"""Where the iris really is in a synthetic eye: what a segmentation is measured against."""

from dataclasses import dataclass

import numpy as np
import torch

from modelswitch.data.eyes.circles import Circle
from modelswitch.data.eyes.looks import LASH_D, LASH_U, draw_look
from modelswitch.data.eyes.render import (
    VIEW_CENTRE_V,
    VIEW_WIDTH,
    EyeSettings,
    as_batch,
    draw_captures,
    lids,
    lookup,
    pixel_grid,
    to_eye,
)


@dataclass(frozen=True)
class Truth:
    """The circles in pixels of the periocular image (a pixel's centre has whole coordinates), and
    which of its pixels are between the lids and under no lash, bool [rows, columns]."""

    pupil: Circle
    iris: Circle
    open: np.ndarray


def truths(settings: EyeSettings, identity: int, captures: list[int]) -> list[Truth]:
    """The truth of each capture of an identity, at the size of ``settings.periocular``."""
    size = settings.periocular
    look = as_batch(draw_look(settings.seed, identity), len(captures))
    capture = draw_captures(settings, identity, captures)
    unit = size[1] / VIEW_WIDTH
    centre = [_on_picture(look, capture, unit, size)[:, axis] for axis in (0, 1)]
    radius = look["iris_radius"] * capture["scale"] * unit
    seen = _open(look, capture, unit, size).numpy()
    found = []
    for row in range(len(captures)):
        x, y, outer = (float(value[row]) for value in (*centre, radius))
        inner = outer * float(capture["pupil"][row])
        found.append(Truth(Circle(x, y, inner), Circle(x, y, outer), seen[row]))
    return found


def _on_picture(
    look: dict[str, torch.Tensor],
    capture: dict[str, torch.Tensor],
    unit: float,
    size: tuple[int, int],
) -> torch.Tensor:
    """The middle of each pupil, (x, y) in pixels: [B, 2]. The way back of `to_eye`."""
    u, v = capture["gaze_u"], capture["gaze_v"]
    cos, sin = torch.cos(look["tilt"]), torch.sin(look["tilt"])
    x, y = u * cos + v * sin, v * cos - u * sin
    cos, sin = torch.cos(capture["angle"]), torch.sin(capture["angle"])
    x, y = (x * cos - y * sin) * capture["scale"], (y * cos + x * sin) * capture["scale"]
    x = (x + capture["shift_u"]) * unit + size[1] / 2 - 0.5
    y = (y + capture["shift_v"] - VIEW_CENTRE_V) * unit + size[0] / 2 - 0.5
    return torch.stack((x, y), 1)


def _open(
    look: dict[str, torch.Tensor],
    capture: dict[str, torch.Tensor],
    unit: float,
    size: tuple[int, int],
) -> torch.Tensor:
    """Where nothing hides the eyeball: bool [B, rows, columns]."""
    x, y = to_eye(capture, *pixel_grid(*size), unit, size)
    cos = torch.cos(look["tilt"])[:, None, None]
    sin = torch.sin(look["tilt"])[:, None, None]
    u, v = x * cos - y * sin, x * sin + y * cos
    upper, lower = lids(look, capture["opening"], u)
    seen = (v > upper) & (v < lower) & (u.abs() < 1)
    for name, distance in (("upper_lashes", v - upper), ("lower_lashes", lower - v)):
        lashes = lookup(look[name][:, None], u, distance, (LASH_U, LASH_D), "zeros")
        seen &= lashes.squeeze(1) < 0.5
    return seen
