"""Changing colours, each sample by an amount of its own.

All take and give pixels float [B, C, H, W] from 0 to 255, and factors or levels [B]. Images of
three channels are red, green, blue; any others have no saturation and no hue, and their grey is
their mean.
"""

import torch
import torch.nn.functional as F

# ITU-R 601: what a person sees as bright.
_LUMA = (0.299, 0.587, 0.114)


def _each(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


def grey(images: torch.Tensor) -> torch.Tensor:
    """Brightness [B, 1, H, W]."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = torch.tensor(_LUMA, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _blend(images: torch.Tensor, other: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """``factors`` of the images and the rest of ``other``; a factor above 1 leads away from it."""
    return (other + _each(factors) * (images - other)).clamp(0, 255)


def brightness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blended with black."""
    return (images * _each(factors)).clamp(0, 255)


def saturation(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blended with its own grey."""
    return images if images.shape[1] != 3 else _blend(images, grey(images), factors)


def contrast(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blended with the mean of its grey."""
    return _blend(images, grey(images).mean((2, 3), keepdim=True), factors)


def sharpness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blended with itself smoothed (the rim is not smoothed)."""
    if min(images.shape[2:]) < 3:
        return images
    channels = images.shape[1]
    kernel = torch.ones(3, 3, device=images.device, dtype=images.dtype)
    kernel[1, 1] = 5
    kernel = (kernel / kernel.sum()).expand(channels, 1, 3, 3)
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=channels)
    return _blend(images, smooth, factors)


def hue(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turned round the colour circle by ``turns`` [B], from -0.5 to 0.5."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(1), images.amin(1)
    spread = value - lowest
    safe = torch.where(spread > 0, spread, 1.0)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    angle = (sector / 6 + turns.view(-1, 1, 1)) % 1 * 6
    # Distance on the circle from each channel's own hue decides how much of the spread it lacks.
    parts = [((shift + angle) % 6) for shift in (5.0, 3.0, 1.0)]
    turned = [value - spread * torch.minimum(part, 4 - part).clamp(0, 1) for part in parts]
    return torch.stack(turned, 1)


def posterize(images: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """The ``bits`` [B] highest bits of every pixel."""
    step = 2.0 ** (8 - _each(bits.float()))
    return (images.floor() / step).floor() * step


def solarize(images: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Inverted where a pixel is not below the threshold."""
    return torch.where(images >= _each(thresholds), 255 - images, images)


def autocontrast(images: torch.Tensor) -> torch.Tensor:
    """Every channel stretched to the whole range."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    stretched = (images - low) * (255 / torch.where(flat, 1.0, high - low))
    return torch.where(flat, images, stretched.clamp(0, 255))


def equalize(images: torch.Tensor) -> torch.Tensor:
    """Every channel's histogram flattened, as PIL does it, on whole values."""
    batch, channels = images.shape[:2]
    values = images.round().long().reshape(batch * channels, -1)
    counts = torch.zeros(batch * channels, 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, values, torch.ones_like(values))
    # All but the count of the brightest value, spread over 255 steps.
    last = counts.gather(1, values.amax(1, keepdim=True))
    step = (counts.sum(1, keepdim=True) - last) // 255
    safe = step.clamp(min=1)
    before = counts.cumsum(1) - counts
    table = ((before + safe // 2) // safe).clamp(0, 255)
    flat = table.gather(1, values).reshape(images.shape).to(images.dtype)
    return torch.where((step > 0).view(batch, channels, 1, 1), flat, images)
