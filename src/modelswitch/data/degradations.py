"""Degradations of images, each with a level in [0, 1].

Level 0 gives the images back unchanged, bit for bit; level 1 leaves a person little to recognise.
What lies between is linear in the quantity that `MEANING` names. What is drawn at random (the
grain, the rectangle's place, the direction of motion) depends on the seed and the sample's number
alone: it is the same at every level and in any batch, so a curve over levels follows the same
samples as they get worse.

All functions take and give uint8 [N, rows, columns, channels].
"""

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from modelswitch.config.degradations import Scale
from modelswitch.data import field
from modelswitch.data.field import channels_first, quantise
from modelswitch.errors import UserError

NOISE_DEVIATION = 0.5
LARGEST_SHARE = 0.9
BLUR_SIGMA = 0.12
MOTION_LENGTH = 0.6
DARKEST = 0.04
READ_NOISE = 0.02
BEST_QUALITY, WORST_QUALITY = 60, 1
MEANING = {
    "gaussian_noise": f"deviation of the added noise, up to {NOISE_DEVIATION} of the range",
    "rectangle": f"share of the image that a grey rectangle covers, up to {LARGEST_SHARE}",
    "lid": f"share of the height by which a lid-like flap hangs in, up to {LARGEST_SHARE}",
    "gaussian_blur": f"sigma of the blur, up to {BLUR_SIGMA} of the shorter side",
    "motion_blur": f"length of a straight motion, up to {MOTION_LENGTH} of the shorter side",
    "low_light": f"share of the light that is lost, up to {1 - DARKEST}, with the sensor's noise "
    f"({READ_NOISE} of the range) that then shows",
    "jpeg": f"JPEG quality, from {BEST_QUALITY} just above level 0 down to {WORST_QUALITY}",
    **field.MEANING,
}


def _streams(count: int, seed: int, first: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, first + i]) for i in range(count)]


