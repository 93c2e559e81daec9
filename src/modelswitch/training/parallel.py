"""Data-parallel training: what the processes of one training do together.

Every process has the same model and takes its part of every batch of the same order, with the views
that the samples would have anyway. Gradients are averaged over the whole batch (torch's
`DistributedDataParallel`), and so are reported losses; batch normalisation takes its statistics
over the whole batch, unless `training.sync_norm` is off. So how many there are changes a training
as the number of threads does: sums are rounded otherwise. What a model draws at random, as in
dropout, is drawn in each process by itself and depends on their number.
"""

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed, seed_global_streams

Found = TypeVar("Found")
# The end of another process is seen by whoever watches it (`execution.ranks`), not by the clock:
# while rank 0 validates, the others wait.
_FOR_EVER = timedelta(days=30)
_HERE = "127.0.0.1"


@runtime_checkable
class Divided(Protocol):
    """Batches of which a process gets a part."""

    def share(self, step: int) -> float:
        """The part of a step's images that this process gets, times the number of processes."""


class Alone:
    """A training in one process: nothing is shared.

    Attributes:
        leads: whether this process speaks, validates and writes.
    """

    number, count = 0, 1

    @property
    def leads(self) -> bool:
        return self.number == 0

    def wrapped(self, objective: nn.Module) -> nn.Module:
        """The objective whose gradients are those of the whole batch."""
        return objective

    def seed(self, seed: int, step: int) -> None:
        """Set the global streams for a step, where they depend on the process."""

    def share(self, batches: object, step: int) -> float:
        """The factor of this process's losses in a step."""
        return 1.0

    def mean(self, terms: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
        """Terms of the whole batch, of terms that are means over this process's part."""
        return terms

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        return tensor

    def same(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor of rank 0, which all then have."""
        return tensor

    def told(self, find: Callable[[], Found]) -> Found:
        """What ``find`` gives in rank 0; the others do not call it."""
        return find()


class Team(Alone):
    """One process of several, from 0 to ``count``, whose process group is open.

    Args:
        left_out: whether there may be steps in which some parameters have no gradient.
    """

    def __init__(self, number: int, count: int, left_out: bool) -> None:
        self.number, self.count, self._left_out = number, count, left_out

    def wrapped(self, objective: nn.Module) -> nn.Module:
        # Of a convolution with one pixel: two ways of numbering the same memory.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Where all have gradients, torch warns of looking for those without.
        return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=self._left_out)

    def seed(self, seed: int, step: int) -> None:
        # Anew for every step, so that rank 0 alone can say where the others go on.
        seed_global_streams(derive_seed(seed, "process", self.number, "step", step))

    def share(self, batches: object, step: int) -> float:
        assert isinstance(batches, Divided)
        return batches.share(step)

    def mean(self, terms: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
        values = torch.stack([value.detach().float() for value in terms.values()])
        values = self.sum(values * (share / self.count))
        return dict(zip(terms, values.unbind(), strict=True))

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.detach().clone()
        torch.distributed.all_reduce(total)
        return total

    def same(self, tensor: torch.Tensor) -> torch.Tensor:
        result = tensor.clone()
        torch.distributed.broadcast(result, 0)
        return result

    def told(self, find: Callable[[], Found]) -> Found:
        box = [find() if self.leads else None]
        torch.distributed.broadcast_object_list(box, 0)
        return cast(Found, box[0])


_ALONE = Alone()
_current: Alone = _ALONE


def current() -> Alone:
    """The processes that this one trains with."""
    return _current


@dataclass(frozen=True)
class Place:
    """Which process of how many this one is, and where it meets the others.

    Attributes:
        meeting: of rank 0 the `meeting_point`, of the others its port.
    """

    number: int = 0
    count: int = 1
    meeting: Any = None


def meeting_point(count: int) -> Any:
    """Where ``count`` processes of this machine meet; its ``port`` is told to the others."""
    return torch.distributed.TCPStore(
        _HERE, 0, count, is_master=True, wait_for_workers=False, timeout=_FOR_EVER
    )


@contextlib.contextmanager
def joined(place: Place, device: torch.device, left_out: bool = True) -> Iterator[None]:
    """Train together with the others inside, on ``device``; by itself where there are none.

    Args:
        left_out: whether there may be steps in which some parameters have no gradient.
    """
    global _current
    number, count, store = place.number, place.count, place.meeting
    if count == 1:
        yield
        return
    if number:
        store = torch.distributed.TCPStore(_HERE, store, count, timeout=_FOR_EVER)
    # All are on this machine, whose name may be known to nobody.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # What is told rather than computed with goes by the processor in any case.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(
        backend, store=store, rank=number, world_size=count, timeout=_FOR_EVER
    )
    _current = Team(number, count, left_out)
    try:
        yield
        torch.distributed.destroy_process_group()
    finally:
        _current = _ALONE


class _Total(torch.autograd.Function):
    """The sum over processes; what a loss of any of them says of it, all are told."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        return _current.sum(own)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _current.sum(gradients[0].contiguous())


def _normalised(layer: _BatchNorm, images: torch.Tensor) -> torch.Tensor:
    """Batch normalisation [B, C, …] with the statistics of all processes' images, in two passes:
    the mean, and the mean squared distance from it."""
    if not layer.training:
        return type(layer).forward(layer, images)
    layer._check_input_dim(images)
    values = images if images.dtype == torch.float64 else images.float()
    axes, shape = [0, *range(2, images.ndim)], (1, -1, *[1] * (images.ndim - 2))
    own = torch.full((1,), values.numel() // values.shape[1], device=values.device)
    sums = _Total.apply(torch.cat([values.sum(axes), own.to(values.dtype)]))
    count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
    centred = values - mean.view(shape)
    variance = _Total.apply(centred.square().sum(axes)) / count
    if layer.running_mean is not None and layer.running_var is not None:
        assert layer.num_batches_tracked is not None
        with torch.no_grad():
            layer.num_batches_tracked += 1
            tracked = float(layer.num_batches_tracked)
            share = 1 / tracked if layer.momentum is None else layer.momentum
            layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), share)
            unbiased = variance * (count / (count - 1))
            layer.running_var.lerp_(unbiased.to(layer.running_var.dtype), share)
    result = centred * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.weight is not None and layer.bias is not None:
        result = result * layer.weight.view(shape) + layer.bias.view(shape)
    return result.to(images.dtype)


@contextlib.contextmanager
def norm_synchronised(module: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, the batch normalisation of a module takes its statistics over all processes.

    Raises:
        UserError: it has one that calculates in a way of its own.
    """
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm)
    }
    if _current.count == 1 or not wanted:
        yield
        return
    for name, layer in layers.items():
        if type(layer).forward is not _BatchNorm.forward:
            raise UserError(
                f"{name} ({type(layer).__name__}) is no plain batch normalisation, whose "
                "statistics several processes could take together; allowed: resources.gpu: 1, or "
                "training.sync_norm: false, with which each has its own"
            )
    try:
        for layer in layers.values():
            layer.forward = functools.partial(_normalised, layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers.values():
            del layer.forward
