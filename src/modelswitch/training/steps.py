"""A step's forward and backward pass: by Python, or on a GPU as a CUDA graph that Python recorded.

A small model's step is some hundred short kernels. Python takes longer to start them than the GPU
to do them, so that a GPU waits for most of a training. A graph starts them all at once.

A graph does again what was recorded, whatever Python would do by now. So it is recorded anew in
every epoch, from a step that Python has just done, and is used where it gives the same losses,
gradients and buffers to the bit, where the step drew no random numbers, and where it left all that
its modules hold as it was but for the values of their tensors. Everything else, batches of another
shape among it, goes by Python. With ``MODELSWITCH_CUDA_GRAPHS=0`` all does.
"""

import contextlib
import dataclasses
import gc
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from modelswitch.training import precision

Terms = dict[str, torch.Tensor]
# Recording takes as long as some steps by Python.
FEWEST_STEPS = 8


class Recorder(Protocol):
    """Records what a function tells a device to do."""

    def record(self, function: Callable[[], Terms]) -> Terms:
        """Call the function without its work being done; the tensors that `replay` fills."""

    def replay(self) -> None:
        """Do the work."""

    def forget(self) -> None:
        """Drop what was recorded, and what it fills."""


class CudaRecorder:
    """A CUDA graph on the current stream."""

    def __init__(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        # Graphs have their memory one after the other; it goes where no graph has it.
        self._holder: torch.cuda.CUDAGraph | None = None
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], Terms]) -> Terms:
        if self._holder is None:
            self._holder, _ = self._recorded(lambda: {"": torch.zeros(1, device="cuda")})
        self._graph, terms = self._recorded(function)
        return terms

    def _recorded(self, function: Callable[[], Terms]) -> tuple[torch.cuda.CUDAGraph, Terms]:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Tensors that the collector frees in between would be freed by the graph.
        collects = gc.isenabled()
        gc.disable()
        try:
            # Reading ahead from the disk goes on in another thread.
            graph.capture_begin(self._pool, capture_error_mode="thread_local")
            try:
                terms = function()
            finally:
                graph.capture_end()
        finally:
            if collects:
                gc.enable()
        return graph, terms

    def replay(self) -> None:
        assert self._graph is not None
        self._graph.replay()

    def forget(self) -> None:
        self._graph = None


class PythonSteps:
    """Forward and backward passes by Python.

    Args:
        objective: called with a batch, returns named scalar terms among which ``loss``.
        optimizer: of its parameters.
        autocast: the number format of a forward pass.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        autocast: Callable[[], contextlib.AbstractContextManager],
    ) -> None:
        self._objective, self._optimizer, self._autocast = objective, optimizer, autocast

    def start_epoch(self, steps: int) -> None:
        """An epoch of so many steps begins."""

    def __call__(self, batch: Any, share: float = 1.0) -> Terms:
        """The terms of a batch; every parameter then has its gradient, that of ``share`` times the
        loss."""
        with self._autocast():
            terms: Terms = self._objective(batch)
        (terms["loss"] * share if share != 1 else terms["loss"]).backward()
        return terms

    def clear(self) -> None:
        """The gradients have been used."""
        self._optimizer.zero_grad()


class RecordedSteps(PythonSteps):
    """The same by what a recorder has recorded, where that is the same to the bit.

    Args:
        recorder: see `Recorder`.
        report: told once why there is no recording, if there is none.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        autocast: Callable[[], contextlib.AbstractContextManager],
        recorder: Recorder,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(objective, optimizer, autocast)
        self._recorder, self._report = recorder, report
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._wanted = self._refused = self._recorded = False
        self._batch: Any = None
        self._terms: Terms = {}
        self._gradients: list[torch.Tensor | None] = []

    def start_epoch(self, steps: int) -> None:
        self._forget()
        self._wanted = not self._refused and steps >= FEWEST_STEPS

    def __call__(self, batch: Any, share: float = 1.0) -> Terms:
        if self._recorded and _alike(self._batch, batch):
            for mine, given in zip(_tensors(self._batch), _tensors(batch), strict=True):
                mine.copy_(given)
            self._recorder.replay()
            self._have(self._gradients)
            return self._terms
        self._have([None] * len(self._parameters))
        if self._recorded or not self._wanted or not _tensors(batch):
            return super().__call__(batch, share)
        self._wanted = False
        return self._by_python_and_recorded(batch, share)

    def clear(self) -> None:
        # A recorded step writes its gradients anew, into the same memory.
        if not self._recorded:
            super().clear()

    def _have(self, gradients: Sequence[torch.Tensor | None]) -> None:
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient

    def _by_python_and_recorded(self, batch: Any, share: float) -> Terms:
        """A step by Python, and the recording of another like it."""
        buffers = list(self._objective.buffers())
        before = [buffer.detach().clone() for buffer in buffers]
        streams, held = _streams(batch), _held(self._objective)
        terms = {name: value.detach() for name, value in super().__call__(batch, share).items()}
        if _streams(batch) != streams:
            self._refuse("a step draws random numbers")
            return terms
        if _held(self._objective) != held:
            self._refuse("a step changes what its modules hold beside their tensors")
            return terms
        gradients = [p.grad for p in self._parameters]
        after = [buffer.detach().clone() for buffer in buffers]
        problem = self._record(batch, share)
        if not problem:
            _put(buffers, before)
            self._recorder.replay()
            found = [p.grad for p in self._parameters]
            same = _same(
                [*terms.values(), *after, *gradients], [*self._terms.values(), *buffers, *found]
            )
            problem = "" if same else "a recorded step gives other numbers than the one before it"
        if problem:
            self._forget()
            self._refuse(problem)
            _put(buffers, after)
            self._have(gradients)
            return terms
        self._gradients, self._recorded = found, True
        return self._terms

    def _record(self, batch: Any, share: float) -> str:
        """Record a step; what stood in the way, if something did."""
        self._have([None] * len(self._parameters))
        self._batch = _copied(batch)
        try:
            step = super().__call__
            self._terms = self._recorder.record(
                lambda: {name: value.detach() for name, value in step(self._batch, share).items()}
            )
        except RuntimeError as error:
            # Whatever cannot be recorded, memory that is full among it, may go well by Python; what
            # goes wrong there, too, is told there.
            return str(error).strip().splitlines()[0]
        return ""

    def _refuse(self, problem: str) -> None:
        self._refused = True
        self._report(f"no CUDA graph: {problem}")

    def _forget(self) -> None:
        self._recorded, self._batch, self._terms, self._gradients = False, None, {}, []
        self._have([None] * len(self._parameters))
        self._recorder.forget()


