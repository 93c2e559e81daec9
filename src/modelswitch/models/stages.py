"""The stages of a model: its layers by the resolution of the maps that they give."""

from collections.abc import Mapping

import torch
from torch import nn

from modelswitch.errors import UserError
from modelswitch.models.layers import DROPOUTS, LayerInfo, inner_layers

Size = tuple[int, int]
# Relative depth that the last map of a model with stages lies at, or behind.
_MAPS_REACH = 0.5


def stages(model: nn.Module, example: torch.Tensor) -> dict[Size, LayerInfo]:
    """The last block of every resolution (height, width) that a model has maps of, finest first.

    A layer is taken only if all that follows depends on its output alone, see `find_layer`. What
    merely pools makes no stage: there is one convolution at least in each, and more than a pixel.
    Transformers that cut their only map into tokens have none.
    """
    found: dict[Size, LayerInfo] = {}
    depth_before = 0.0
    for layer in inner_layers(model, example):
        shape = layer.feature_shape
        alone = layer.beside == 0 and not layer.in_block
        if len(shape) != 4 or not alone or isinstance(model.get_submodule(layer.path), DROPOUTS):
            continue
        size = shape[2], shape[3]
        last = found.get(size)
        # What follows at the same depth has changed nothing but by normalisation or activation; a
        # layer that changes the number of channels without weights is none of the stage's blocks.
        deeper = layer.depth > (depth_before if last is None else last.depth)
        if deeper or (last is not None and layer.shape == last.shape):
            found[size] = layer
            depth_before = max(depth_before, layer.depth)
    inner = {size: layer for size, layer in found.items() if layer.depth < 1 and max(size) > 1}
    deepest = max((layer.depth for layer in inner.values()), default=0.0)
    return inner if deepest >= _MAPS_REACH else {}


def common_stages(
    student: Mapping[Size, LayerInfo], teacher: Mapping[Size, LayerInfo], names: tuple[str, str]
) -> list[tuple[LayerInfo, LayerInfo]]:
    """The layers of both models at the resolutions that both have, finest first.

    Args:
        names: of the student and the teacher, for messages.

    Raises:
        UserError: there is no such resolution.
    """
    pairs = [(layer, teacher[size]) for size, layer in student.items() if size in teacher]
    if not pairs:
        shown = [
            ", ".join("x".join(map(str, size)) for size in found) or "none"
            for found in (student, teacher)
        ]
        raise UserError(
            f"no resolution is common to the maps of {names[0]} ({shown[0]}) and {names[1]} "
            f"({shown[1]}); name a teacher_layer and a student_layer instead of stages"
        )
    return pairs
