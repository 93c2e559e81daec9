"""One process at a time for a training, also when the one before it was left behind.

Snakemake that is killed with SIGKILL leaves its jobs running. Started again, it would start the
same training beside the one that goes on, and both would write the same files.

The lock file says who holds it. Only a process that is surely the training left behind in this very
working folder is asked to stop; whatever another host, container, user or folder may own is waited
for.
"""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from modelswitch.execution import flock

_POLL_SECONDS = 0.1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Holder(NamedTuple):
    """A process, told apart from every other of any host and time.

    ``boot`` and ``processes`` are what the kernel calls this boot and this set of process ids,
    which a container has to itself; ``started`` is in ticks since the boot, for ids are used again.
    """

    host: str
    boot: str
    processes: str
    pid: int
    started: int
    folder: str

    @classmethod
    def this(cls) -> "Holder":
        pid = os.getpid()
        folder = str(Path.cwd())
        return cls(socket.gethostname(), *_kernel(), pid, _started(pid), folder)

    @classmethod
    def parse(cls, text: str) -> "Holder | None":
        """What `str` wrote; None for anything else."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return json.dumps(self._asdict())


def _kernel() -> tuple[str, str]:
    """Names of this boot and of this set of process ids; empty where there is no /proc."""
    try:
        boot = _BOOT_ID.read_text(encoding="utf-8").strip()
        return boot, str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "", ""


def _started(pid: int) -> int:
    """When a process started, in ticks since the boot; -1 where that cannot be told."""
    try:
        # The name, in brackets, may hold anything.
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return -1
    return int(after_name.split()[19])


@contextlib.contextmanager
def alone(
    path: str | Path, report: Callable[[str], None] = print, within: str | Path = ""
) -> Iterator[None]:
    """Hold the lock file ``path`` (made here) while the block runs.

    A process that was left behind in this working folder and holds it is asked to stop, once, with
    SIGTERM: a training then saves its state, and the one that waits goes on from there. Any other
    is waited for. The file is removed at the end, and with it the folders above that are empty
    then, ``within`` and what is above that excepted.
    """
    path = Path(path)
    descriptor = _acquire(path, report)
    try:
        yield
    finally:
        # Removed while it is held: whoever waits sees that the file is no longer this one.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == Path(within):
                    break
                folder.rmdir()
        os.close(descriptor)


def _acquire(path: Path, report: Callable[[str], None]) -> int:
    asked = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except (FileNotFoundError, FileExistsError):
            if path.parent.exists() and not path.parent.is_dir():
                raise
            # The one that held the lock removed the folder in between.
            time.sleep(_POLL_SECONDS / 10)
            continue
        try:
            locked = flock.try_lock(descriptor)
        except flock.NoLocks:
            # There one does without.
            return descriptor
        except OSError:
            os.close(descriptor)
            raise
        if locked and flock.is_still(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{Holder.this()}\n".encode(), 0)
            return descriptor
        if not locked and not asked:
            _ask_to_stop(descriptor, report)
            asked = True
        os.close(descriptor)
        if not locked:
            time.sleep(_POLL_SECONDS)


def _ask_to_stop(descriptor: int, report: Callable[[str], None]) -> None:
    holder = Holder.parse(os.pread(descriptor, 10_000, 0).decode(errors="replace"))
    if holder is None:
        report("another process trains this model; waiting for it")
        return
    # A descriptor of the process: should it end here, its id could be another's at once.
    process = _left_behind(holder, descriptor)
    if process is None:
        report(
            f"process {holder.pid} on {holder.host} trains this model in {holder.folder}; "
            "waiting for it"
        )
        return
    report(f"process {holder.pid} was left behind and still trains this model; asking it to stop")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(process, signal.SIGTERM)
    os.close(process)


def _left_behind(holder: Holder, descriptor: int) -> int | None:
    """A descriptor of the process of ``holder``, if it surely is that one, works in this folder and
    has the lock file open; None otherwise, and where the system cannot tell (no /proc)."""
    here = Holder.this()
    if not here.boot or here.pid == holder.pid or not hasattr(os, "pidfd_open"):
        return None
    if (here.host, here.boot, here.processes) != (holder.host, holder.boot, holder.processes):
        return None
    try:
        process = os.pidfd_open(holder.pid)
    except OSError:
        return None
    own = Path(f"/proc/{holder.pid}")
    with contextlib.suppress(OSError):
        if (
            _started(holder.pid) == holder.started
            and (own / "cwd").samefile(Path.cwd())
            and any(flock.is_still(link, descriptor) for link in (own / "fd").iterdir())
        ):
            return process
    os.close(process)
    return None
