"""What a model costs: parameters, depth, multiply-accumulates, size on disk, latency."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from modelswitch.config.architecture import Architecture
from modelswitch.errors import UserError, in_one_line
from modelswitch.models.build import build, to_channels_last
from modelswitch.models.layers import find_layer
from modelswitch.models.operations import Operations, memory_of, tensors_in

_aten = torch.ops.aten
# What multiplies by weights, and where its two factors stand among the arguments.
_PRODUCTS = {
    _aten.convolution.default: (0, 1),
    _aten.mm.default: (0, 1),
    _aten.bmm.default: (0, 1),
    _aten.mv.default: (0, 1),
    _aten.addmm.default: (1, 2),
    _aten.baddbmm.default: (1, 2),
    _aten.addmv.default: (1, 2),
}


@dataclass(frozen=True)
class Cost:
    """What a model is and does for one image, each defined once, here.

    Attributes:
        parameters: numbers in all parameter tensors, trained or frozen, each tensor counted once
            however often it is used. Buffers (the statistics of normalisation) are none.
        depth: layers with weights on the longest path from the image to the logits: convolutions,
            and products of what comes from the image with what does not. A branch counts only
            where it is the longer one, attention's product of queries and keys never.
        macs: multiply-accumulates of convolutions, matrix products and attention, one for a
            multiplication with its addition, for one image in eval mode.
    """

    parameters: int
    depth: int
    macs: int


class LongestPath(Operations):
    """Follows what an image goes through and counts layers with weights along every path.

    Tensors that share memory share a count, so that what is written in place is seen behind it.
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        # Every storage is held, for the number of one that is gone would be given out again.
        self._counts: dict[int, tuple[int, torch.UntypedStorage]] = {}
        self._reach(image, 0)

    def to(self, tensor: torch.Tensor) -> int | None:
        """Layers on the longest path to ``tensor``; None for what does not come from the image."""
        found = self._counts.get(memory_of(tensor))
        return None if found is None else found[0]

    def _reach(self, tensor: torch.Tensor, count: int) -> None:
        storage = tensor.untyped_storage()
        self._counts[memory_of(tensor)] = (max(count, self.to(tensor) or 0), storage)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        before = [self.to(tensor) for tensor in tensors_in((args, kwargs))]
        reached = [count for count in before if count is not None]
        if reached:
            factors = [self.to(args[place]) for place in _PRODUCTS.get(func, ())]
            layer = factors.count(None) == 1
            for tensor in tensors_in(result):
                self._reach(tensor, max(reached) + layer)
        return result


@contextlib.contextmanager
def _counted_in_full() -> Iterator[None]:
    """Make torch run attention, transformer layers and recurrent networks as the products that
    they consist of, for nothing counts what is inside its own single operations for them."""
    fused = torch.backends.mha.get_fastpath_enabled()
    # Its settings' types are those of the properties, not of their values.
    onednn: Any = torch.backends.mkldnn
    enabled = onednn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        onednn.enabled = False
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        onednn.enabled = enabled


def cost(spec: Architecture, image_shape: tuple[int, int, int], num_classes: int) -> Cost:
    """Cost of a model for images [H, W, C].

    Nothing is computed where the model runs on torch's meta device, whose tensors have a shape
    and no values. One that looks at values is run on the processor.

    Raises:
        UserError: it cannot be built, does not take such images, or gives no [1, K] logits.
    """
    try:
        with torch.device("meta"):
            return _cost(build(spec, image_shape[2], num_classes), image_shape, num_classes)
    except Exception:
        # What a model says to tensors without values may be no fault of it: the processor tells.
        model = build(spec, image_shape[2], num_classes)
    with in_one_line(f"cannot run on images of {'x'.join(map(str, image_shape))}"):
        return _cost(model, image_shape, num_classes)


def _cost(model: nn.Module, image_shape: tuple[int, int, int], num_classes: int) -> Cost:
    height, width, channels = image_shape
    image = torch.zeros(1, channels, height, width)
    # The counter takes larger operations apart, so it has to see them first: it is entered last.
    path, operations = LongestPath(image), FlopCounterMode(display=False)
    with torch.no_grad(), _counted_in_full(), path, operations:
        logits = model.eval()(image)
    check_logits(logits, 1, num_classes)
    return Cost(
        sum(p.numel() for p in model.parameters()),
        path.to(logits) or 0,
        operations.get_total_flops() // 2,
    )


def share_until(
    spec: Architecture, layer: str | float, image_shape: tuple[int, int, int], num_classes: int
) -> float:
    """Of a model's multiply-accumulates, the share that is done when an inner layer has its output.

    Raises:
        UserError: as `modelswitch.models.layers.find_layer`.
    """
    height, width, channels = image_shape
    model = build(spec, channels, num_classes).eval()
    image = torch.zeros(1, channels, height, width)
    path = find_layer(model, layer, image, "model").path
    operations, done = FlopCounterMode(display=False), 0

    def reached(*_: object) -> None:
        nonlocal done
        done = operations.get_total_flops()

    handle = model.get_submodule(path).register_forward_hook(reached)
    try:
        with torch.no_grad(), _counted_in_full(), operations:
            model(image)
    finally:
        handle.remove()
    return done / max(operations.get_total_flops(), 1)


def check_logits(logits: object, images: int, num_classes: int) -> None:
    """Raise `UserError` unless a model's answer to so many images is a tensor [images, K]."""
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (images, num_classes):
        raise UserError(
            f"returns {shape} for {images} {'images' if images > 1 else 'image'}, the data's "
            f"{num_classes} classes need a tensor ({images}, {num_classes})"
        )


def latency(model: nn.Module, image_shape: tuple[int, int, int], runs: int = 50) -> float:
    """Median time in milliseconds for one image on the CPU, float32, one thread.

    The model is left on the CPU in channels_last: not every model can be copied.
    """
    height, width, channels = image_shape
    training = model.training
    model = to_channels_last(model.cpu().eval())
    example = torch.rand(1, channels, height, width).to(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(5):
                model(example)
            times = []
            for _ in range(runs):
                start = time.perf_counter()
                model(example)
                times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
        model.train(training)
    return 1000 * statistics.median(times)