def steps_for(
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    dtype: torch.dtype,
    report: Callable[[str], None],
    alone: bool,
) -> PythonSteps:
    """Steps by Python on the processor, of several processes, and where the environment says so;
    otherwise as a CUDA graph.

    Args:
        dtype: of forward passes.
        alone: whether no other process takes part.
    """

    def autocast() -> contextlib.AbstractContextManager:
        return precision.autocast(device, dtype)

    if device.type != "cuda" or not alone or os.environ.get("MODELSWITCH_CUDA_GRAPHS") == "0":
        return PythonSteps(objective, optimizer, autocast)
    return RecordedSteps(objective, optimizer, autocast, CudaRecorder(), report)


@contextlib.contextmanager
def own_stream(steps: PythonSteps, device: torch.device) -> Iterator[None]:
    """A stream of its own on a GPU inside, for the one that all begin with cannot be recorded."""
    if device.type != "cuda" or not isinstance(steps, RecordedSteps):
        yield
        return
    own, before = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    own.wait_stream(before)
    try:
        with torch.cuda.stream(own):
            yield
    finally:
        before.wait_stream(own)


def _fields(batch: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(batch):
        return {}
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


def _tensors(batch: Any) -> list[torch.Tensor]:
    """The tensors of a batch that is a dataclass; of another none."""
    return [value for value in _fields(batch).values() if isinstance(value, torch.Tensor)]


def _copied(batch: Any) -> Any:
    return dataclasses.replace(
        batch,
        **{k: v.clone() for k, v in _fields(batch).items() if isinstance(v, torch.Tensor)},
    )


def _alike(one: Any, other: Any) -> bool:
    """Whether two batches differ in the values of their tensors alone."""
    mine, theirs = _fields(one), _fields(other)
    return (
        bool(mine)
        and mine.keys() == theirs.keys()
        and all(
            (v.shape, v.dtype, v.device, v.stride()) == (w.shape, w.dtype, w.device, w.stride())
            if isinstance(v, torch.Tensor) and isinstance(w, torch.Tensor)
            else type(v) is type(w) and v == w
            for v, w in zip(mine.values(), theirs.values(), strict=True)
        )
    )


def _streams(batch: Any) -> list[Any]:
    """Where the random generators are that a step may draw from."""
    import numpy

    kind, words, *rest = numpy.random.get_state(legacy=True)
    devices = {t.device for t in _tensors(batch) if t.device.type == "cuda"}
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]
    found = [random.getstate(), kind, numpy.asarray(words).tolist(), rest]
    return [*found, *(state.tolist() for state in states)]


def _held(module: nn.Module) -> list[Any]:
    """Which tensors modules hold, and their numbers and words, such as counters."""
    held: list[Any] = []
    for part in module.modules():
        held += [id(tensor) for tensor in (*part._parameters.values(), *part._buffers.values())]
        held += [(k, v) for k, v in vars(part).items() if isinstance(v, bool | int | float | str)]
    return held


def _put(tensors: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def _same(ones: Sequence[torch.Tensor | None], others: Sequence[torch.Tensor | None]) -> bool:
    """Whether all are equal, in one look at the device."""
    if [one is None for one in ones] != [other is None for other in others]:
        return False
    pairs = [(a, b) for a, b in zip(ones, others, strict=True) if a is not None and b is not None]
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in pairs):
        return False
    return bool(torch.stack([(a == b).all() for a, b in pairs]).all())
