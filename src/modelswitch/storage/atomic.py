"""Files that are whole or not there: written beside and then given their name."""

import contextlib
import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file beside ``path`` to write to; it takes the name of ``path`` when all is written.

    All of it is on the disk by then, so that a loss of power leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_parts_of_the_dead(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield part
        part.chmod(0o644)
        os.fsync(handle)
        part.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        # Named after what was to be written; a full disk by itself names nothing.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)
        part.unlink(missing_ok=True)


def _remove_parts_of_the_dead(path: Path) -> None:
    """Remove what writers of ``path`` left that were killed: nobody holds its lock."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError), part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
