"""What one synthetic identity looks like around the eye: numbers and small drawn maps.

Everything here belongs to a person and stays the same from capture to capture. The maps are drawn
once per identity; `data.eyes.render` then places them in as many captures as are wanted.

Units: the eye's own, half the distance between its corners is 1, `u` points from the nose to the
temple, `v` points down, and the origin lies midway between the corners.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float32]
FACE_U = (-2.2, 2.2)
FACE_V = (-2.1, 1.5)
LASH_U = (-1.3, 1.3)
LASH_D = (-0.42, 0.22)  # distance below the lid's edge, so lashes that point up are negative
PIXELS_PER_UNIT = 80
IRIS_ROWS, IRIS_COLUMNS = 48, 320
# From fair to dark; an identity's tone lies anywhere between neighbours.
SKIN = np.array(
    [
        [0.93, 0.79, 0.71],
        [0.88, 0.71, 0.60],
        [0.79, 0.59, 0.46],
        [0.60, 0.41, 0.29],
        [0.40, 0.26, 0.19],
    ]
)
HAIR = np.array([[0.46, 0.33, 0.19], [0.28, 0.18, 0.11], [0.13, 0.09, 0.07], [0.07, 0.05, 0.05]])
# Outer and inner colour of the iris: blue, grey, green, hazel, amber, brown, dark brown.
IRIS_OUTER = np.array(
    [
        [0.42, 0.56, 0.70],
        [0.50, 0.56, 0.58],
        [0.42, 0.52, 0.40],
        [0.48, 0.45, 0.28],
        [0.56, 0.38, 0.18],
        [0.42, 0.26, 0.15],
        [0.33, 0.20, 0.13],
    ]
)
IRIS_INNER = np.array(
    [
        [0.62, 0.66, 0.66],
        [0.62, 0.60, 0.52],
        [0.60, 0.54, 0.32],
        [0.58, 0.42, 0.20],
        [0.62, 0.42, 0.20],
        [0.48, 0.30, 0.17],
        [0.40, 0.25, 0.16],
    ]
)


@dataclass(frozen=True)
class Look:
    """One identity. Lengths in the eye's unit, angles in radians, colours in [0, 1]."""

    upper_height: float
    lower_height: float
    upper_power: float
    lower_power: float
    skew: float
    tilt: float
    crease: float
    crease_depth: float
    iris_radius: float
    sclera: Array  # [3]
    hair: Array  # [3]
    face: Array  # [3, rows, columns] over FACE_U x FACE_V
    upper_lashes: Array  # [rows, columns] opacity over LASH_U x LASH_D
    lower_lashes: Array  # the same, mirrored: towards negative distances is away from the eye
    iris: Array  # [3, IRIS_ROWS, IRIS_COLUMNS], first row at the pupil


def _between(palette: Array, position: float) -> Array:
    """The colour at a position in [0, 1] along a palette."""
    place = position * (len(palette) - 1)
    low = min(int(place), len(palette) - 2)
    return palette[low] + (place - low) * (palette[low + 1] - palette[low])


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma: tuple[float, float]) -> Array:
    """Smooth noise of unit deviation that wraps round horizontally."""
    field = gaussian_filter(rng.standard_normal(shape), sigma, mode=("reflect", "wrap"))
    return (field / field.std()).astype(np.float32)


def _strokes(
    shape: tuple[int, int], curves: NDArray, widths: NDArray, opacities: NDArray, finer: int = 3
) -> Array:
    """Hairs as an opacity map [rows, columns]; curves [n, points, 2] in pixels (x, y)."""
    rows, columns = shape
    sheet = Image.new("L", (columns * finer, rows * finer))
    pen = ImageDraw.Draw(sheet)
    for curve, width, opacity in zip(curves * finer, widths, opacities, strict=True):
        points = [(float(x), float(y)) for x, y in curve]
        half = len(points) // 2
        pen.line(points[: half + 1], fill=int(255 * opacity), width=max(1, round(width * finer)))
        # a hair is thinner towards its tip
        pen.line(points[half:], fill=int(215 * opacity), width=max(1, round(width * finer * 0.5)))
    return np.asarray(sheet.reduce(finer), dtype=np.float32) / np.float32(255)


