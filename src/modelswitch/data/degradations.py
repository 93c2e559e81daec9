"""Degradations of images, each with a level in [0, 1].

Level 0 gives the images back unchanged, bit for bit; level 1 leaves a person little to recognise.
What lies between is linear in the quantity that `MEANING` names. What is drawn at random (the
grain, the rectangle's place, the direction of motion) depends on the seed and the sample's number
alone: it is the same at every level and in any batch, so a curve over levels follows the same
samples as they get worse.

All functions take and give uint8 [N, rows, columns, channels].
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

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
}


def _streams(count: int, seed: int, first: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, first + i]) for i in range(count)]


def _quantise(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0, 255).round().to(torch.uint8)


def _planes(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2)


def gaussian_noise(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """Independent normal noise on every pixel and channel."""
    grain = np.stack([rng.standard_normal(images.shape[1:], dtype=np.float32) for rng in streams])
    return _quantise(images + torch.from_numpy(grain) * (255 * NOISE_DEVIATION * level))


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
    return torch.where(covered, _quantise(colour * shade), images)


def _torchvision():
    """torchvision's image functions. Importing them takes more than a second, which plans and
    trainings of selectors, where nothing is degraded, do without."""
    from torchvision.transforms.v2 import functional

    return functional


def gaussian_blur(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """torchvision's Gaussian blur, the same for all images."""
    sigma = BLUR_SIGMA * level * min(images.shape[1:3])
    # reflection needs a kernel whose half is shorter than the image
    reach = min(int(np.ceil(3 * sigma)), min(images.shape[1:3]) - 1)
    blurred = _torchvision().gaussian_blur(_planes(images), [2 * reach + 1] * 2, [sigma, sigma])
    return blurred.permute(0, 2, 3, 1).contiguous()


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
    planes = _planes(images).float()
    total = torch.zeros_like(planes)
    for place in torch.linspace(-0.5, 0.5, steps):
        dx = (torch.cos(angle) * place * length * 2 / columns)[:, None, None]
        dy = (torch.sin(angle) * place * length * 2 / rows)[:, None, None]
        grid = torch.stack(torch.broadcast_tensors(x + dx, y + dy), -1)
        total += F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return _quantise(total / steps).permute(0, 2, 3, 1).contiguous()


def low_light(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """torchvision's brightness, then the read noise of a sensor that it no longer drowns."""
    planes = _planes(images).float() / 255
    # adjust_brightness knows one and three channels only; brightness does not mix them
    flat = planes.reshape(-1, 1, *planes.shape[2:])
    dark = _torchvision().adjust_brightness(flat, 1 - (1 - DARKEST) * level).reshape(planes.shape)
    grain = np.stack([rng.standard_normal(images.shape[1:], dtype=np.float32) for rng in streams])
    noise = torch.from_numpy(grain) * (READ_NOISE * level)
    return _quantise((dark.permute(0, 2, 3, 1) + noise) * 255)


def jpeg(images: torch.Tensor, level: float, streams: list) -> torch.Tensor:
    """torchvision's JPEG compression; each channel by itself where there are not 1 or 3."""
    quality = round(BEST_QUALITY + (WORST_QUALITY - BEST_QUALITY) * level)
    planes = _planes(images)
    if planes.shape[1] not in (1, 3):
        planes = planes.reshape(-1, 1, *planes.shape[2:])
    with warnings.catch_warnings():
        # torchvision announces that its codecs will move to another package one day
        warnings.simplefilter("ignore", DeprecationWarning)
        encode = _torchvision().jpeg
        squeezed = torch.stack([encode(plane.contiguous(), quality) for plane in planes])
    return squeezed.reshape(_planes(images).shape).permute(0, 2, 3, 1).contiguous()


DEGRADATIONS: dict[str, Callable[[torch.Tensor, float, list], torch.Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "rectangle": rectangle,
    "lid": lid,
    "gaussian_blur": gaussian_blur,
    "motion_blur": motion_blur,
    "low_light": low_light,
    "jpeg": jpeg,
}


def degrade(
    images: torch.Tensor, kind: str, level: float, seed: int, first: int = 0
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
    if level == 0 or len(images) == 0:
        return images.clone()
    return DEGRADATIONS[kind](images, level, _streams(len(images), seed, first))
