"""Networks of which layers have another number of channels than their family gives them."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from modelswitch.config.architecture import LayerSize
from modelswitch.errors import UserError

_SIZED = _ConvNd | nn.Linear | _BatchNorm | nn.GroupNorm | nn.LayerNorm


def size_of(layer: nn.Module) -> LayerSize | None:
    """How many channels a layer has; None for one that has none of its own, or is of another kind
    than those whose sizes can be set."""
    if isinstance(layer, _ConvNd) and not layer.transposed:
        return LayerSize(outputs=layer.out_channels, inputs=layer.in_channels, groups=layer.groups)
    if isinstance(layer, nn.Linear):
        return LayerSize(outputs=layer.out_features, inputs=layer.in_features)
    if isinstance(layer, _BatchNorm):
        return LayerSize(outputs=layer.num_features)
    if isinstance(layer, nn.GroupNorm):
        return LayerSize(outputs=layer.num_channels, groups=layer.num_groups)
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1:
        return LayerSize(outputs=layer.normalized_shape[0])
    return None


def sizes_of(network: nn.Module) -> dict[str, LayerSize]:
    """The sizes of all layers that have one, by their paths."""
    found = {path: size_of(layer) for path, layer in network.named_modules()}
    return {path: size for path, size in found.items() if size is not None}


def narrow(network: nn.Module, layers: Mapping[str, LayerSize]) -> nn.Module:
    """``network`` itself, its ``layers`` of these sizes and with fresh weights.

    Raises:
        UserError: there is no such layer.
    """
    sizes = sizes_of(network)
    for path, size in layers.items():
        if path not in sizes:
            raise UserError(f"has no layer {path!r} whose size could be another")
        _resize(network.get_submodule(path), size)
    return network


def _resize(layer: nn.Module, size: LayerSize) -> None:
    outputs, inputs, groups = size.outputs, size.inputs or 1, size.groups or 1
    shapes: dict[str, tuple[int, ...]] = {}
    shapes |= dict.fromkeys(("bias", "running_mean", "running_var"), (outputs,))
    if isinstance(layer, _ConvNd):
        layer.out_channels, layer.in_channels, layer.groups = outputs, inputs, groups
        shapes["weight"] = (outputs, inputs // groups, *layer.kernel_size)
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = outputs, inputs
        shapes["weight"] = (outputs, inputs)
    else:
        shapes["weight"] = (outputs,)
        if isinstance(layer, _BatchNorm):
            layer.num_features = outputs
        elif isinstance(layer, nn.GroupNorm):
            layer.num_channels, layer.num_groups = outputs, groups
        elif isinstance(layer, nn.LayerNorm):
            layer.normalized_shape = (outputs,)
    for name, shape in shapes.items():
        before = getattr(layer, name, None)
        if before is not None:
            values = torch.empty(shape, dtype=before.dtype, device=before.device)
            is_weight = isinstance(before, nn.Parameter)
            setattr(layer, name, nn.Parameter(values) if is_weight else values)
    assert isinstance(layer, _SIZED)
    layer.reset_parameters()
