"""Which tensor a model's answer depends on, and how many others carry the image past it."""

from itertools import accumulate
from typing import Any

import torch

from modelswitch.models.operations import Operations, memory_of, tensors_in


class Dataflow(Operations):
    """Records a pass: every operation that writes to memory is a step, in the order of execution.

    A step depends on the steps that wrote what it reads. Views write nothing, so a view counts as
    what it looks at; an operation that works in place is a step of its own.

    Args:
        image: where the pass begins, step 0.
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self._sources: list[set[int]] = [set()]
        self._written_by = {memory_of(image): 0}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [memory_of(tensor) for tensor in tensors_in((args, kwargs))]
        arguments = func._schema.arguments
        named = {a.name: value for a, value in zip(arguments, args, strict=False)} | kwargs
        changed = {
            memory_of(tensor)
            for argument in arguments
            if argument.alias_info is not None and argument.alias_info.is_write
            for tensor in tensors_in(named.get(argument.name))
        }
        written = changed | ({memory_of(tensor) for tensor in tensors_in(result)} - set(given))
        if written:
            self._sources.append({self._written_by[k] for k in given if k in self._written_by})
            self._written_by |= dict.fromkeys(written, len(self._sources) - 1)
        return result

    def step(self, value: Any) -> int | None:
        """The last step that wrote to a tensor, or to one of several; None for what no operation
        has made."""
        steps = [
            self._written_by[k]
            for t in tensors_in(value)
            if (k := memory_of(t)) in self._written_by
        ]
        return max(steps, default=None)

    def widths(self, answer: Any) -> dict[int, int]:
        """For every step between the image and the ``answer``: how many *other* tensors that are
        there at that moment still take part in the answer.

        Where it is 0, whatever follows knows the image through this step's tensor alone: the end of
        a block with a shortcut, say, but none of the tensors beside the shortcut.
        """
        ends = {s for t in tensors_in(answer) if (s := self.step(t)) is not None}
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
