"""Who has which device, or which part of it: locks on files in a folder that all jobs share.

Of every device there is a file named by its digest. Who wants the whole device locks that file
alone; who wants a k-th of it locks it together with others, and one of k files
``<digest>-<i>of<k>`` alone. Parts that are held at a time may be of different k: together they are
never more than the device.
What the files hold decides nothing: no process id in them is ever believed, and the kernel frees
what a process held however it ended.

All looking and taking happens behind one more lock, the gate, for a moment: so several devices are
taken at once or not at all, and two jobs that each want two of two cannot have one each for ever.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from modelswitch.errors import UserError
from modelswitch.execution import flock

_SLOT = re.compile(r"-\d+of(\d+)$")


class DeviceLocks:
    """What one job holds of the devices of a machine, and waits for.

    Who waits for whole devices claims as many, so that jobs which come later and want less do not
    take them from under it for ever. Who holds a claim waits for nothing but running jobs.

    Args:
        folder: where the files are; made, and on a local disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[int] = []
        self._claims: dict[str, int] = {}

    def try_take(self, devices: Sequence[str], count: int, share: int = 1) -> list[str] | None:
        """Names of ``count`` of the devices, which are this job's from now on, or None.

        Args:
            devices: names, in the order in which they are preferred.
            share: of how many parts of a device one is wanted.

        Raises:
            UserError: the folder cannot hold lock files.
        """
        gate = self._lock("gate")
        if gate is None:
            return None
        try:
            taken: list[str] = []
            for device in devices:
                if not self._claimed(device) and self._take(device, share):
                    taken.append(device)
                if len(taken) == count:
                    _close(self._claims.values())
                    self._claims = {}
                    return taken
            _close(self._held)
            self._held = []
            if share == 1 and not self._claims:
                self._claim(devices, count)
            return None
        finally:
            os.close(gate)

    def release(self) -> None:
        """Give back all that is held and claimed."""
        _close([*self._held, *self._claims.values()])
        self._held, self._claims = [], {}

    def _take(self, device: str, share: int) -> bool:
        whole = self._lock(_digest(device), shared=share > 1)
        if whole is None:
            return False
        if share == 1:
            self._held.append(whole)
            return True
        if self._taken_of(device) + Fraction(1, share) <= 1:
            for number in range(share):
                slot = self._lock(f"{_digest(device)}-{number}of{share}")
                if slot is not None:
                    self._held += [whole, slot]
                    return True
        os.close(whole)
        return False

    def _taken_of(self, device: str) -> Fraction:
        """How much of a device is held in parts."""
        taken = Fraction(0)
        for path in self._folder.glob(f"{_digest(device)}-*of*"):
            parts = _SLOT.search(path.name)
            if parts and self._is_locked(path.name):
                taken += Fraction(1, int(parts[1]))
        return taken

    def _claim(self, devices: Sequence[str], count: int) -> None:
        """Claim as many devices as are wanted, or none: with fewer it would keep others out, and
        they it."""
        for device in devices:
            claim = self._lock(_claim_of(device))
            if claim is not None:
                self._claims[device] = claim
            if len(self._claims) == count:
                return
        _close(self._claims.values())
        self._claims = {}

    def _claimed(self, device: str) -> bool:
        """Whether another job waits for the whole device."""
        return device not in self._claims and self._is_locked(_claim_of(device))

    def _is_locked(self, name: str) -> bool:
        if not (self._folder / name).exists():
            return False
        descriptor = self._lock(name)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def _lock(self, name: str, shared: bool = False) -> int | None:
        """A descriptor that holds a file's lock, or None if another process has it."""
        path = self._folder / name
        flags = os.O_RDONLY | os.O_NOFOLLOW
        try:
            try:
                descriptor = os.open(path, flags)
            except FileNotFoundError:
                # Not in one step: Linux refuses O_CREAT on someone else's file in a shared folder.
                descriptor = os.open(path, flags | os.O_CREAT, 0o644)
            if not flock.try_lock(descriptor, shared=shared):
                os.close(descriptor)
                return None
        except OSError as error:
            raise UserError(
                f"MODELSWITCH_LEASES: {path} cannot be locked ({error.strerror}); "
                "name a folder on a local disk that every job on this machine may write to"
            ) from error
        return descriptor


def lock_folder() -> Path:
    """Where the jobs of one machine have their locks; see `execution.gpu_lease` for what names it.

    Raises:
        UserError: it cannot be used.
    """
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


def _digest(device: str) -> str:
    """The name of a device's file: a pretended device may be called anything."""
    return hashlib.sha256(device.encode()).hexdigest()[:16]


def _claim_of(device: str) -> str:
    return f"{_digest(device)}-next"


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
