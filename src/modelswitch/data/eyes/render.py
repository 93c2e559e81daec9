"""Synthetic eyes: two modalities of the same person from one rendered eye.

Nobody's eye is in here: every identity is drawn from a random stream. An identity has its own lids,
brow, skin, lashes, marks and iris texture (`data.eyes.looks`); a capture of it has its own
gaze, pupil, opening, light, rotation, scale, blur and noise. One render of that capture gives the
*periocular* image (the render made smaller, colour) and the *iris* pattern (the ring between pupil
and white unrolled into a rectangle, grey), so lids, lashes and glints that hide a part of the iris
hide it in both.

In the unrolled pattern the first row lies at the outer rim and the last one at the pupil, and the
middle column looks straight up: an upper lid then comes in from the top of the pattern, as it does
in the periocular image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from modelswitch.data.arrays import PairedArrays
from modelswitch.data.eyes.looks import (
    FACE_U,
    FACE_V,
    IRIS_COLUMNS,
    IRIS_ROWS,
    LASH_D,
    LASH_U,
    Look,
    draw_look,
)
from modelswitch.errors import UserError

MODALITIES = ("periocular", "iris")
VIEW_WIDTH = 3.1  # of the picture, in the eye's unit
VIEW_CENTRE_V = -0.32  # the picture's centre lies above the eye, so that the brow is in it
RENDER_COLUMNS = 192  # about as wide is every render, a whole multiple of the periocular image
BATCH = 16


@dataclass(frozen=True)
class EyeSettings:
    """How many eyes, how large, how different from capture to capture.

    `variation` scales what changes between captures of the same eye; 1 is the published setting.
    Sizes are (rows, columns).
    """

    identities: int = 64
    train_captures: int = 24
    test_captures: int = 10
    periocular: tuple[int, int] = (48, 64)
    iris: tuple[int, int] = (32, 96)
    variation: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("identities", "train_captures", "test_captures"):
            if getattr(self, key) < 1:
                raise UserError(f"eyes.{key} is {getattr(self, key)}; at least 1 is needed")
        for key in MODALITIES:
            if min(getattr(self, key)) < 8:
                raise UserError(f"eyes.{key} is {getattr(self, key)}; at least 8 x 8 is needed")
        if not 0 <= self.variation <= 3:
            raise UserError(f"eyes.variation is {self.variation}; 0 to 3 is allowed")


def _largest_blur(settings: EyeSettings) -> float:
    """Largest sigma of a capture's blur, in the eye's unit."""
    return 0.016 + 0.02 * settings.variation


def draw_captures(
    settings: EyeSettings, identity: int, captures: list[int]
) -> dict[str, torch.Tensor]:
    """What varies between the captures of an identity: one tensor [captures] per property.

    Each capture has a random stream of its own, so it is the same eye however many are made.
    """
    amount = settings.variation
    rows = []
    for capture in captures:
        rng = np.random.default_rng([settings.seed, 2, identity, capture])
        normal, uniform = rng.standard_normal, rng.uniform
        gaze = np.clip(normal(2), -1.8, 1.8) * [0.15, 0.065] * amount
        rows.append(
            {
                "gaze_u": gaze[0],
                "gaze_v": gaze[1] - 0.10,
                "pupil": np.clip(0.40 + 0.075 * amount * normal(), 0.22, 0.62),
                "opening": np.clip(0.97 + amount * (0.09 * normal()), 0.62, 1.2) - 0.6 * gaze[1],
                "angle": np.deg2rad(5.5) * amount * np.clip(normal(), -2, 2),
                "scale": np.exp(0.075 * amount * np.clip(normal(), -2, 2)),
                "shift_u": 0.13 * amount * np.clip(normal(), -2, 2),
                "shift_v": 0.10 * amount * np.clip(normal(), -2, 2),
                "exposure": np.exp(0.26 * amount * np.clip(normal(), -2, 2)),
                "gamma": np.exp(0.13 * amount * normal()),
                "warmth": 0.075 * amount * normal(),
                "slope_u": 0.20 * amount * normal(),
                "slope_v": 0.14 * amount * normal(),
                "glint_u": 0.16 * np.clip(normal(), -1.5, 1.5),
                "glint_v": -0.12 + 0.08 * np.clip(normal(), -1.5, 1.5),
                "glint_size": uniform(0.05, 0.09),
                "glint_shape": uniform(0.7, 1.5),
                "blur": uniform(0.01, _largest_blur(settings)),
                "noise": uniform(0.006, 0.01 + 0.03 * amount),
                "iris_u": 0.022 * amount * normal(),
                "iris_v": 0.022 * amount * normal(),
                "iris_inner": 1 + 0.06 * amount * normal(),
                "iris_outer": 1 + 0.03 * amount * normal(),
            }
        )
    return {key: torch.tensor([row[key] for row in rows], dtype=torch.float32) for key in rows[0]}


def as_batch(look: Look, times: int) -> dict[str, torch.Tensor]:
    """One look as tensors with a batch of captures first (a view, nothing is copied)."""
    fields = {key: np.float32(getattr(look, key)) for key in Look.__dataclass_fields__}
    return {
        key: torch.as_tensor(value).expand(times, *value.shape) for key, value in fields.items()
    }


def lookup(
    maps: torch.Tensor, x: torch.Tensor, y: torch.Tensor, spans: tuple, padding: str
) -> torch.Tensor:
    """Read maps [B, C, h, w], which cover spans (x, y), at points [B, H, W]."""
    (x0, x1), (y0, y1) = spans
    grid = torch.stack(((x - x0) * (2 / (x1 - x0)) - 1, (y - y0) * (2 / (y1 - y0)) - 1), -1)
    return F.grid_sample(maps, grid, padding_mode=padding, align_corners=False)


def lids(
    look: dict[str, torch.Tensor], opening: torch.Tensor, u: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Height v of the upper and the lower lid's edge at every u, all [B, H, W]."""

    def wide(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None]

    skewed = (u + wide(look["skew"]) * (1 - u * u)).abs().clamp_(0, 1)
    upper = -wide(look["upper_height"] * opening) * (1 - skewed ** wide(look["upper_power"]))
    lower = wide(look["lower_height"] * (0.6 + 0.4 * opening)) * (
        1 - skewed ** wide(look["lower_power"])
    )
    return upper, lower


