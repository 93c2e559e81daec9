"""Moving pixels: affine maps and parts of an image resized to the whole, each sample its own.

All take pixels float [B, C, H, W].
"""

import torch
import torch.nn.functional as F


def affine(images: torch.Tensor, matrices: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """Images under affine maps, bilinear; ``fill`` [C] where a map leads outside.

    Args:
        matrices: [B, 2, 3], from a place in the result to one in the image; places are (x, y) in
            pixels from the image's centre.
    """
    height, width = images.shape[2:]
    device = images.device
    x = torch.arange(width, device=device) + 0.5 - width / 2
    y = torch.arange(height, device=device) + 0.5 - height / 2
    places = torch.stack(
        [
            x.expand(height, width),
            y[:, None].expand(height, width),
            torch.ones_like(x).expand(height, width),
        ]
    )
    sources = torch.einsum("bij,jhw->bhwi", matrices, places)
    grid = sources * torch.tensor([2 / width, 2 / height], device=device)
    ground = fill.view(1, -1, 1, 1)
    # Outside is zero to grid_sample, so zero has to be the ground.
    return F.grid_sample(images - ground, grid, align_corners=False) + ground


def identities(count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """[B, 2, 3] maps that change nothing."""
    return torch.eye(2, 3, device=device).repeat(count, 1, 1)


def sheared(amounts: torch.Tensor, vertical: bool) -> torch.Tensor:
    """Maps [B, 2, 3] that shear by ``amounts`` [B] (pixels a pixel) about the centre."""
    maps = identities(len(amounts), amounts.device)
    maps[:, int(vertical), 1 - int(vertical)] = amounts
    return maps


def translated(pixels: torch.Tensor, vertical: bool) -> torch.Tensor:
    """Maps [B, 2, 3] that move the image by ``pixels`` [B] to the right or down."""
    maps = identities(len(pixels), pixels.device)
    maps[:, int(vertical), 2] = -pixels
    return maps


def rotated(degrees: torch.Tensor) -> torch.Tensor:
    """Maps [B, 2, 3] that turn the image counter-clockwise about its centre by ``degrees`` [B]."""
    angle = torch.deg2rad(degrees)
    maps = identities(len(degrees), degrees.device)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.cos(angle)
    maps[:, 0, 1], maps[:, 1, 0] = -torch.sin(angle), torch.sin(angle)
    return maps


def draw_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> torch.Tensor:
    """Boxes float [N, 4] (top, left, height, width) in pixels, wholly inside the image.

    Share of the area uniform in ``scale``, width by height log-uniform in ``ratio``; a side that
    would be longer than the image is cut to it. Places are uniform.
    """
    height, width = size
    draws = torch.rand(count, 4, generator=generator)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[:, 0])
    low, high = (torch.tensor(r).log().item() for r in ratio)
    shape = torch.exp(low + (high - low) * draws[:, 1])
    tall = (area / shape).sqrt().clamp(1, height)
    wide = (area * shape).sqrt().clamp(1, width)
    return torch.stack(
        [draws[:, 2] * (height - tall), draws[:, 3] * (width - wide), tall, wide], dim=1
    )


def resized(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The parts of images in ``boxes`` [B, 4] (top, left, height, width), resized to the whole."""
    height, width = images.shape[2:]
    top, left, tall, wide = boxes.unbind(1)
    maps = identities(len(boxes), boxes.device)
    maps[:, 0, 0], maps[:, 1, 1] = wide / width, tall / height
    maps[:, 0, 2] = left + wide / 2 - width / 2
    maps[:, 1, 2] = top + tall / 2 - height / 2
    x = (torch.arange(width, device=images.device) + 0.5) * 2 / width - 1
    y = (torch.arange(height, device=images.device) + 0.5) * 2 / height - 1
    across = maps[:, 0, 0, None] * x + maps[:, 0, 2, None] * 2 / width
    down = maps[:, 1, 1, None] * y + maps[:, 1, 2, None] * 2 / height
    grid = torch.stack(torch.broadcast_tensors(across[:, None, :], down[:, :, None]), dim=-1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
