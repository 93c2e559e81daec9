"""Which tensor a model's answer depends on, and how many others carry the image past it."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _key(tensor: torch.Tensor) -> int:
    """One key for all tensors that share memory: writing to one of them changes the others."""
    return tensor.untyped_storage()._cdata


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for leaf in tree_leaves(values):
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
            yield leaf


class Dataflow(TorchDispatchMode):
    """Records a pass: every operation that writes to memory is a step, in the order of execution.

    A step depends on the steps that wrote what it reads. Views write nothing, so a view counts as
    what it looks at; an operation that works in place is a step of its own.

    Args:
        image: where the pass begins, step 0.
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self._sources: list[set[int]] = [set()]
        self._written_by = {_key(image): 0}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [_key(tensor) for tensor in _tensors((args, kwargs))]
        arguments = func._schema.arguments
        named = {a.name: value for a, value in zip(arguments, args, strict=False)} | kwargs
        changed = {
            _key(tensor)
            for argument in arguments
            if argument.alias_info is not None and argument.alias_info.is_write
            for tensor in _tensors(named.get(argument.name))
        }
        written = changed | ({_key(tensor) for tensor in _tensors(result)} - set(given))
        if written:
            self._sources.append({self._written_by[k] for k in given if k in self._written_by})
            self._written_by |= dict.fromkeys(written, len(self._sources) - 1)
        return result

    def step(self, value: Any) -> int | None:
        """The last step that wrote to a tensor, or to one of several; None for what no operation
        has made."""
        steps = [self._written_by[k] for t in _tensors(value) if (k := _key(t)) in self._written_by]
        return max(steps, default=None)

    def widths(self, answer: Any) -> dict[int, int]:
        """For every step between the image and the ``answer``: how many *other* tensors that are
        there at that moment still take part in the answer.

        Where it is 0, whatever follows knows the image through this step's tensor alone: the end of
        a block with a shortcut, say, but none of the tensors beside the shortcut.
        """
        ends = {s for t in _tensors(answer) if (s := self.step(t)) is not None}
        wanted = set(ends)
        for step in range(len(self._sources) - 1, -1, -1):
            if step in wanted:
                wanted |= self._sources[step]
        reached = {0}
        last_use: dict[int, int] = dict.fromkeys(ends, len(self._sources))
        for step, sources in enumerate(self._sources):
            used = sources & reached
            if step in wanted and used:
                reached.add(step)
                for source in used:
                    last_use[source] = max(last_use.get(source, 0), step)
        between = sorted(wanted & reached)
        # A tensor is alive at the steps after its own and before the last that reads it.
        change = [0] * (len(self._sources) + 2)
        for step in between:
            change[step + 1] += 1
            change[last_use[step]] -= 1
        alive = list(accumulate(change))
        return {step: alive[step] for step in between}