def _step(distance: torch.Tensor, softness: float) -> torch.Tensor:
    return torch.sigmoid(distance / softness)


def _eyeball(
    look: dict[str, torch.Tensor],
    capture: dict[str, torch.Tensor],
    u: torch.Tensor,
    v: torch.Tensor,
    below_lid: torch.Tensor,
) -> torch.Tensor:
    """Colour of white, iris, pupil and glint: [B, 3, H, W]."""

    def wide(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None]

    radius = look["iris_radius"]
    du, dv = u - wide(capture["gaze_u"]), v - wide(capture["gaze_v"])
    away = torch.sqrt(du * du + dv * dv) / wide(radius)
    pupil = wide(capture["pupil"])
    turn = torch.atan2(dv, du)
    depth = ((away - pupil) / (1 - pupil)).clamp(0, 1)
    wrapped = torch.cat((look["iris"][..., -1:], look["iris"], look["iris"][..., :1]), -1)
    edge = 2 * np.pi / IRIS_COLUMNS
    margin = 0.5 / (IRIS_ROWS - 1)
    iris = lookup(
        wrapped,
        turn % (2 * np.pi),
        depth,
        ((-edge, 2 * np.pi + edge), (-margin, 1 + margin)),
        "border",
    )
    white = (
        look["sclera"][:, :, None, None] * (1 - 0.16 * u * u - 0.1 * (away - 1).clamp(0))[:, None]
    )
    corner = torch.exp(-(((u + 0.93) / 0.11) ** 2) - (v / 0.16) ** 2)[:, None]
    pink = torch.tensor([0.78, 0.50, 0.46])[None, :, None, None]
    white = white + (0.75 * corner + 0.10 * u[:, None] ** 2) * (pink * 0.95 - white)
    ball = white + _step(1 - away, 0.022)[:, None] * (iris - white)
    ball = ball * (1 - 0.97 * _step(pupil - away, 0.018))[:, None]
    # the lid throws a shadow on the ball
    ball = ball * (1 - 0.5 * torch.exp(-below_lid.clamp(0) / 0.085))[:, None]
    size = wide(capture["glint_size"])
    gu = (du - wide(capture["glint_u"])) / (size * wide(capture["glint_shape"]))
    gv = (dv - wide(capture["glint_v"])) / size
    glint = torch.exp(-((gu * gu) ** 2) - (gv * gv) ** 2)
    return ball + 0.88 * glint[:, None] * (1 - ball)


