"""How much memory passes of a model take, without running them where that can be avoided."""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from modelswitch.models.operations import Operations, memory_of, tensors_in


class LiveMemory(Operations):
    """Counts the bytes of all tensors that are made inside and are still held by someone.

    What operations need for themselves while they run is not seen. On torch's meta device nothing
    is computed and nothing taken, and the count is the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # A view of what was there before, and what is written into it, takes nothing.
        before = {memory_of(tensor) for tensor in tensors_in((args, kwargs))}
        for tensor in tensors_in(result):
            if memory_of(tensor) not in before:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += self._sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


@dataclass(frozen=True)
class Footprint:
    """Bytes that a model takes.

    Attributes:
        weights: of its parameters.
        kept: for every image of a training step, between its forward and its backward pass.
        fixed, each: of a pass in eval mode, in any case and for every image.
    """

    weights: int
    kept: int
    fixed: int
    each: int

    def answering(self, budget: int) -> int:
        """Of a pass with as many images as a budget has room for."""
        return max(self.fixed + self.each, min(budget, self.fixed + 250 * self.each))


def answering_bytes(model: nn.Module, image: torch.Tensor) -> tuple[int, int]:
    """Bytes that a pass in eval mode holds at its peak: in any case, and more for every image.

    Args:
        image: normalised, [1, C, H, W]; two passes are made with it, of one image and of two.
    """
    peaks = []
    for images in (image, torch.cat([image, image])):
        with torch.inference_mode(), LiveMemory() as held:
            model(images)
        peaks.append(held.peak)
    each = max(peaks[1] - peaks[0], 1)
    return max(peaks[0] - each, 0), each