def gaussian_noise(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """Independent normal noise on every pixel and channel."""
    grain = np.stack([rng.standard_normal(images.shape[1:], dtype=np.float32) for rng in streams])
    return quantise(images + torch.from_numpy(grain) * (255 * NOISE_DEVIATION * level))


def rectangle(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """One rectangle per image, in a grey of its own, wholly inside the image."""
    rows, columns = images.shape[1:3]
    share = LARGEST_SHARE * level
    result = images.clone()
    for image, rng in zip(result, streams, strict=True):
        stretch, top, left, grey = (
            rng.uniform(-0.5, 0.5),
            rng.uniform(),
            rng.uniform(),
            rng.uniform(),
        )
        # neither side may be longer than the image, so a large share leaves little choice of shape
        tall = float(np.clip(np.sqrt(share) * np.exp(stretch), share, 1))
        height, width = round(tall * rows), round(share / tall * columns)
        top, left = round(top * (rows - height)), round(left * (columns - width))
        image[top : top + height, left : left + width] = int(255 * grey)
    return result


def lid(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """A flap with a rounded edge hangs in from the top, in the colour of the image's upper rim.

    It reaches deepest near the middle. In a periocular image that is a closing lid; in an unrolled
    iris pattern of `data.eyes.render`, whose top is the outer rim and whose middle looks
    up, it is the lid over the iris.
    """
    rows, columns = images.shape[1:3]
    draws = torch.tensor([[rng.uniform(), rng.uniform()] for rng in streams], dtype=torch.float32)
    middle = 0.35 + 0.3 * draws[:, :1]
    roundness = 0.3 + 0.6 * draws[:, 1:]
    across = (torch.arange(columns) + 0.5)[None] / columns
    depth = LARGEST_SHARE * level * rows * (1 - roundness * (2 * (across - middle)) ** 2)
    down = torch.arange(rows)[None, :, None] + 0.5
    covered = (down < depth[:, None]).unsqueeze(-1)
    # a lid is not flat: it darkens a little towards its edge
    shade = 1 - 0.25 * (down / depth.clamp(min=1)[:, None]).clamp(0, 1).unsqueeze(-1)
    colour = images[:, : max(1, rows // 12)].float().mean((1, 2), keepdim=True)
    return torch.where(covered, quantise(colour * shade), images)


def _torchvision():
    """torchvision's image functions. Importing them takes more than a second, which plans and
    trainings of selectors, where nothing is degraded, do without."""
    from torchvision.transforms.v2 import functional

    return functional


def gaussian_blur(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """torchvision's Gaussian blur, the same for all images; first along one side, then along the
    other, which is the same and much less work."""
    sigma = BLUR_SIGMA * level * min(images.shape[1:3])
    # reflection needs a kernel whose half is shorter than the image
    reach = min(int(np.ceil(3 * sigma)), min(images.shape[1:3]) - 1)
    planes, width = channels_first(images).float(), 2 * reach + 1
    for kernel in ([width, 1], [1, width]):
        planes = _torchvision().gaussian_blur(planes, kernel, [sigma, sigma])
    return quantise(planes).permute(0, 2, 3, 1).contiguous()


def motion_blur(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """The mean of the image along a straight line whose direction is random."""
    length = MOTION_LENGTH * level * min(images.shape[1:3])
    angle = torch.tensor([rng.uniform(0, np.pi) for rng in streams], dtype=torch.float32)
    steps = max(2, int(np.ceil(length)) + 1)
    rows, columns = images.shape[1:3]
    y, x = torch.meshgrid(
        (torch.arange(rows) * 2 + 1) / rows - 1,
        (torch.arange(columns) * 2 + 1) / columns - 1,
        indexing="ij",
    )
    planes = channels_first(images).float()
    total = torch.zeros_like(planes)
    for place in torch.linspace(-0.5, 0.5, steps):
        dx = (torch.cos(angle) * place * length * 2 / columns)[:, None, None]
        dy = (torch.sin(angle) * place * length * 2 / rows)[:, None, None]
        grid = torch.stack(torch.broadcast_tensors(x + dx, y + dy), -1)
        total += F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return quantise(total / steps).permute(0, 2, 3, 1).contiguous()


def low_light(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """torchvision's brightness, then the read noise of a sensor that it no longer drowns."""
    planes = channels_first(images).float() / 255
    # adjust_brightness knows one and three channels only; brightness does not mix them
    flat = planes.reshape(-1, 1, *planes.shape[2:])
    dark = _torchvision().adjust_brightness(flat, 1 - (1 - DARKEST) * level).reshape(planes.shape)
    grain = np.stack([rng.standard_normal(images.shape[1:], dtype=np.float32) for rng in streams])
    noise = torch.from_numpy(grain) * (READ_NOISE * level)
    return quantise((dark.permute(0, 2, 3, 1) + noise) * 255)


def jpeg(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """torchvision's JPEG compression; each channel by itself where there are not 1 or 3."""
    quality = round(BEST_QUALITY + (WORST_QUALITY - BEST_QUALITY) * level)
    planes = channels_first(images)
    if planes.shape[1] not in (1, 3):
        planes = planes.reshape(-1, 1, *planes.shape[2:])
    with warnings.catch_warnings():
        # torchvision announces that its codecs will move to another package one day
        warnings.simplefilter("ignore", DeprecationWarning)
        encode = _torchvision().jpeg
        squeezed = torch.stack([encode(plane.contiguous(), quality) for plane in planes])
    return squeezed.reshape(channels_first(images).shape).permute(0, 2, 3, 1).contiguous()


DEGRADATIONS: dict[str, Callable[[torch.Tensor, float, list], torch.Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "rectangle": rectangle,
    "lid": lid,
    "gaussian_blur": gaussian_blur,
    "motion_blur": motion_blur,
    "low_light": low_light,
    "jpeg": jpeg,
    **field.DEGRADATIONS,
}


# Own levels at which the accuracy above chance of recognisers of synthetic eyes is half of that on
# clean images, the mean of both modalities (results/reference/eyes/degradation_levels.csv).
HALVING = {
    "gaussian_noise": 0.221,
    "rectangle": 0.208,
    "lid": 0.43,
    "gaussian_blur": 0.436,
    "motion_blur": 0.663,
    "low_light": 0.349,
    "jpeg": 0.741,
    "defocus": 0.598,
    "glints": 0.453,
    "off_axis": 0.661,
    "spectacles": 0.218,
    "colour_cast": 0.188,
    "dilation": 0.614,
}


def amount(kind: str, level: float) -> str:
    """What a level means, in the quantity that it sets; lengths in shorter sides of the image."""
    said = {
        "gaussian_noise": f"deviation {NOISE_DEVIATION * level:.3g} of the range",
        "rectangle": f"{LARGEST_SHARE * level:.0%} covered",
        "lid": f"{LARGEST_SHARE * level:.0%} of the height",
        "gaussian_blur": f"sigma {BLUR_SIGMA * level:.3g} sides",
        "motion_blur": f"{MOTION_LENGTH * level:.3g} sides long",
        "low_light": f"{(1 - DARKEST) * level:.0%} of the light lost",
        "jpeg": f"quality {round(BEST_QUALITY + (WORST_QUALITY - BEST_QUALITY) * level)}",
        "defocus": f"disc of radius {field.DEFOCUS_RADIUS * level:.3g} sides",
        "glints": f"{field.GLINTS} spots of radius {field.GLINT_SIZE * level:.3g} sides",
        "off_axis": f"turned by {field.STEEPEST * level:.3g} degrees",
        "spectacles": f"{field.BRIGHTEST * level:.0%} of the range added",
        "colour_cast": f"other colours {field.CAST * level:.0%} darker",
        "dilation": f"{field.LOST_ROWS * level:.0%} of the rows lost",
    }
    return said[kind]


def own_level(kind: str, level: float, scale: Scale) -> float:
    """A degradation's own level for one on ``scale``, which keeps 0 and 1."""
    half = HALVING[kind]
    if scale == "own":
        return level
    return level ** (math.log(half) / math.log(0.5))


def degrade(
    images: torch.Tensor,
    kind: str,
    level: float,
    seed: int,
    first: int = 0,
    scale: Scale = "own",
) -> torch.Tensor:
    """Images uint8 [N, rows, columns, channels] under one degradation at one level.

    `first` is the number of the first image within its set: a set degraded in batches comes out
    the same as one degraded at once. Raises UserError for an unknown kind, a level outside [0, 1]
    or images of another type.
    """
    if kind not in DEGRADATIONS:
        raise UserError(f"degradation is {kind!r}; allowed are {', '.join(DEGRADATIONS)}")
    if not 0 <= level <= 1:
        raise UserError(f"level of {kind} is {level}; 0 to 1 is allowed")
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise UserError(
            f"degradations need uint8 images [N, rows, columns, channels]; "
            f"found {images.dtype} with shape {list(images.shape)}"
        )
    level = own_level(kind, level, scale)
    if level == 0 or len(images) == 0:
        return images.clone()
    return DEGRADATIONS[kind](images, level, _streams(len(images), seed, first))
