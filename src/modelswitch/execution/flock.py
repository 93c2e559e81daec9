"""The one lock: the kernel's on an open file, which ends with its process.

However a process ends, what it held is free again, and no file has to be judged by its date or by a
process id in it.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class NoLocks(OSError):
    """The file system has no locks, as some network file systems are mounted."""


def try_lock(descriptor: int, wait: bool = False, shared: bool = False) -> bool:
    """Lock an open file for this process alone; False if another holds it.

    Python opens files so that programs started from here do not inherit them: a lock cannot
    outlive its process in a child.

    Args:
        wait: until the other gives it up, rather than return False.
        shared: with all others that lock it so, and with nobody who wants it alone.

    Raises:
        NoLocks: the file system has none.
        OSError: the file cannot be locked for another reason.
    """
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocks(error.errno, error.strerror) from error
        raise
    return True


def is_still(path: str | Path, descriptor: int) -> bool:
    """Whether ``path`` is the open file, not one made after that was removed: a lock on a file that
    has lost its name keeps nobody out."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def waiting(path: str | Path) -> Iterator[int]:
    """A descriptor of ``path`` (made if it is not there), locked while the block runs; where the
    file system has no locks, unlocked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(NoLocks):
            try_lock(descriptor, wait=True)
        yield descriptor
    finally:
        os.close(descriptor)