def _render(
    look: dict[str, torch.Tensor],
    capture: dict[str, torch.Tensor],
    size: tuple[int, int],
    largest_blur: float,
) -> torch.Tensor:
    """Pictures [B, 3, rows, columns] in [0, 1] of one capture per look."""
    rows, columns = size

    def wide(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None]

    x, y = to_eye(capture, *pixel_grid(rows, columns), columns / VIEW_WIDTH, size)
    cos, sin = wide(torch.cos(look["tilt"])), wide(torch.sin(look["tilt"]))
    u, v = x * cos - y * sin, x * sin + y * cos
    upper, lower = lids(look, capture["opening"], u)
    below_upper, above_lower = v - upper, lower - v

    skin = lookup(look["face"], x, y, (FACE_U, FACE_V), "border")
    within = (1 - u.abs()).clamp(0, 1)
    # the crease runs along the lid and fades at the corners; above it the lid bulges
    crease = (below_upper + wide(look["crease"]) * (0.35 + within.sqrt())) / 0.028
    fade = _step(1.08 - u.abs(), 0.08)
    groove = wide(look["crease_depth"]) * torch.exp(-crease * crease)
    bulge = 0.10 * torch.exp(-(((below_upper + 0.06) / 0.05) ** 2))
    rim = 0.30 * torch.exp(-(((above_lower + 0.012) / 0.03) ** 2))
    skin = skin * (1 - fade * groove * 0.8 + fade * bulge - fade * 0.3 * rim)[:, None]
    line = torch.exp(-(((below_upper + 0.008) / 0.026) ** 2)) * fade
    skin = skin * (1 - 0.72 * line)[:, None]
    water = (
        torch.tensor([0.86, 0.62, 0.57])[None, :, None, None]
        * skin.mean((1, 2, 3))[:, None, None, None].clamp(0.45, 0.8)
        * 1.25
    )
    skin = skin + (0.55 * fade * torch.exp(-(((above_lower + 0.018) / 0.02) ** 2)))[:, None] * (
        water - skin
    )

    opening = _step(below_upper, 0.012) * _step(above_lower, 0.012) * _step(1 - u.abs(), 0.012)
    ball = _eyeball(look, capture, u, v, below_upper)
    picture = skin + opening[:, None] * (ball - skin)

    spans = (LASH_U, LASH_D)
    hair = look["hair"][:, :, None, None] * 0.55
    for name, distance in (("upper_lashes", below_upper), ("lower_lashes", above_lower)):
        lashes = lookup(look[name][:, None], u, distance, spans, "zeros")
        picture = picture + lashes * (hair - picture)

    light = wide(capture["exposure"]) * (
        1 + wide(capture["slope_u"]) * x + wide(capture["slope_v"]) * y
    )
    warmth = capture["warmth"]
    balance = torch.stack((1 + warmth, torch.ones_like(warmth), 1 - warmth), 1)
    picture = picture * light.clamp(0.15)[:, None] * balance[:, :, None, None]
    picture = picture.clamp(0) ** capture["gamma"][:, None, None, None]
    # a camera's shoulder: bright skin is compressed, not cut off
    picture = torch.where(picture > 0.75, 0.75 + 0.25 * torch.tanh((picture - 0.75) * 3), picture)
    unit = columns / VIEW_WIDTH
    return _blur(picture, capture["blur"] * unit, largest_blur * unit)


