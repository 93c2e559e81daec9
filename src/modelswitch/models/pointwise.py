"""Strided convolutions of 1x1 with few channels, which oneDNN writes beside its memory for.

In the backward pass on the processor, for images in channels_last, with fewer channels than fit in
one of its registers (uxlfoundation/oneDNN#6035): heaps are corrupted, perhaps unseen. Pruning makes
such layers of harmless ones.
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn

# Numbers of 32 bits in the widest registers.
_CHANNELS = 16


def without_strides(model: nn.Module) -> nn.Module:
    """``model`` itself: such layers get the pixels that they look at, and have no stride."""
    for layer in model.modules():
        if (
            isinstance(layer, nn.Conv2d)
            and layer.kernel_size == (1, 1)
            and layer.stride != (1, 1)
            and layer.padding in ((0, 0), "valid", "same")
            and layer.groups == 1
            and layer.in_channels < _CHANNELS
        ):
            layer.register_forward_pre_hook(functools.partial(_take, stride=layer.stride))
            layer.stride = (1, 1)
    return model


def _take(
    _layer: nn.Module, inputs: tuple[torch.Tensor], stride: tuple[int, ...]
) -> tuple[torch.Tensor]:
    return (F.avg_pool2d(inputs[0], 1, stride),)
