"""The steps of a view after crop and flip, in the order of the configuration's keys.

A step draws numbers for all samples at once, from a generator of its own, and changes a batch by
the rows of them that belong to it. So what a sample looks like depends on the seed and its
position, never on the batch that it is in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from modelswitch.config.augment import Augmentation, Colour
from modelswitch.data.augment import colour, geometry, mixing, policies
from modelswitch.errors import UserError
from modelswitch.user_code import import_object

Size = tuple[int, int]
Draw = Callable[[int, Size, torch.Generator], torch.Tensor]
Apply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Step:
    """One change of a view.

    Attributes:
        name: its key in the configuration; names its random stream.
        draw: from the number of samples, the images' size (H, W) and a generator to numbers [N, …].
        apply: from pixels float [B, C, H, W], 0 to 255, and their rows of these numbers to pixels.
    """

    name: str
    draw: Draw
    apply: Apply


def steps_of(augmentation: Augmentation) -> list[Step]:
    """The steps that a configuration asks for besides crop, flip and mixing."""
    steps = []
    if (crop := augmentation.random_resized_crop) is not None:
        draw = functools.partial(_boxes, crop.scale, crop.ratio)
        steps.append(Step("random_resized_crop", draw, geometry.resized))
    if augmentation.colour is not None:
        changes = functools.partial(_change_colours, augmentation.colour)
        steps.append(Step("colour", _four_numbers, changes))
    policy = augmentation.rand_augment
    if policy is not None or augmentation.trivial_augment:
        count, strength = (1, None) if policy is None else (policy.operations, policy.magnitude)
        space = policies.WIDE if policy is None else policies.USUAL
        name = "trivial_augment" if policy is None else "rand_augment"
        steps.append(
            Step(
                name,
                functools.partial(_operations, count, strength),
                functools.partial(policies.apply, space=space),
            )
        )
    if (own := augmentation.own) is not None:
        function = functools.partial(import_object(own.path), **own.arguments)
        numbers = functools.partial(_numbers, own.numbers)
        steps.append(Step("own", numbers, functools.partial(_own, own.path, function)))
    if (erasing := augmentation.erasing) is not None:
        draw = functools.partial(_erased, erasing.chance, erasing.scale)
        steps.append(Step("erasing", draw, _erase))
    return steps


def _boxes(
    scale: tuple[float, float],
    ratio: tuple[float, float],
    count: int,
    size: Size,
    generator: torch.Generator,
) -> torch.Tensor:
    return geometry.draw_boxes(count, size, scale, ratio, generator)


def _numbers(columns: int, count: int, size: Size, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(count, columns, generator=generator)


_four_numbers: Draw = functools.partial(_numbers, 4)


def _operations(
    operations: int, strength: int | None, count: int, size: Size, generator: torch.Generator
) -> torch.Tensor:
    return policies.draw(count, operations, strength, generator)


def _change_colours(settings: Colour, images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast, saturation and hue by numbers [B, 4] from 0 to 1."""
    signed = 2 * drawn - 1
    for column, name in enumerate(("brightness", "contrast", "saturation")):
        if width := getattr(settings, name):
            images = getattr(colour, name)(images, 1 + width * signed[:, column])
    return colour.hue(images, settings.hue * signed[:, 3]) if settings.hue else images


def _erased(
    chance: float,
    scale: tuple[float, float],
    count: int,
    size: Size,
    generator: torch.Generator,
) -> torch.Tensor:
    """Boxes and colours float [N, 8]: top, left, bottom, right, and up to four channels."""
    boxes = mixing.boxes_to_erase(count, size, chance, scale, generator)
    return torch.cat([boxes.float(), 255 * torch.rand(count, 4, generator=generator)], 1)


def _erase(images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[2:]
    inside = mixing.inside(drawn[:, :4], (height, width))
    channels = images.shape[1]
    # Images of more than four channels get the four colours in turn.
    paint = drawn[:, 4 + torch.arange(channels, device=drawn.device) % 4]
    return torch.where(inside[:, None], paint[:, :, None, None], images)


def _own(path: str, function: Apply, images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """A user's own step, refused where it does not give back what it was given."""
    result = function(images, drawn)
    if not isinstance(result, torch.Tensor) or result.shape != images.shape:
        found = list(getattr(result, "shape", ())) or type(result).__name__
        raise UserError(f"data.augment.own: {path} returns {found}, expected {list(images.shape)}")
    return result
