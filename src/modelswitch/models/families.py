"""Models by name: three families defined by depth and widths, timm, torchvision, or a user's own.

A model takes images [B, C, H, W] and returns logits [B, num_classes].
"""

from collections.abc import Callable

import torch
from torch import nn

from modelswitch.config.models import (
    Activation,
    ImportedModel,
    MobileModel,
    PlainModel,
    ResnetModel,
    TimmModel,
    TorchvisionModel,
)
from modelswitch.errors import UserError
from modelswitch.models.blocks import (
    ConvBlock,
    GlobalAveragePool,
    MobileBlock,
    PointwiseBlock,
    ResidualBlock,
)
from modelswitch.user_code import import_object


def _head(width: int, num_classes: int, dropout: float) -> list[tuple[str, nn.Module]]:
    return [
        ("pool", GlobalAveragePool()),
        ("flatten", nn.Flatten()),
        *([("dropout", nn.Dropout(dropout))] if dropout else []),
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
    after: Activation | None = None
    for stage, widths in enumerate(spec.stages, 1):
        if stage > 1:
            layers.append((f"pool{stage - 1}", nn.MaxPool2d(2)))
        for block, outputs in enumerate(widths, 1):
            layer = ConvBlock(
                width, outputs, norm=spec.norm, activation=spec.activation, after=after
            )
            layers.append((f"stage{stage}_conv{block}", layer))
            width, after = outputs, spec.activation
    return _named(layers + _head(width, num_classes, spec.dropout))


def resnet(spec: ResnetModel, in_channels: int, num_classes: int) -> nn.Module:
    """A residual network for small images; every stage after the first halves the resolution."""

    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        return ResidualBlock(inputs, outputs, stride, spec.shortcut)

    layers = _stages(spec, in_channels, block)
    return _named(layers + _head(spec.widths[-1], num_classes, spec.dropout))


def mobile(spec: MobileModel, in_channels: int, num_classes: int) -> nn.Module:
    """Inverted residuals of depthwise-separable convolutions; every stage after the first halves
    the resolution. The last block, which is linear, is followed by a 1x1 convolution."""

    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        return MobileBlock(inputs, outputs, stride, spec.expansion)

    layers, width = _stages(spec, in_channels, block), spec.widths[-1]
    layers.append(("last", PointwiseBlock(width, spec.expansion * width)))
    return _named(layers + _head(spec.expansion * width, num_classes, spec.dropout))


def _stages(
    spec: ResnetModel | MobileModel,
    in_channels: int,
    block: Callable[[int, int, int], nn.Module],
) -> list[tuple[str, nn.Module]]:
    """A stem and stages of blocks, of which the first of every stage but one has stride 2.

    ``block`` makes one from its channels, in and out, and its stride.
    """
    width = spec.widths[0]
    stem = ConvBlock(in_channels, width, spec.stem_stride)
    layers: list[tuple[str, nn.Module]] = [("stem", stem)]
    for stage, (outputs, blocks) in enumerate(zip(spec.widths, spec.blocks, strict=True), 1):
        for number in range(1, blocks + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            layers.append((f"stage{stage}_block{number}", block(width, outputs, stride)))
            width = outputs
    return layers


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
