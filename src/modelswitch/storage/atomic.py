"""Files that are whole or not there: written beside and then given their name."""

import contextlib
import glob
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from modelswitch.execution import flock


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file beside ``path`` to write to; it takes the name of ``path`` when all is written.

    All of it is on the disk by then, so that a loss of power leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_parts_of_the_dead(path)
    handle, part = _new_part(path)
    try:
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


def write_text(path: str | Path, text: str) -> None:
    """``text`` as the whole of a file, in UTF-8 and with the line ends that it has."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def _new_part(path: Path) -> tuple[int, Path]:
    """Descriptor and name of a new file beside ``path`` that is locked while it is open."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with contextlib.suppress(OSError):
            flock.try_lock(handle)
        if flock.is_still(name, handle):
            return handle, Path(name)
        # Another writer took it for a dead one's, in the moment before it was locked.
        os.close(handle)


def _remove_parts_of_the_dead(path: Path) -> None:
    """Remove what writers of ``path`` left that were killed: nobody holds its lock."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError), part.open("rb") as stream:
            if flock.try_lock(stream.fileno()):
                part.unlink()
