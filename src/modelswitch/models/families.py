"""Models by name: two families defined by depth and widths, timm, torchvision, or a user's own.

A model takes images [B, C, H, W] and returns logits [B, num_classes].
"""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.models import (
    ImportedModel,
    PlainModel,
    ResnetModel,
    TimmModel,
    TorchvisionModel,
)
from modelswitch.errors import UserError
from modelswitch.user_code import import_object


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            _convolution(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )


class ResidualBlock(nn.Module):
    """Two convolutions and a parameter-free shortcut (He et al. 2016, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvBlock(inputs, outputs, stride)
        self.conv2 = _convolution(outputs, outputs)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.stride, self.inputs, self.outputs = stride, inputs, outputs

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            # Every second pixel. Not by slicing, whose gradient is not channels_last: the backward
            # pass of what comes before takes many times longer then.
            x = F.avg_pool2d(x, 1, self.stride)
        if self.outputs > self.inputs:
            x = F.pad(x, (0, 0, 0, 0, 0, self.outputs - self.inputs))
        elif self.outputs < self.inputs:
            x = x[:, : self.outputs]
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.norm2(self.conv2(self.conv1(x))) + self.shortcut(x))


class GlobalAveragePool(nn.Module):
    """Mean over the image, [B, C, H, W] to [B, C, 1, 1].

    As `nn.AdaptiveAvgPool2d(1)`, whose gradient is not channels_last and slows down the backward
    pass of what comes before.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, x.shape[2:])


def _head(width: int, num_classes: int) -> list[tuple[str, nn.Module]]:
    return [
        ("pool", GlobalAveragePool()),
        ("flatten", nn.Flatten()),
        ("classifier", nn.Linear(width, num_classes)),
    ]


def _named(layers: list[tuple[str, nn.Module]]) -> nn.Sequential:
    model = nn.Sequential()
    for name, layer in layers:
        model.add_module(name, layer)
    return model


def plain(spec: PlainModel, in_channels: int, num_classes: int) -> nn.Module:
    """Convolution blocks with 2x2 max pooling between the stages, then global average pooling."""
    layers: list[tuple[str, nn.Module]] = []
    width = in_channels
    for stage, widths in enumerate(spec.stages, 1):
        if stage > 1:
            layers.append((f"pool{stage - 1}", nn.MaxPool2d(2)))
        for block, outputs in enumerate(widths, 1):
            layers.append((f"stage{stage}_conv{block}", ConvBlock(width, outputs)))
            width = outputs
    return _named(layers + _head(width, num_classes))


def resnet(spec: ResnetModel, in_channels: int, num_classes: int) -> nn.Module:
    """A residual network for small images; every stage after the first halves the resolution."""
    width = spec.widths[0]
    stem = ConvBlock(in_channels, width, spec.stem_stride)
    layers: list[tuple[str, nn.Module]] = [("stem", stem)]
    for stage, (outputs, blocks) in enumerate(zip(spec.widths, spec.blocks, strict=True), 1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers.append((f"stage{stage}_block{block}", ResidualBlock(width, outputs, stride)))
            width = outputs
    return _named(layers + _head(width, num_classes))


class _GreyToColour(nn.Module):
    """Repeats a single channel for a model that is fixed to three."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.expand(-1, 3, -1, -1))


def from_timm(spec: TimmModel, in_channels: int, num_classes: int) -> nn.Module:
    import timm

    if not timm.is_model(spec.model):
        near = timm.list_models(f"*{spec.model.split('_')[0]}*")[:8]
        some = ", ".join(near or timm.list_models("resnet*")[:8])
        raise UserError(f"model: timm has no {spec.model!r}; some that it has: {some}")
    return timm.create_model(
        spec.model, num_classes=num_classes, in_chans=in_channels, **spec.arguments
    )


def from_torchvision(spec: TorchvisionModel, in_channels: int, num_classes: int) -> nn.Module:
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if spec.model not in names:
        raise UserError(
            f"model: torchvision has no {spec.model!r}; allowed: {', '.join(sorted(names))}"
        )
    if in_channels not in (1, 3):
        raise UserError(
            f"model: torchvision's {spec.model} takes 1 or 3 channels, the data has {in_channels}"
        )
    model = torchvision.models.get_model(
        spec.model, weights=None, num_classes=num_classes, **spec.arguments
    )
    return _GreyToColour(model) if in_channels == 1 else model


def imported(spec: ImportedModel, in_channels: int, num_classes: int) -> nn.Module:
    model = import_object(spec.path)(
        in_channels=in_channels, num_classes=num_classes, **spec.arguments
    )
    if not isinstance(model, nn.Module):
        raise UserError(f"{spec.path}: returned {type(model).__name__}, expected a torch module")
    return model
