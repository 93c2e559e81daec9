"""Finding the pupil and the rim of the iris in a photograph of an eye, as two circles.

First the integro-differential operator (Daugman, How iris recognition works, IEEE TCSVT 14(1),
2004): the mean over the arcs of a circle grows most where the radius passes an edge. It is tried
for all centres and radii of a small copy of the photograph, for the rim and the pupil together; of
the rim only arcs at the sides count, for lids hide the rest, and the weaker side decides. Then the
edge is measured along rays in the photograph itself, and a circle fitted to the points that agree.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, grey_opening, map_coordinates, maximum_filter, zoom

Image = NDArray[np.float32]

SHORT_SIDE = 80  # of the small copy, in pixels
_CANDIDATES = 4
_SIDE = np.deg2rad(np.concatenate([np.arange(-35, 55, 2.0), np.arange(125, 215, 2.0)]))
_AROUND = np.deg2rad(np.arange(0, 360, 3.0))
_PUPIL = (0.15, 0.75)  # its radius in that of the iris; drugs and the dark open it no wider
_RAY = 60  # steps of a ray in a radius of the iris
# What counts as found. Of 180 synthetic eyes three fall short of these, of 105 pictures of other
# things (noise, brick, fur, coins, pages) one passes.
_LEAST_CONTRAST = 0.02  # of the range, between the white and the iris at the weaker side
_LEAST_DEPTH = 0.05  # of the range, between the iris and the pupil
_LEAST_AGREED = 0.4  # share of the rays at the sides on which the rim lies where the circle is
_LEAST_PUPIL_AGREED = 0.3  # share of all rays for the pupil
_LEAST_TOGETHER = 1.1  # sum of the two
_CLEAR_CONTRAST, _CLEAR_AGREED = 0.1, 0.55  # of a rim alone, where no pupil can be made out
_USUAL_PUPIL = 0.35  # its radius in that of the iris


@dataclass(frozen=True)
class Circle:
    """In pixels; whole coordinates are a pixel's centre, `x` counts columns and `y` rows."""

    x: float
    y: float
    radius: float

    def points(self, angles: NDArray, radius: NDArray | float = 1.0) -> tuple[NDArray, NDArray]:
        """x and y at ``angles`` from the x axis towards the y axis, at a share of the radius."""
        reach = self.radius * np.asarray(radius)
        return self.x + reach * np.cos(angles), self.y + reach * np.sin(angles)

    def inside(self, shape: tuple[int, ...], share: float = 1.0) -> NDArray[np.bool_]:
        """bool [rows, columns]: the pixels in the circle made larger by ``share``."""
        y, x = np.ogrid[: shape[0], : shape[1]]
        return (x - self.x) ** 2 + (y - self.y) ** 2 <= (share * self.radius) ** 2


@dataclass(frozen=True)
class Rims:
    """The two circles of an iris, and how sure they are: ``contrast`` between the white and the
    iris at the weaker side and ``depth`` between iris and pupil, in shares of the range, and the
    shares of rays that ``agreed`` on the rim, of those at its sides, and on the pupil."""

    pupil: Circle
    iris: Circle
    contrast: float
    depth: float
    agreed: float
    pupil_agreed: float


Propose = Callable[[Image], list[Circle]]


def without_glints(image: Image, width: float) -> Image:
    """``image`` [rows, columns] with bright spots that are narrower than ``width`` pixels taken
    away, and all else as it was."""
    opened = grey_opening(image, size=max(3, 2 * round(width / 2) + 1))
    return np.where(image - opened > 0.12, opened, image)


@dataclass(frozen=True)
class Planes:
    """A photograph as the two grey images [rows, columns] in which the two edges show best.

    The least of the channels is high in the white of the eye alone, whatever colours iris and skin
    have; the largest is low in the pupil alone. Of a photograph in grey both are that.
    """

    white: Image
    bright: Image

    @classmethod
    def of(cls, photo: Image) -> "Planes":
        """From a ``photo`` [rows, columns, channels] in [0, 1]."""
        if photo.shape[-1] == 1:
            return cls(photo[..., 0], photo[..., 0])
        # the extremes of three noisy values are further apart than those of their means
        calm = gaussian_filter(photo, (0.7, 0.7, 0))
        return cls(calm.min(-1), calm.max(-1))


