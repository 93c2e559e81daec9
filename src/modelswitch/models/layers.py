"""Inner layers of a model, found by module path or relative depth in one recorded pass."""

import difflib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from modelswitch.errors import UserError
from modelswitch.models.dataflow import Dataflow
from modelswitch.models.isolation import left_as_it_was

# Nothing inside a block is taken for a layer; what holds more of the model than this is no block.
_LARGEST_BLOCK = 0.25
# How far from the wanted depth the end of a block may be before another tensor is taken.
_NEAR = 0.25
_SHOWN = 30
DROPOUTS = nn.modules.dropout._DropoutNd


@dataclass(frozen=True)
class LayerInfo:
    """A module that a hint can be taken from.

    Attributes:
        path: of the module.
        depth: share of the convolution and linear layers that have run when it finishes.
        shape: of its output for one image, batch dimension included.
        channels_last: whether that is a map [B, H, W, C], as Swin's, and not [B, C, H, W].
        beside: tensors beside its output through which the image still reaches the answer; None
            where its output takes no part in the answer. Where it is 0, all that follows knows the
            image through this output alone.
        in_block: whether it lies inside a block, so that the block's own output is the better hint.
    """

    path: str
    depth: float
    shape: tuple[int, ...]
    channels_last: bool = False
    beside: int | None = None
    in_block: bool = False

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape after `features`."""
        return tuple(self.features(torch.empty(self.shape, device="meta")).shape)

    def features(self, output: torch.Tensor) -> torch.Tensor:
        """The layer's output with a map's channels in front: [B, C, H, W]."""
        return output.permute(0, 3, 1, 2) if self.channels_last else output


def _has_channels_last(shape: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether an output [B, …] is a map [B, H, W, C] of an image [B, C, H, W].

    It is where its first two sides have the image's proportions and its last two have not.
    """
    if len(shape) != 4:
        return False

    def proportional(height: int, width: int) -> bool:
        # Strides and borders round, to a map of one pixel in the end.
        return 2 / 3 <= (height / width) / (image[2] / image[3]) <= 3 / 2

    return proportional(*shape[1:3]) and not proportional(*shape[2:])


@dataclass
class _Call:
    path: str
    started: int
    finished: int
    shape: tuple[int, ...] | None
    step: int | None


class _Recorder:
    """Hooks on all modules that note each call: layers before it and after it, what it gave."""

    def __init__(self, model: nn.Module, flow: Dataflow) -> None:
        self.calls: list[_Call] = []
        self.done = 0
        self._flow = flow
        self._open: list[int] = []
        weighted = set(weighted_layers(model))
        self._handles = []
        for path, module in model.named_modules():
            if path:
                self._handles += [
                    module.register_forward_pre_hook(self._begin),
                    module.register_forward_hook(self._end(path, path in weighted)),
                ]

    def _begin(self, module: nn.Module, inputs: Any) -> None:
        self._open.append(self.done)

    def _end(self, path: str, weighted: bool):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            started = self._open.pop()
            self.done += weighted
            whole = isinstance(output, torch.Tensor) and output.ndim >= 2
            shape = tuple(output.shape) if whole else None
            step = self._flow.step(output)
            self.calls.append(_Call(path, started, self.done, shape, step))

        return hook

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _recorded(model: nn.Module, example: torch.Tensor) -> tuple[list[_Call], dict[int, int], int]:
    """All calls of modules in one pass in eval mode, the widths between image and answer, and the
    number of convolution and linear layers that ran. The model is left as it was."""
    with left_as_it_was(model), torch.no_grad():
        model.eval()
        image = example.clone()
        flow = Dataflow(image)
        recorder = _Recorder(model, flow)
        try:
            with flow:
                answer = model(image)
        finally:
            recorder.remove()
    return recorder.calls, flow.widths(answer), recorder.done


def inner_layers(model: nn.Module, example: torch.Tensor) -> list[LayerInfo]:
    """All modules that run once and return one tensor, in the order in which they finish.

    Modules are seen where they are called: one whose weights are used without calling it, or whose
    ``forward`` is called directly, is not there.
    """
    calls, widths, total = _recorded(model, example)
    runs = Counter(call.path for call in calls)
    once = [call for call in calls if runs[call.path] == 1 and call.shape is not None]
    blocks = [call for call in once if _is_block(model, call, widths, total)]
    return [
        LayerInfo(
            call.path,
            call.finished / max(total, 1),
            call.shape or (),
            _has_channels_last(call.shape or (), tuple(example.shape)),
            None if call.step is None else widths.get(call.step),
            any(call.path.startswith(f"{block.path}.") for block in blocks),
        )
        for call in once
    ]