def _bezier(start: NDArray, middle: NDArray, end: NDArray, points: int = 7) -> NDArray:
    """Quadratic curves [n, points, 2] through three arrays [n, 2]."""
    t = np.linspace(0, 1, points)[None, :, None]
    return (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * middle[:, None] + t**2 * end[:, None]


def _brow(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Opacity of an eyebrow over the face map."""
    inner, outer = rng.uniform(-1.25, -0.85), rng.uniform(1.15, 1.65)
    height, arch = rng.uniform(0.86, 1.22), rng.uniform(0.02, 0.30)
    peak, slope = rng.uniform(0.1, 0.6), rng.uniform(-0.08, 0.16)
    thickness, taper = rng.uniform(0.10, 0.24), rng.uniform(0.35, 0.8)
    count, length = int(rng.uniform(170, 380)), rng.uniform(0.20, 0.32)

    along = rng.beta(1.1, 1.25, count)
    across = rng.uniform(-1, 1, count)
    u = inner + (outer - inner) * along
    half_width = thickness * (1 - taper * along**1.5) * np.minimum(1, 0.45 + along * 3)
    centre = -height - arch * (1 - ((u - peak) / 1.3) ** 2) + slope * u
    v = centre + across * half_width * 0.8
    # hairs stand up next to the nose and lie down towards the temple, leaning into the ridge
    angle = np.deg2rad(-68 + 80 * along**0.7 + 20 * across * -1 + rng.normal(0, 9, count))
    reach = length * rng.uniform(0.6, 1.1, count) * (1 - 0.35 * along)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    start = np.stack([u, v], 1)
    bend = np.stack([direction[:, 1], -direction[:, 0]], 1) * -0.12
    end = start + reach[:, None] * direction
    middle = (start + end) / 2 + reach[:, None] * bend
    curves = (_bezier(start, middle, end) - [FACE_U[0], FACE_V[0]]) * PIXELS_PER_UNIT
    hairs = _strokes(shape, curves, rng.uniform(0.8, 1.5, count), rng.uniform(0.45, 0.95, count))
    shade = gaussian_filter(hairs, 4)
    return np.clip(hairs + 0.55 * shade, 0, 0.96)


def _lashes(
    rng: np.random.Generator, count: int, length: float, weight: float, curl: float
) -> Array:
    """Opacity of a row of lashes over LASH_U x LASH_D, roots at distance 0."""
    shape = (
        round((LASH_D[1] - LASH_D[0]) * PIXELS_PER_UNIT),
        round((LASH_U[1] - LASH_U[0]) * PIXELS_PER_UNIT),
    )
    root = np.sort(rng.uniform(-0.9, 1.0, count))
    reach = length * (0.55 + 0.45 * np.clip(root + 0.6, 0, 1)) * rng.uniform(0.7, 1.1, count)
    lean = (0.12 + 0.75 * root) * reach * rng.uniform(0.7, 1.2, count)
    start = np.stack([root, np.zeros(count)], 1)
    middle = np.stack([root + 0.55 * lean, curl * reach], 1)
    end = np.stack([root + lean, -reach], 1)
    curves = (_bezier(start, middle, end) - [LASH_U[0], LASH_D[0]]) * PIXELS_PER_UNIT
    widths = weight * rng.uniform(0.8, 1.2, count)
    return _strokes(shape, curves, widths, rng.uniform(0.6, 1.0, count))


def _face(rng: np.random.Generator, skin: NDArray, hair: Array) -> Array:
    """Skin with its mottling, folds, freckles, moles and the brow: [3, rows, columns]."""
    shape = (
        round((FACE_V[1] - FACE_V[0]) * PIXELS_PER_UNIT),
        round((FACE_U[1] - FACE_U[0]) * PIXELS_PER_UNIT),
    )
    u = np.linspace(*FACE_U, shape[1], dtype=np.float32)[None]
    v = np.linspace(*FACE_V, shape[0], dtype=np.float32)[:, None]
    light = 1 + 0.028 * _noise(rng, shape, (14, 14)) + 0.014 * _noise(rng, shape, (1.2, 1.2))
    # the socket lies in shade between brow and eye and beside the nose
    socket = rng.uniform(0.10, 0.26)
    light *= 1 - socket * np.exp(-(((u + 0.35) / 1.1) ** 2) - ((v + 0.58) / 0.3) ** 2)
    light *= 1 - rng.uniform(0.10, 0.28) * np.exp(
        -(((u + 1.55) / 0.42) ** 2) - ((v + 0.2) / 0.8) ** 2
    )
    light *= 1 + 0.06 * np.exp(-((u / 1.4) ** 2) - ((v + 1.65) / 0.4) ** 2)
    # fold below the eye
    bag, fold = rng.uniform(0.42, 0.68), rng.uniform(0.0, 0.16)
    light *= 1 - fold * np.exp(-(((v - bag + 0.22 * (u + 0.15) ** 2) / 0.06) ** 2) - (u / 0.9) ** 4)
    # lines that fan out from the outer corner
    for _ in range(rng.poisson(1.2)):
        rise, depth = rng.uniform(-0.5, 0.5), rng.uniform(0.04, 0.13)
        line = (v - rise * (u - 0.95)) / 0.028
        light *= 1 - depth * np.exp(-(line**2) - ((u - 1.5) / 0.32) ** 4)
    face = skin[:, None, None] * light[None]
    red = 0.006 * _noise(rng, shape, (22, 22))
    face[0] += red
    face[1] -= 0.5 * red

    def spots(count: int, low: float, high: float, depth: tuple[float, float], tint: Array) -> None:
        for _ in range(count):
            cu, cv = rng.uniform(-1.6, 1.7), rng.uniform(-0.75, 1.15)
            # nothing grows on the eyeball
            if abs(cu) < 1.0 and -0.55 < cv < 0.32:
                continue
            size = rng.uniform(low, high)
            blob = np.exp(-((((u - cu) ** 2 + (v - cv) ** 2) / size**2) ** 1.5))
            face[:] += rng.uniform(*depth) * blob * (tint[:, None, None] * skin.mean() - face)

    if rng.uniform() < 0.35:
        spots(rng.poisson(26), 0.015, 0.035, (0.2, 0.5), np.array([0.75, 0.48, 0.33]))
    spots(rng.poisson(1.4), 0.03, 0.085, (0.5, 0.9), np.array([0.42, 0.26, 0.18]))
    brow = _brow(rng, shape)
    return np.clip(face + brow * (hair[:, None, None] - face), 0, 1).astype(np.float32)


def _iris(rng: np.random.Generator) -> Array:
    """Iris texture in polar form: fibres, collarette, crypts, furrows, freckles."""
    shape = (IRIS_ROWS, IRIS_COLUMNS)
    radius = np.linspace(0, 1, IRIS_ROWS, dtype=np.float32)[:, None]
    turn = np.linspace(0, 2 * np.pi, IRIS_COLUMNS, endpoint=False, dtype=np.float32)[None]
    position = rng.beta(1.0, 0.9)
    outer, inner = _between(IRIS_OUTER, position), _between(IRIS_INNER, position)

    frill = 0.36 + rng.uniform(-0.08, 0.08) + 0.035 * _noise(rng, (1, IRIS_COLUMNS), (0, 5))
    within = 1 / (1 + np.exp((radius - frill) / 0.03))
    ridge = np.exp(-(((radius - frill) / 0.045) ** 2))
    fibres = 0.5 * _noise(rng, shape, (9, 1.6)) + 0.65 * _noise(rng, shape, (7, 4.5))
    cloud = _noise(rng, shape, (7, 14))
    light = 1 + (0.24 - 0.07 * within) * fibres + 0.13 * cloud + 0.16 * ridge

    for _ in range(rng.poisson(9)):  # crypts: almond-shaped holes in the fibres
        centre, middle = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.72)
        width, height = rng.uniform(0.05, 0.13), rng.uniform(0.08, 0.2)
        away = (turn - centre + np.pi) % (2 * np.pi) - np.pi
        hole = np.exp(-(((away / width) ** 2 + ((radius - middle) / height) ** 2) ** 2))
        light -= rng.uniform(0.2, 0.55) * hole
    for _ in range(rng.poisson(2.2)):  # contraction furrows: arcs round the outer part
        centre, span = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.6)
        place = rng.uniform(0.6, 0.9)
        away = (turn - centre + np.pi) % (2 * np.pi) - np.pi
        arc = np.exp(-((away / span) ** 4) - ((radius - place) / 0.03) ** 2)
        light -= rng.uniform(0.08, 0.2) * arc
    light *= 1 - 0.45 * np.clip((radius - 0.86) / 0.14, 0, 1) ** 2  # the dark limbal ring
    light *= 1 - 0.35 * np.exp(-((radius / 0.06) ** 2))

    mix = np.clip(within + 0.12 * cloud, 0, 1)
    colour = outer[:, None, None] + mix[None] * (inner - outer)[:, None, None]
    texture = colour * light[None]
    for _ in range(rng.poisson(0.7)):  # freckles
        centre, middle, size = (
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.35, 0.8),
            rng.uniform(0.03, 0.09),
        )
        away = (turn - centre + np.pi) % (2 * np.pi) - np.pi
        spot = np.exp(-(((away / (1.6 * size)) ** 2 + ((radius - middle) / size) ** 2) ** 2))
        texture += 0.7 * spot * (np.array([0.25, 0.15, 0.09])[:, None, None] - texture)
    return np.clip(texture, 0.02, 1).astype(np.float32)


def draw_look(seed: int, identity: int) -> Look:
    """The look of an identity; the same for the same seed whatever else is generated."""
    rng = np.random.default_rng([seed, 1, identity])
    tone = rng.uniform()
    skin = np.clip(_between(SKIN, tone) + rng.normal(0, 0.012, 3), 0.05, 1)
    # darker skin goes with darker hair, but not strictly
    hair = _between(HAIR, float(np.clip(0.25 + 0.75 * tone + rng.normal(0, 0.22), 0, 1)))
    return Look(
        upper_height=rng.uniform(0.36, 0.54),
        lower_height=rng.uniform(0.19, 0.29),
        upper_power=rng.uniform(1.7, 2.5),
        lower_power=rng.uniform(1.7, 2.6),
        skew=rng.uniform(-0.16, 0.1),
        tilt=np.deg2rad(rng.uniform(-4, 9)),
        crease=rng.uniform(0.06, 0.20),
        crease_depth=rng.choice([0.0, 1.0], p=[0.15, 0.85]) * rng.uniform(0.25, 0.6),
        iris_radius=rng.uniform(0.355, 0.395),
        sclera=np.clip(np.array([0.90, 0.885, 0.87]) + rng.normal(0, 0.02, 3), 0, 1),
        hair=hair,
        face=_face(rng, skin, hair),
        upper_lashes=_lashes(
            rng, int(rng.uniform(60, 125)), rng.uniform(0.15, 0.32), rng.uniform(1.3, 2.1), 0.45
        ),
        lower_lashes=_lashes(
            rng, int(rng.uniform(14, 45)), rng.uniform(0.07, 0.14), rng.uniform(0.6, 1.0), -0.2
        ),
        iris=_iris(rng),
    )