def find_rims(
    photo: Image,
    diameter: tuple[float, float],
    propose: Propose | None = None,
    assume_pupil: bool = False,
) -> Rims | str:
    """The rims of the iris in a ``photo`` [rows, columns, channels] in [0, 1], or why none were
    found.

    Args:
        diameter: how large an iris may be, least and most in shares of the shorter side.
        propose: gives circles from which the rim is measured, in place of a search for them.
        assume_pupil: where none can be made out in a clear rim, take one of usual size.
    """
    planes = Planes.of(photo)
    short = min(photo.shape[:2])
    scale = min(1.0, SHORT_SIDE / short)

    def small(image: Image) -> Image:
        # the blur keeps the small copy free of false edges
        calm = gaussian_filter(image, 0.4 / scale)
        return zoom(calm, scale, order=1, grid_mode=True, mode="nearest")

    if propose is None:
        copies = small(planes.white), small(planes.bright)
        # the centre of the first pixel of the small copy is not that of the photograph
        near = [
            Circle((x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5, radius / scale)
            for x, y, radius in _candidates(*copies, diameter)
        ]
    else:
        near = propose(photo)
    measured = [rims for rims in (_measured(planes, circle) for circle in near) if rims is not None]
    if not measured:
        return "no circle"
    sized = [
        rims
        for rims in measured
        if 0.9 * diameter[0] <= 2 * rims.iris.radius / short <= 1.1 * diameter[1]
    ]
    if not sized:
        return "iris of another size than data.diameter"
    # Rather one that passes than a better one that does not.
    passing = [rims for rims in sized if _lacks(rims) is None]
    if passing:
        best = max(passing, key=_worth)
        return max((r for r in passing if _is_pupil_of(best, r)), key=_worth, default=best)
    clear = [r for r in sized if r.contrast >= _CLEAR_CONTRAST and r.agreed >= _CLEAR_AGREED]
    if not assume_pupil or not clear:
        return _lacks(max(sized, key=_worth)) or ""
    rims = max(clear, key=lambda rims: rims.agreed * rims.contrast)
    return replace(rims, pupil=replace(rims.iris, radius=_USUAL_PUPIL * rims.iris.radius))


def _lacks(rims: Rims) -> str | None:
    """Why circles are not taken for an iris; None if they are."""
    if rims.contrast < _LEAST_CONTRAST:
        return "no contrast between iris and white"
    if rims.depth < _LEAST_DEPTH:
        return "no pupil"
    together = rims.agreed + rims.pupil_agreed
    if rims.agreed < _LEAST_AGREED or rims.pupil_agreed < _LEAST_PUPIL_AGREED:
        return "no round rim"
    return "no round rim" if together < _LEAST_TOGETHER else None


def _worth(rims: Rims) -> float:
    return rims.agreed * rims.contrast + rims.pupil_agreed * rims.depth


def _is_pupil_of(rims: Rims, other: Rims) -> bool:
    """Whether what was taken for an iris is the pupil of another, which is nearly as good."""
    iris, pupil = rims.iris, other.pupil
    apart = np.hypot(iris.x - pupil.x, iris.y - pupil.y)
    alike = apart < 0.3 * iris.radius and 0.75 < pupil.radius / iris.radius < 1.33
    larger = other.iris.radius * _PUPIL[1] > iris.radius
    return bool(alike and larger and _worth(other) > 0.4 * _worth(rims))


# ----------------------------------------------------------------------------- in the small copy


@functools.lru_cache(maxsize=4)
def _kernels(shape: tuple[int, int], radii: tuple[float, ...], kind: str) -> NDArray:
    """Transforms of the means over an arc, of every radius: [radii, ...]."""
    angles = {"left": _SIDE[len(_SIDE) // 2 :], "right": _SIDE[: len(_SIDE) // 2]}.get(
        kind, _AROUND
    )
    kernels = np.zeros((len(radii), *shape), np.float32)
    for kernel, radius in zip(kernels, radii, strict=True):
        x, y = radius * np.cos(angles), radius * np.sin(angles)
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        for down in (0, 1):
            for across in (0, 1):
                weight = np.abs(1 - down - (y - top)) * np.abs(1 - across - (x - left))
                np.add.at(kernel, (top + down, left + across), weight / len(angles))
    # to correlate, not to convolve
    return np.conj(fft.rfft2(kernels))


def _growth(image: Image, radii: NDArray, kind: str) -> NDArray:
    """How the mean over an arc grows with the radius, at every pixel: [radii, rows, columns]."""
    rows, columns = image.shape
    border = int(np.ceil(radii[-1])) + 2
    padded = np.pad(image, border, mode="edge")
    shape = tuple(fft.next_fast_len(side, real=True) for side in padded.shape)
    steps = tuple(float(r) for r in (*(radii - 0.75), radii[-1] + 0.75, radii[-1] + 1.5))
    transformed = fft.rfft2(padded, s=shape)
    means = fft.irfft2(transformed[None] * _kernels(shape, steps, kind), s=shape)
    means = means[:, border : border + rows, border : border + columns]
    return means[2:] - means[:-2]


def _candidates(
    white: Image, bright: Image, diameter: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """The likeliest (x, y, radius) of the rim in small copies of a photograph's planes."""
    short = min(white.shape)
    least, most = (share * short / 2 for share in diameter)
    step = 0.75
    radii = np.arange(max(least * _PUPIL[0], 1.5), most + step, step)
    sides = np.minimum(_growth(white, radii, "left"), _growth(white, radii, "right"))
    # not for the sides: between iris and lid the white is as narrow as a glint
    around = _growth(without_glints(bright, 0.12 * short), radii, "around")
    # the pupil is not quite in the middle of the iris
    around = maximum_filter(around, (1, 3, 3))
    score = np.full(sides.shape, -np.inf, np.float32)
    for number, radius in enumerate(radii):
        inner = (radii >= _PUPIL[0] * radius) & (radii <= _PUPIL[1] * radius)
        if radius >= least and inner.any():
            score[number] = sides[number] + around[inner].max(0)
    found: list[tuple[float, float, float]] = []
    for _ in range(_CANDIDATES):
        number, y, x = map(int, np.unravel_index(np.argmax(score), score.shape))
        if not np.isfinite(score[number, y, x]):
            break
        radius = float(radii[number])
        found.append((x, y, radius))
        # It may be a pupil, whose edge is stronger than a rim's: the best rim around it as well.
        outer = radii > radius / _PUPIL[1]
        if outer.any():
            about = sides[outer][:, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            rim, down, across = np.unravel_index(np.argmax(about), about.shape)
            place = max(0, x - 2) + int(across), max(0, y - 2) + int(down)
            found.append((*place, float(radii[outer][rim])))
        near = int(np.ceil(0.25 * radius))
        alike = (radii > 0.8 * radius) & (radii < 1.25 * radius)
        top, left = max(0, y - near), max(0, x - near)
        score[alike, top : y + near + 1, left : x + near + 1] = -np.inf
    return found


# ---------------------------------------------------------------------------- in the photograph


def _rays(image: Image, circle: Circle, angles: NDArray, shares: NDArray) -> Image:
    """The image along rays from a circle's centre: [angles, shares of the radius]."""
    x, y = circle.points(angles[:, None], shares[None])
    return map_coordinates(image, [y, x], order=1, mode="nearest")


def _edges(rays: Image, shares: NDArray) -> tuple[NDArray, NDArray]:
    """Where each ray gets brighter fastest, between two steps too, and by how much a step."""
    slope = np.gradient(rays, axis=1)
    at = np.argmax(slope[:, 1:-1], axis=1) + 1
    row = np.arange(len(rays))
    before, here, after = slope[row, at - 1], slope[row, at], slope[row, at + 1]
    bend = before - 2 * here + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0)
    return shares[at] + np.clip(shift, -0.5, 0.5) * (shares[1] - shares[0]), here


def fitted_circle(x: NDArray, y: NDArray, near: Circle) -> Circle:
    """The circle through points of which many are off: least squares on the distances, weighted
    by Tukey's biweight, which a point far off has no say in."""
    circle = near
    scale = 0.08 * near.radius
    for _ in range(12):
        dx, dy = x - circle.x, y - circle.y
        away = np.hypot(dx, dy)
        residual = away - circle.radius
        weight = np.clip(1 - (residual / scale) ** 2, 0, None) ** 2
        if (weight > 0).sum() < 6:
            return near
        jacobian = np.stack([dx / away, dy / away, np.ones_like(away)], 1)
        root = np.sqrt(weight)
        change, *_ = np.linalg.lstsq(jacobian * root[:, None], residual * root, rcond=None)
        circle = Circle(circle.x + change[0], circle.y + change[1], circle.radius + change[2])
        scale = max(0.7 * scale, 0.02 * near.radius)
    return circle


def _moved(circle: Circle, x: float, y: float) -> Circle:
    return Circle(float(circle.x + x), float(circle.y + y), float(circle.radius))


def _measured(planes: Planes, place: Circle) -> Rims | None:
    """The two circles from the edges in the photograph; None where they run away."""
    reach = 2 * place.radius
    left, top = max(0, int(place.x - reach)), max(0, int(place.y - reach))
    part = slice(top, int(place.y + reach) + 2), slice(left, int(place.x + reach) + 2)
    near = _moved(place, -left, -top)
    blur = max(0.7, 0.025 * near.radius)
    white = gaussian_filter(planes.white[part], blur)
    iris = near
    for low, high in ((0.7, 1.35), (0.85, 1.17), (0.88, 1.13)):
        shares = np.arange(low, high, 1 / _RAY)
        where, _ = _edges(_rays(white, iris, _SIDE, shares), shares)
        fitted = fitted_circle(*iris.points(_SIDE, where), iris)
        if not 0.6 < fitted.radius / near.radius < 1.6:
            return None
        if np.hypot(fitted.x - near.x, fitted.y - near.y) > 0.5 * near.radius:
            return None
        iris = fitted
    shares = np.arange(0.8, 1.2, 1 / _RAY)
    rays = _rays(white, iris, _SIDE, shares)
    where, _ = _edges(rays, shares)
    agreed = float((np.abs(where - 1) < 0.05).mean())
    outside = rays[:, shares > 1.05].mean(1)
    inside = rays[:, shares < 0.95].mean(1)
    half = len(_SIDE) // 2
    contrast = min(
        float(np.median((outside - inside)[part])) for part in (slice(half), slice(half, None))
    )
    clean = without_glints(gaussian_filter(planes.bright[part], blur), 0.6 * iris.radius)
    pupil = _pupil(clean, iris)
    if pupil is None:
        whole = _moved(iris, left, top)
        return Rims(
            replace(whole, radius=_USUAL_PUPIL * whole.radius), whole, contrast, 0, agreed, 0
        )
    shares = np.arange(0.7, 1.3, 0.025)
    rays = _rays(clean, pupil, _AROUND, shares)
    rings = np.median(rays, axis=0)
    depth = float(rings[shares > 1.1].mean() - rings[shares < 0.9].mean())
    where, _ = _edges(rays, shares)
    pupil_agreed = float((np.abs(where - 1) < 0.08).mean())
    circles = _moved(pupil, left, top), _moved(iris, left, top)
    return Rims(*circles, contrast, depth, agreed, pupil_agreed)


def _pupil(clean: Image, iris: Circle) -> Circle | None:
    """The pupil in an iris of an image without glints."""
    near = iris
    low, high = _PUPIL
    centre = Circle(iris.x, iris.y, iris.radius)
    shares = np.arange(low, high, 1 / _RAY)
    # The mean over the half of the rays with the middling slope: lids and lashes touch the others.
    best = (-np.inf, centre, 0.0)
    for dy in (-0.08, -0.04, 0, 0.04, 0.08):
        for dx in (-0.08, -0.04, 0, 0.04, 0.08):
            tried = Circle(iris.x + dx * iris.radius, iris.y + dy * iris.radius, iris.radius)
            slope = np.sort(np.gradient(_rays(clean, tried, _AROUND, shares), axis=1), axis=0)
            middle = slope[len(slope) // 4 : -len(slope) // 4].mean(0)
            at = int(np.argmax(middle))
            if middle[at] > best[0]:
                best = (float(middle[at]), tried, float(shares[at]))
    near = Circle(best[1].x, best[1].y, best[2] * iris.radius)
    for width in (0.3, 0.2):
        shares = np.arange(1 - width, 1 + width, 1 / max(20, _RAY * near.radius / iris.radius))
        where, _ = _edges(_rays(clean, near, _AROUND, shares), shares)
        fitted = fitted_circle(*near.points(_AROUND, where), near)
        if not 0.6 < fitted.radius / near.radius < 1.6:
            break
        near = fitted
    if np.hypot(near.x - iris.x, near.y - iris.y) > 0.25 * iris.radius:
        return None
    return near