def pixel_grid(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = (torch.arange(columns) + 0.5 - columns / 2).expand(rows, columns)
    y = (torch.arange(rows) + 0.5 - rows / 2)[:, None].expand(rows, columns)
    return x[None], y[None]


def to_eye(
    capture: dict[str, torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    pixels_per_unit: float,
    size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """From pixels about the picture's centre to the eye's unit, for every capture."""
    angle, scale = capture["angle"][:, None, None], capture["scale"][:, None, None]
    x = x / pixels_per_unit - capture["shift_u"][:, None, None]
    y = y / pixels_per_unit - capture["shift_v"][:, None, None] + VIEW_CENTRE_V
    cos, sin = torch.cos(angle), torch.sin(angle)
    return (x * cos + y * sin) / scale, (y * cos - x * sin) / scale


def _blur(pictures: torch.Tensor, sigma: torch.Tensor, largest: float) -> torch.Tensor:
    """Gaussian blur with one sigma (in pixels) per picture, none above `largest`.

    The kernel's size comes from `largest`, so that a picture does not depend on its batch.
    """
    reach = int(np.ceil(2.5 * largest))
    place = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (place[None] / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    batch, channels, rows, columns = pictures.shape
    flat = pictures.reshape(1, batch * channels, rows, columns)
    flat = F.pad(flat, (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=batch * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=batch * channels)
    return flat.reshape(batch, channels, rows, columns)


def _unroll(
    pictures: torch.Tensor,
    look: dict[str, torch.Tensor],
    capture: dict[str, torch.Tensor],
    size: tuple[int, int],
) -> torch.Tensor:
    """The iris ring of each picture as a grey rectangle [B, 1, rows, columns].

    A segmentation never finds the ring exactly: centre and both radii carry the capture's error.
    """
    rows, columns = size

    def wide(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None]

    outward = 1 - (torch.arange(rows) + 0.5) / rows
    turn = 2 * np.pi * ((torch.arange(columns) + 0.5) / columns) + np.pi / 2  # starts straight down
    inner = wide(capture["pupil"] * capture["iris_inner"])
    radius = wide(look["iris_radius"] * capture["iris_outer"])
    reach = radius * (inner + (0.97 - inner) * outward[None, :, None])
    u = wide(capture["gaze_u"] + capture["iris_u"] * look["iris_radius"]) + reach * torch.cos(turn)
    v = wide(capture["gaze_v"] + capture["iris_v"] * look["iris_radius"]) + reach * torch.sin(turn)
    # back through the eye's tilt and the camera to the picture
    cos, sin = wide(torch.cos(look["tilt"])), wide(torch.sin(look["tilt"]))
    x, y = u * cos + v * sin, v * cos - u * sin
    cos, sin = wide(torch.cos(capture["angle"])), wide(torch.sin(capture["angle"]))
    scale = wide(capture["scale"])
    x, y = (x * cos - y * sin) * scale, (y * cos + x * sin) * scale
    x = x + wide(capture["shift_u"])
    y = y + wide(capture["shift_v"]) - VIEW_CENTRE_V
    half = VIEW_WIDTH / 2
    tall = half * pictures.shape[2] / pictures.shape[3]
    grey = (pictures * torch.tensor([0.5, 0.35, 0.15])[None, :, None, None]).sum(1, keepdim=True)
    ring = lookup(grey, x, y, ((-half, half), (-tall, tall)), "border")
    # iris cameras meter on the iris, so its mean brightness says little about the light
    return ring * (0.42 / ring.mean((1, 2, 3), keepdim=True)).clamp(0.4, 3)


def _sensor(pictures: torch.Tensor, noise: torch.Tensor, streams: list) -> torch.Tensor:
    """Add each capture's sensor noise and quantise: uint8 [B, rows, columns, C]."""
    grain = np.stack([rng.standard_normal(pictures.shape[1:], dtype=np.float32) for rng in streams])
    noisy = pictures + torch.from_numpy(grain) * noise[:, None, None, None]
    return (noisy.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def render_captures(
    settings: EyeSettings, identity: int, captures: list[int]
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches of captures of one identity: (render [B, 3, ...] in [0, 1], periocular, iris).

    The two modalities are uint8 [B, rows, columns, channels].
    """
    rows, columns = settings.periocular
    finer = max(2, round(RENDER_COLUMNS / columns))
    drawn = draw_look(settings.seed, identity)
    for begin in range(0, len(captures), BATCH):
        part = captures[begin : begin + BATCH]
        look = as_batch(drawn, len(part))
        capture = draw_captures(settings, identity, part)
        pictures = _render(look, capture, (rows * finer, columns * finer), _largest_blur(settings))
        streams = [np.random.default_rng([settings.seed, 3, identity, n]) for n in part]
        small = F.avg_pool2d(pictures, finer)
        ring = _unroll(pictures, look, capture, settings.iris)
        yield (
            pictures,
            _sensor(small, capture["noise"], streams),
            _sensor(ring, capture["noise"], streams),
        )


def generate(settings: EyeSettings) -> PairedArrays:
    """Generate a paired set. Captures 0 to train_captures - 1 of an identity are its training
    samples, those after them its test samples; rows are ordered by identity, then capture."""
    total = settings.train_captures + settings.test_captures
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in MODALITIES}
    with torch.inference_mode():
        for identity in range(settings.identities):
            for _, *pair in render_captures(settings, identity, list(range(total))):
                for name, batch in zip(MODALITIES, pair, strict=True):
                    parts[name].append(batch)
    # [identity, capture, rows, columns, channels]
    images = {
        name: torch.cat(batches).unflatten(0, (settings.identities, total)).clone()
        for name, batches in parts.items()
    }
    labels = torch.arange(settings.identities)[:, None].expand(-1, total)
    train, test = slice(0, settings.train_captures), slice(settings.train_captures, total)
    digits = len(str(settings.identities - 1))
    return PairedArrays(
        train_images={name: value[:, train].flatten(0, 1) for name, value in images.items()},
        train_labels=labels[:, train].flatten(),
        test_images={name: value[:, test].flatten(0, 1) for name, value in images.items()},
        test_labels=labels[:, test].flatten(),
        class_names=[f"eye{i:0{digits}d}" for i in range(settings.identities)],
    )
