"""One process at a time for a training, also when the one before it was left behind.

Snakemake that is killed with SIGKILL leaves its jobs running. Started again, it would start the
same training beside the one that goes on, and both would write the same files. The lock is the
kernel's (``flock``), so it ends with its process.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.1
# Some network file systems are mounted without locks; there one does without.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def alone(path: str | Path, report: Callable[[str], None] = print) -> Iterator[None]:
    """Hold the lock file ``path`` (made here) while the block runs.

    A process of this machine that holds it is asked to stop, once, with SIGTERM: a training then
    saves its state, and the one that waits goes on from there. A process of another machine is
    waited for. The file is removed at the end, and with it the folders above that are empty then.
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
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not asked:
                _ask_to_stop(descriptor, report)
                asked = True
            os.close(descriptor)
            time.sleep(_POLL_SECONDS)
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            return descriptor
        if _is_still(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether ``path`` is the file that was locked, not one made after that was removed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _ask_to_stop(descriptor: int, report: Callable[[str], None]) -> None:
    holder = os.pread(descriptor, 300, 0).decode(errors="replace").split()
    if len(holder) != 2 or not holder[0].isdigit():
        report("another process trains this model; waiting for it")
        return
    process, host = int(holder[0]), holder[1]
    if host != socket.gethostname() or process == os.getpid():
        report(f"process {process} on {host} trains this model; waiting for it")
        return
    report(f"process {process} was left behind and still trains this model; asking it to stop")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGTERM)
