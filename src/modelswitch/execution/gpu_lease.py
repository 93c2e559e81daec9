"""Which processor a job computes on: one GPU leased for as long as the process lives, or the CPU.

Several jobs of a workflow run beside each other on one machine, and Snakemake does not tell them
which GPU is whose. Each job therefore takes a lock on a file named after the physical device. What
the file holds decides nothing: no process id in it is ever believed.

Three environment variables are honoured:

- ``CUDA_VISIBLE_DEVICES``: only these devices are considered. A scheduler such as SLURM sets it.
- ``MODELSWITCH_LEASES``: the folder of the lock files, ``<temporary folder>/modelswitch-devices``
  if unset. All jobs on one machine must agree on it.
- ``MODELSWITCH_DEVICES``: names of pretended devices, separated by commas. They are leased like
  real ones, and computing happens on the CPU; for tests.

PyTorch is imported inside the functions: whoever only plans does not wait for it.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modelswitch.errors import UserError
from modelswitch.execution import flock

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0


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
        return [Device(f"pretended-{name}", "cpu") for name in names]
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
def lease(gpus: int = 1, patience: float = _PATIENCE_SECONDS) -> Iterator[Device]:
    """Hold one device that no other lease on this machine holds.

    With ``gpus=0`` or on a machine without a GPU that is the CPU, which is not locked. When all
    GPUs are taken it waits for one, saying so once after ``patience`` seconds: two trainings on
    one GPU would be slower than one after the other, and may not fit.

    Raises:
        UserError: the folder of the lock files cannot be used.
    """
    devices = visible() if gpus else []
    if not devices:
        yield CPU
        return
    folder = _lock_folder()
    started = time.monotonic()
    warned = False
    while True:
        for device in devices:
            lock = _try_lock(folder, device)
            if lock is None:
                continue
            try:
                yield device
            finally:
                os.close(lock)
            return
        if not warned and time.monotonic() - started >= patience:
            names = ", ".join(device.name for device in devices)
            print(f"waiting for a GPU: all are leased ({names})", file=sys.stderr, flush=True)
            warned = True
        time.sleep(_POLL_SECONDS)


def _lock_folder() -> Path:
    given = os.environ.get("MODELSWITCH_LEASES")
    folder = Path(given) if given else Path(tempfile.gettempdir()) / "modelswitch-devices"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Other users of the machine lease the same devices.
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o1777)
    except OSError as error:
        raise UserError(
            f"MODELSWITCH_LEASES: {folder} cannot hold lock files ({error.strerror}); "
            "name a folder on a local disk that every job on this machine may write to"
        ) from error
    return folder


def _try_lock(folder: Path, device: Device) -> int | None:
    """A file descriptor that holds the device's lock, or None if another process has it."""
    # A user's pretended name may hold anything; a digest is always a file name.
    path = folder / hashlib.sha256(device.name.encode()).hexdigest()[:16]
    flags = os.O_RDONLY | os.O_NOFOLLOW
    try:
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            # Not in one step: Linux refuses O_CREAT on someone else's file in a shared folder.
            descriptor = os.open(path, flags | os.O_CREAT, 0o644)
        if not flock.try_lock(descriptor):
            os.close(descriptor)
            return None
    except OSError as error:
        raise UserError(
            f"MODELSWITCH_LEASES: {path} cannot be locked ({error.strerror}); "
            "name a folder on a local disk that every job on this machine may write to"
        ) from error
    return descriptor
