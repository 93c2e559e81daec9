"""Blocks that this project's own families are made of. All take and give images [B, C, H, W]."""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.models import Activation, Norm, Shortcut

# Wu and He 2018 have 32 groups and do best with 16 channels in each; thin networks have fewer.
_MOST_GROUPS, _CHANNELS_A_GROUP = 32, 8


class Maxout(nn.Module):
    """The larger one of a channel of the first half and one of the second, [B, 2C, H, W] to
    [B, C, H, W] (Goodfellow et al. 2013, with two pieces)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Not by pairs of neighbours, whose gradient is not channels_last.
        first, second = x.chunk(2, 1)
        return torch.maximum(first, second)


ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": functools.partial(nn.ReLU, inplace=True),
    "leaky_relu": functools.partial(nn.LeakyReLU, inplace=True),
    "elu": functools.partial(nn.ELU, inplace=True),
    "gelu": nn.GELU,
    "silu": functools.partial(nn.SiLU, inplace=True),
    "hardswish": functools.partial(nn.Hardswish, inplace=True),
    "maxout": Maxout,
}


def groups_of(width: int) -> int:
    """Groups for the normalisation of ``width`` channels: of about eight channels, at most 32, and
    as many as divide the width."""
    wanted = min(_MOST_GROUPS, max(1, width // _CHANNELS_A_GROUP))
    return next(groups for groups in range(wanted, 0, -1) if width % groups == 0)


def _normalisation(norm: Norm, width: int) -> list[nn.Module]:
    if norm == "none":
        return []
    return [nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(groups_of(width), width)]


@functools.cache
def variance(activation: Activation) -> float:
    """Variance of f(z) for z of the normal distribution."""
    if activation == "maxout":
        # Of the larger one of two: their squares have a sum of 2, and its mean is 1 / sqrt(pi).
        return 1 - 1 / math.pi
    # The device is named, for models are built on others that have no values.
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64, device="cpu")
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    f = ACTIVATIONS[activation]()(z.clone())
    mean, square = (float(torch.trapezoid(value * density, z)) for value in (f, f**2))
    return square - mean**2


def _keep_scale(layer: nn.Conv2d, after: Activation | None) -> None:
    """First weights that pass on what differs from image to image at the scale that it has.

    Every filter has the mean 0 and the norm 1 / sqrt(variance of its inputs) (Brock et al. 2021, at
    initialisation only): outputs then have the variance 1, and the mean that an activation leaves
    in its outputs, which is the same for all images, does not pile up from layer to layer. Images,
    which come ``after`` none, are normalised already.
    """
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    nn.init.normal_(layer.weight)
    with torch.no_grad():
        filters = layer.weight.flatten(1)
        norm = 1.0
        if after is not None:
            filters = filters - filters.mean(1, keepdim=True)
            norm = variance(after) ** -0.5
        filters = filters * (norm / filters.norm(dim=1, keepdim=True))
        layer.weight.copy_(filters.view_as(layer.weight))


def convolution(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """3x3, padded so that the resolution stays but for the stride."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


class ConvBlock(nn.Sequential):
    """3x3 convolution, normalisation, activation.

    Without normalisation the convolution has a bias, and first weights with which a deep stack
    passes its inputs on at the scale that they have.

    Args:
        after: the activation that what comes in is from; None for images.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
        after: Activation | None = None,
    ) -> None:
        width = 2 * outputs if activation == "maxout" else outputs
        layer = convolution(inputs, width, stride, bias=norm == "none")
        if norm == "none":
            _keep_scale(layer, after)
        super().__init__(layer, *_normalisation(norm, width), ACTIVATIONS[activation]())


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016): of no parameters (option A), or a 1x1
    convolution with normalisation where the shape changes (option B)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, shortcut: Shortcut = "pad"
    ) -> None:
        super().__init__()
        self.conv1 = ConvBlock(inputs, outputs, stride)
        self.conv2 = convolution(outputs, outputs)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.stride, self.inputs, self.outputs = stride, inputs, outputs
        self.project: nn.Module | None = None
        if shortcut == "conv" and (stride > 1 or inputs != outputs):
            # Without a stride: with one and few channels, oneDNN writes beside its memory in the
            # backward pass (uxlfoundation/oneDNN#6035).
            self.project = _pointwise(inputs, outputs)

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            # Every second pixel. Not by slicing, whose gradient is not channels_last: the backward
            # pass of what comes before takes many times longer then.
            x = F.avg_pool2d(x, 1, self.stride)
        if self.project is not None:
            return self.project(x)
        if self.outputs > self.inputs:
            x = F.pad(x, (0, 0, 0, 0, 0, self.outputs - self.inputs))
        elif self.outputs < self.inputs:
            x = x[:, : self.outputs]
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.norm2(self.conv2(self.conv1(x))) + self.shortcut(x))


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class PointwiseBlock(nn.Sequential):
    """1x1 convolution, batch normalisation, ReLU6 (which integers of eight bits can hold)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(*_pointwise(inputs, outputs), nn.ReLU6(inplace=True))


class MobileBlock(nn.Module):
    """Inverted residual of MobileNetV2 (Sandler et al. 2018): 1x1 convolution to ``expansion``
    times the channels, 3x3 convolution of each channel alone, linear 1x1 convolution; around them a
    shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = PointwiseBlock(inputs, inner) if expansion > 1 else nn.Identity()
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
        )
        self.project = _pointwise(inner, outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.project(self.depthwise(self.expand(x)))
        return result + x if self.adds else result


class GlobalAveragePool(nn.Module):
    """Mean over the image, [B, C, H, W] to [B, C, 1, 1].

    As `nn.AdaptiveAvgPool2d(1)`, whose gradient is not channels_last and slows down the backward
    pass of what comes before.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, x.shape[2:])
