"""A fresh model from what it is."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.parameter import is_lazy

from modelswitch.config.architecture import (
    AdaptedModel,
    Architecture,
    MergedModel,
    NarrowedModel,
    QuantisedModel,
    architecture_in,
)
from modelswitch.config.base import argument_texts
from modelswitch.config.models import (
    OWN_FAMILIES,
    ImportedModel,
    MobileModel,
    PlainModel,
    ResnetModel,
    TimmModel,
    TorchvisionModel,
)
from modelswitch.errors import UserError, in_one_line, naming
from modelswitch.models.adapted import Adapted
from modelswitch.models.ensemble import Ensemble
from modelswitch.models.families import (
    from_timm,
    from_torchvision,
    imported,
    mobile,
    plain,
    resnet,
)
from modelswitch.models.narrow import narrow
from modelswitch.models.pointwise import without_strides
from modelswitch.models.quantised import Quantised
from modelswitch.storage.state_dicts import refuse_code

_BUILDERS: dict[type, Callable[[Any, int, int], nn.Module]] = {
    PlainModel: plain,
    ResnetModel: resnet,
    MobileModel: mobile,
    TimmModel: from_timm,
    TorchvisionModel: from_torchvision,
    ImportedModel: imported,
}


def build(spec: Architecture, in_channels: int, num_classes: int) -> nn.Module:
    """A fresh model, weights drawn from the global generators; none that are given are read.

    Raises:
        UserError: the name is unknown, the model does not take the arguments or cannot be built, or
            its weights cannot be kept.
    """
    if isinstance(spec, AdaptedModel):
        return Adapted(build(spec.network, spec.channels, spec.classes), spec)
    if isinstance(spec, NarrowedModel):
        network = build(spec.network, in_channels, num_classes)
        return without_strides(narrow(network, spec.layers))
    if isinstance(spec, MergedModel):
        members = [build(member, in_channels, num_classes) for member in spec.members]
        return Ensemble(members, spec.answer)
    if isinstance(spec, QuantisedModel):
        network = build(spec.network, in_channels, num_classes)
        give_shapes(network, spec.shape)
        return Quantised(network, spec)
    builder = _BUILDERS[type(spec)]
    if isinstance(spec, OWN_FAMILIES):
        return builder(spec, in_channels, num_classes)
    assert isinstance(spec, ImportedModel | TimmModel | TorchvisionModel)
    name = spec.path if isinstance(spec, ImportedModel) else spec.model
    failed = f"model {name}: cannot be built with these arguments"
    for text in sorted(argument_texts(spec)):
        with naming(f"model {name}: arguments"):
            refuse_code(text)
    with in_one_line(failed), _settings_kept():
        model = builder(spec, in_channels, num_classes)
    with naming(f"model {name}"):
        _check_weights(model)
    return without_strides(model)


def stored_architecture(passport: dict[str, Any], path: object) -> Architecture:
    """What the network in a file is, from its header; raises `UserError` if that does not say."""
    try:
        return architecture_in(passport)
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{path}: its header does not say which network it holds") from error


def give_shapes(model: nn.Module, image_shape: tuple[int, int, int]) -> None:
    """One pass, on an image [H, W, C] of zeros, for a model with layers that take their sizes from
    their first input; no other is touched."""
    if not any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        return
    height, width, channels = image_shape
    with in_one_line("fails in its first pass"), torch.no_grad():
        model.eval()(torch.zeros(1, channels, height, width))


def fill(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Load a file's tensors, all of them and no others; raises `UserError` where they do not fit.

    Files keep no version numbers of state dicts: the tensors are of the model that code built.
    """
    state = model.state_dict()
    for name in [n for n in state if n not in tensors]:
        del state[name]
    # The same dictionary, for what it says of its modules' versions is an attribute of it.
    state.update(tensors)
    with in_one_line("cannot be loaded"):
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            # What differs stands in the lines after the first.
            raise UserError(str(error).splitlines()[-1].strip()) from error


def to_channels_last(model: nn.Module) -> nn.Module:
    """The model itself, its images' weights in the format that is fast; others, as of convolutions
    over volumes, stay."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            # Not contiguous(), which leaves what lies in both formats' order with the old strides:
            # other code would run, and round otherwise.
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return model


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """What a builder sets for the whole process is as it was for whatever comes after it."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    gradients, determinism = torch.is_grad_enabled(), torch.get_deterministic_debug_mode()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        torch.set_deterministic_debug_mode(determinism)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _check_weights(model: nn.Module) -> None:
    """Raise `UserError` for different weights in the same memory."""
    places: list[tuple[int, int, str]] = []
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in tensors.items():
        if not is_lazy(tensor) and not tensor.is_meta and tensor.numel():
            steps = zip(tensor.shape, tensor.stride(), strict=True)
            last = sum((length - 1) * step for length, step in steps)
            start = tensor.data_ptr()
            places.append((start, start + (last + 1) * tensor.element_size(), name))
    places.sort()
    order = list(tensors)
    for (_, end, first), (start, _, second) in itertools.pairwise(places):
        if start < end:
            name, other = sorted((first, second), key=order.index)
            # One parameter under two names is listed once. Two in the same memory would be updated
            # twice a step, and each gets memory of its own wherever the model is copied.
            raise UserError(
                f"{other} shares memory with {name} and is another tensor; tie weights by giving "
                "both layers the same parameter"
            )