def _is_block(model: nn.Module, call: _Call, widths: dict[int, int], total: int) -> bool:
    """Whether a call is of a module with a forward of its own and several layers, yet a small part
    of the model, and all that follows depends on its output alone."""
    layers = call.finished - call.started
    own = not isinstance(model.get_submodule(call.path), nn.Sequential | nn.ModuleList)
    return own and 1 < layers <= _LARGEST_BLOCK * total and widths.get(call.step or -1) == 0


def find_layer(
    model: nn.Module, layer: str | float, example: torch.Tensor, owner: str
) -> LayerInfo:
    """The inner layer at a module path, or the end of a block nearest to a relative depth.

    By depth, the layer is one whose output all that follows depends on, alone: a block with its
    shortcut and activation, never a squeeze-excite vector or a tensor inside attention. In networks
    of several branches, where there is none near the depth, as few tensors as possible run beside
    it. The output of the whole model is no inner layer.

    Raises:
        UserError: no module has the path, or not one that a hint can be taken from.
    """
    candidates = inner_layers(model, example)
    if isinstance(layer, str):
        return _at_path(model, layer, candidates, example, owner)
    inner = [c for c in candidates if c.depth < 1]
    known = [c for c in inner if c.beside is not None and not c.in_block] or inner or candidates
    # In training a dropout gives something else than the layer before it.
    known = [c for c in known if not isinstance(model.get_submodule(c.path), DROPOUTS)] or known
    if not known:
        raise UserError(f"{owner}: has no inner layer, for none of its modules gives one tensor")
    near = [c for c in known if abs(c.depth - layer) <= _NEAR] or known
    fewest = min(c.beside or 0 for c in near)
    narrow = [c for c in near if (c.beside or 0) == fewest]
    # Rounded, for depths that are equally far away are not always so in binary.
    distance = min(round(abs(c.depth - layer), 9) for c in narrow)
    nearest = [c for c in narrow if round(abs(c.depth - layer), 9) == distance]
    deepest = [c for c in nearest if c.depth == nearest[-1].depth]
    # After normalisation and activation, which keep the resolution, but before pooling, which does
    # not. An activation may halve the channels (maxout).
    return [c for c in deepest if _resolution(c.shape) == _resolution(deepest[0].shape)][-1]


def _resolution(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape but for the number of channels, where it is that of maps [B, C, H, W]."""
    return (shape[0], *shape[2:]) if len(shape) == 4 else shape


def _at_path(
    model: nn.Module, path: str, candidates: list[LayerInfo], example: torch.Tensor, owner: str
) -> LayerInfo:
    for candidate in candidates:
        if candidate.path == path:
            return candidate
    modules = dict(model.named_modules(remove_duplicate=False))
    module = modules.pop(path, None)
    if module is None or module is model:
        names = [c.path for c in candidates if not c.in_block] or list(modules)
        near = difflib.get_close_matches(path, modules, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        more = ", …" if len(names) > _SHOWN else ""
        shown = ", ".join(names[:_SHOWN])
        raise UserError(f"{owner}: has no inner layer {path!r}{meant}; it has {shown}{more}")
    first = next(name for name, other in model.named_modules() if other is module)
    if first != path:
        # One module under two names: it is listed under the first.
        return _at_path(model, first, candidates, example, owner)
    calls, _, _ = _recorded(model, example)
    own = [call for call in calls if call.path == path]
    if not own:
        reason = (
            "is never called in a pass (its weights may be used, or its forward called, without it)"
        )
    elif len(own) > 1:
        reason = f"is called {len(own)} times in a pass, so which output is meant is not said"
    else:
        reason = "gives no tensor [B, …] of its own, but several or another kind of value"
    raise UserError(f"{owner}: no hint can be taken from the layer {path!r}: it {reason}")


def weighted_layers(model: nn.Module) -> list[str]:
    """Paths of the convolution and linear layers, in the order of their definition."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]
