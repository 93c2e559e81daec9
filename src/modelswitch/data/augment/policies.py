"""RandAugment and TrivialAugment: operations drawn for each sample, at one strength or at any.

Cubuk et al. 2020 and Müller and Hutter 2021, with the strengths of their papers' usual and wide
spaces. Unlike torchvision's, which draw once for a whole batch, every sample has its own
operations. Shears turn about the centre, and what comes in from outside is grey.
"""

from dataclasses import dataclass

import torch

from modelswitch.data.augment import colour, geometry

STRENGTHS = 31  # numbered 0 to 30
_GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_SIGNED = (*_GEOMETRIC, "brightness", "saturation", "contrast", "sharpness")
OPERATIONS = ("identity", *_SIGNED, "posterize", "solarize", "autocontrast", "equalize")
_GREY = 128.0


@dataclass(frozen=True)
class Space:
    """What the strongest of an operation's strengths means."""

    shear: float
    rotate: float
    factor: float  # of brightness, saturation, contrast and sharpness, away from 1
    lost_bits: int  # of eight
    translate: float | None = None  # pixels; a share of the side if none is given
    translate_share: float = 150 / 331


USUAL = Space(shear=0.3, rotate=30.0, factor=0.9, lost_bits=4)
WIDE = Space(shear=0.99, rotate=135.0, factor=0.99, lost_bits=6, translate=32.0)


def draw(
    count: int, operations: int, strength: int | None, generator: torch.Generator
) -> torch.Tensor:
    """int64 [N, operations, 3]: operation, strength, and sign (0 or 1) for each sample.

    ``strength`` is the one of all samples, or None for one drawn from 0 to 30.
    """
    shape = (count, operations)
    which = torch.randint(len(OPERATIONS), shape, generator=generator)
    strengths = torch.randint(STRENGTHS, shape, generator=generator)
    if strength is not None:
        strengths = torch.full(shape, strength)
    signs = torch.randint(2, shape, generator=generator)
    return torch.stack([which, strengths, signs], dim=2)


def apply(images: torch.Tensor, drawn: torch.Tensor, space: Space) -> torch.Tensor:
    """Pixels float [B, C, H, W] from 0 to 255 under what was drawn for them, int64 [B, k, 3]."""
    result = images.clone()
    for operation in drawn.unbind(1):
        which, strengths, signs = operation.unbind(1)
        result = _one(result, which, strengths, signs, space)
    return result


def _one(
    images: torch.Tensor,
    which: torch.Tensor,
    strengths: torch.Tensor,
    signs: torch.Tensor,
    space: Space,
) -> torch.Tensor:
    share = strengths.float() / (STRENGTHS - 1)
    signed = torch.where(signs == 1, -share, share)
    moved = which.new_tensor([OPERATIONS.index(name) for name in _GEOMETRIC])
    rows = torch.isin(which, moved).nonzero().flatten()
    if len(rows):
        maps = torch.stack([_map(int(which[i]), signed[i], images.shape, space) for i in rows])
        fill = images.new_full((images.shape[1],), _GREY)
        images[rows] = geometry.affine(images[rows], maps, fill)
    for number, name in enumerate(OPERATIONS):
        if name == "identity" or name in _GEOMETRIC:
            continue
        rows = (which == number).nonzero().flatten()
        if len(rows):
            images[rows] = _colour(name, images[rows], share[rows], signed[rows], space)
    return images


def _map(number: int, amount: torch.Tensor, shape: torch.Size, space: Space) -> torch.Tensor:
    name = OPERATIONS[number]
    one = amount[None]
    if name == "rotate":
        return geometry.rotated(space.rotate * one)[0]
    vertical = name.endswith("y")
    if name.startswith("shear"):
        return geometry.sheared(space.shear * one, vertical)[0]
    side = shape[2] if vertical else shape[3]
    furthest = space.translate_share * side if space.translate is None else space.translate
    return geometry.translated((furthest * one).trunc(), vertical)[0]


def _colour(
    name: str, images: torch.Tensor, share: torch.Tensor, signed: torch.Tensor, space: Space
) -> torch.Tensor:
    if name == "posterize":
        return colour.posterize(images, 8 - (space.lost_bits * share).round())
    if name == "solarize":
        return colour.solarize(images, 255 * (1 - share))
    if name == "autocontrast":
        return colour.autocontrast(images)
    if name == "equalize":
        return colour.equalize(images)
    return getattr(colour, name)(images, 1 + space.factor * signed)
