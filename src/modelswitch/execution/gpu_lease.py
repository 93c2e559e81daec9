"""Which processor a job computes on: GPUs leased for as long as the process lives, or the CPU.

Several jobs of a workflow run beside each other on one machine, and Snakemake does not tell them
which GPU is whose. Each job therefore locks files named after the physical devices that it has, or
after the k-th part of one (`execution.device_locks`).

Environment variables that are honoured:

- ``CUDA_VISIBLE_DEVICES``: only these devices are considered. A scheduler such as SLURM sets it.
- ``MODELSWITCH_LEASES``: the folder of the lock files, ``<temporary folder>/modelswitch-devices``
  if unset. All jobs on one machine must agree on it.
- ``MODELSWITCH_DEVICES``: names of pretended devices, separated by commas. They are leased like
  real ones, and computing happens on the CPU; for tests.
- ``SLURM_SHARDS_ON_NODE``: SLURM sets it for a job that asked for a part of a GPU and for no whole
  one. Such a job has the device that it sees, though it was told of none.

PyTorch is imported inside the functions: whoever only plans does not wait for it.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from modelswitch.errors import UserError
from modelswitch.execution.device_locks import DeviceLocks, lock_folder

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0
# More trainings on one GPU wait for each other rather than compute.
MOST_SHARES = 64


class Device(NamedTuple):
    """A device that this process may use.

    ``name`` is the same for every process on the machine, whatever it calls the device;
    ``torch`` is what to hand to `torch.device`.
    """

    name: str
    torch: str


CPU = Device("cpu", "cpu")


def visible() -> list[Device]:
    """The GPUs that this process may use, in its own order; empty without one."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    pretended = os.environ.get("MODELSWITCH_DEVICES")
    if pretended is not None:
        names = [name.strip() for name in pretended.split(",") if name.strip()]
        if allowed is not None:
            names = [name.strip() for name in allowed.split(",") if name.strip() in names]
        return [Device(f"pretended-{name}", "cpu") for name in dict.fromkeys(names)]
    if allowed is not None and not allowed.strip():
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    # The number that a process knows a device by depends on CUDA_VISIBLE_DEVICES, and inside a
    # cluster's container every job's only device is number 0; the UUID is one device's alone.
    return [
        Device(str(torch.cuda.get_device_properties(index).uuid), f"cuda:{index}")
        for index in range(torch.cuda.device_count())
    ]


@contextlib.contextmanager
def lease(gpus: int = 1, patience: float = _PATIENCE_SECONDS, share: int = 1) -> Iterator[Device]:
    """Hold one device, or a part of it, as `several` does; the CPU with ``gpus=0``."""
    with several(min(gpus, 1), patience, share) as devices:
        yield devices[0]


@contextlib.contextmanager
def several(
    gpus: int = 1, patience: float = _PATIENCE_SECONDS, share: int = 1
) -> Iterator[list[Device]]:
    """Hold ``gpus`` devices that no other lease on this machine holds, all of them or none yet.

    With ``gpus=0`` or on a machine without a GPU that is the CPU, which is not locked. When too
    many GPUs are taken it waits, saying so once after ``patience`` seconds: two trainings on one
    GPU that does not hold both would fail, or be slower than one after the other.

    Args:
        share: of how many parts of a device one is wanted. The process gets that part of its
            memory and no more; who holds parts of one device may want different ones.

    Raises:
        UserError: the folder of the lock files cannot be used; so many GPUs are never there.
    """
    _refuse(gpus, share)
    if not gpus and os.environ.get("SLURM_SHARDS_ON_NODE", "0") != "0":
        gpus = 1
    devices = visible() if gpus else []
    if not devices:
        yield [CPU]
        return
    shown = ", ".join(device.name for device in devices)
    if gpus > len(devices):
        are = "is" if len(devices) == 1 else "are"
        raise UserError(
            f"resources.gpu: {gpus} GPUs for one training, and {len(devices)} {are} visible here "
            f"({shown}); allowed: at most as many"
        )
    locks = DeviceLocks(lock_folder())
    started = time.monotonic()
    warned = False
    try:
        while (taken := locks.try_take([d.name for d in devices], gpus, share)) is None:
            if not warned and time.monotonic() - started >= patience:
                wanted = f"{gpus} GPUs" if gpus > 1 else "a GPU"
                wanted = f"1/{share} of a GPU" if share > 1 else wanted
                print(
                    f"waiting for {wanted}: all are leased ({shown})", file=sys.stderr, flush=True
                )
                warned = True
            time.sleep(_POLL_SECONDS)
        held = [device for device in devices if device.name in taken]
        if share > 1:
            _limit_memory(held[0], share)
        yield held
    finally:
        locks.release()


def _refuse(gpus: int, share: int) -> None:
    """Raise `UserError` for a share that there is not."""
    if not 1 <= share <= MOST_SHARES:
        raise UserError(
            f"resources.gpu_share: found {share}; allowed: 1 for a whole GPU, to {MOST_SHARES}"
        )
    if gpus > 1 and share > 1:
        raise UserError(
            f"resources.gpu_share: found {share} beside gpu: {gpus}; a training has several GPUs "
            "or a part of one"
        )


def _limit_memory(device: Device, share: int) -> None:
    """Let this process have its part of a GPU's memory; more is refused to it as if the memory were
    full, and the others keep theirs."""
    if device.torch.startswith("cuda"):
        import torch

        torch.cuda.set_per_process_memory_fraction(1 / share, device.torch)
