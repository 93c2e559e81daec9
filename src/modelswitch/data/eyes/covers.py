"""What hides an iris in a photograph: lids, lashes and reflections."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates

from modelswitch.data.eyes.circles import Image, Planes, Rims, without_glints

_ACROSS = np.arange(-1.25, 1.2501, 0.05)  # in radii of the iris, from its centre
_DOWN_STEP = 0.025
_DOWN = np.arange(-1.7, 1.7001, _DOWN_STEP)
_GLINT = 0.2  # of the range, above the middle of the iris
_LASH = 0.45  # share of the brightness of the middle of the iris


@dataclass(frozen=True)
class Lid:
    """The edge of a lid over the iris: a parabola ``height + slope t + bend t²`` below the centre,
    where ``t`` counts to the right and all is in radii of the iris."""

    height: float
    slope: float
    bend: float

    def at(self, across: NDArray) -> NDArray:
        """How far below the centre the edge is at places to the right of it, in radii."""
        return self.height + self.slope * across + self.bend * across**2


@dataclass(frozen=True)
class Covers:
    """The two lids, and the pixels [rows, columns] of the photograph in which the iris is seen."""

    upper: Lid
    lower: Lid
    seen: NDArray[np.bool_]


def find_covers(photo: Image, rims: Rims) -> Covers:
    """Lids, lashes and reflections over an iris in a ``photo`` [rows, columns, channels] in [0, 1].

    A lid is the parabola along which brightness or colour change most from above to below, as
    Daugman (2004) finds it with arcs in place of circles. Reflections are white beside the iris,
    lashes dark; a dark iris hides its lashes.
    """
    iris, pupil, planes = rims.iris, rims.pupil, Planes.of(photo)
    x, y = iris.x + iris.radius * _ACROSS[None], iris.y + iris.radius * _DOWN[:, None]
    change = np.zeros((len(_DOWN), len(_ACROSS)), np.float32)
    for channel in np.moveaxis(photo, -1, 0):
        calm = without_glints(gaussian_filter(channel, 0.04 * iris.radius), 0.5 * iris.radius)
        patch = map_coordinates(calm, [y + 0 * x, x + 0 * y], order=1, mode="nearest")
        change += np.gradient(patch, axis=0) ** 2
    # a logarithm-like root: an edge all along counts for more than a strong one for a part
    change = np.sqrt(np.sqrt(change))
    # the rim itself is no lid
    away = np.hypot(_ACROSS[None], _DOWN[:, None])
    change[(np.abs(away - 1) < 0.06) & (np.abs(_ACROSS[None]) < 0.8)] *= 0.8
    change[away < 1.15 * pupil.radius / iris.radius] = 0
    upper = _strongest(change, np.arange(-1.5, 0.3, 0.04), np.arange(0, 0.61, 0.1))
    lower = _strongest(change, np.arange(0.3, 1.5, 0.04), np.arange(-0.5, 0.01, 0.1))

    rows, columns = photo.shape[:2]
    down = (np.arange(rows)[:, None] - iris.y) / iris.radius
    across = (np.arange(columns)[None] - iris.x) / iris.radius
    ring = iris.inside(photo.shape[:2]) & ~pupil.inside(photo.shape[:2])
    seen = ring & (down > upper.at(across)) & (down < lower.at(across))
    if seen.any():
        white, bright = np.median(planes.white[seen]), np.median(planes.bright[seen])
        spread = np.median(np.abs(planes.white[seen] - white))
        # at the rim the white of the eye is no reflection
        within = iris.inside(photo.shape[:2], 0.93)
        glint = (planes.white > white + max(_GLINT, 4 * float(spread))) & within
        lash = planes.bright < _LASH * bright
        seen &= ~binary_dilation(glint, iterations=max(1, round(0.04 * iris.radius)))
        # the pupil is as dark as a lash, and no circle is quite its edge
        seen &= ~(lash & ~pupil.inside(photo.shape[:2], 1.15))
    return Covers(upper, lower, seen)


def _strongest(change: Image, heights: NDArray, bends: NDArray) -> Lid:
    """The parabola along which ``change`` [down, across] is largest on average."""
    slopes = np.arange(-0.45, 0.46, 0.15)
    height, slope, bend = (grid.ravel() for grid in np.meshgrid(heights, slopes, bends))
    curves = height[:, None] + slope[:, None] * _ACROSS + bend[:, None] * _ACROSS**2
    rows = np.rint((curves - _DOWN[0]) / _DOWN_STEP).astype(int).clip(0, len(_DOWN) - 1)
    best = int(np.argmax(change[rows, np.arange(len(_ACROSS))].mean(1)))
    return Lid(float(height[best]), float(slope[best]), float(bend[best]))
