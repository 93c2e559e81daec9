"""What files hold, read once and remembered: their digests. Light to import, as Snakemake's parsing
needs them.

A file is read again when its size, either of its dates or its place on the disk is another than
when it was read. The date of its last change of any kind (ctime) is the system's: ``touch -r``,
``cp -p`` and ``rsync -t`` cannot set it, so that other bytes under an old date are noticed.
"""

import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelswitch.storage import cache_folder

# Seconds: a file may change again within the resolution of its dates without another date.
_TOO_FRESH = 2.0
_PIECE = 1 << 20
# Bytes from which it takes so long that a person is told.
_LONG = 1 << 31
State = list[int]


def file_digests(paths: Sequence[Path], about: str) -> list[str]:
    """SHA-256 of each file in hexadecimal digits; for what is no file or cannot be read, a word.

    Args:
        about: names what the files are of; what is remembered is kept under it.
    """
    name = hashlib.sha256(about.encode()).hexdigest()[:16]
    note = cache_folder.FOLDER / f"contents-{name}.json"
    known = _read(note)
    begun = time.time()
    names = [os.path.abspath(path) for path in paths]  # noqa: PTH100 (links are not followed)
    states = [_state(path) for path in paths]
    digests = [
        found[1] if (found := known.get(name)) and found[0] == state else None
        for name, state in zip(names, states, strict=True)
    ]
    missing = [row for row, digest in enumerate(digests) if digest is None]
    if missing:
        size = sum(state[0] for row in missing if (state := states[row]))
        if size >= _LONG:
            print(
                f"reading {len(missing):,} files of {about} ({size / 1e9:.1f} GB) once, to know "
                "later what has changed",
                file=sys.stderr,
                flush=True,
            )
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for row, digest in zip(missing, pool.map(_digest, [paths[r] for r in missing])):  # noqa: B905
                digests[row] = digest
    remembered = {
        name: [state, digest]
        for name, state, digest in zip(names, states, digests, strict=True)
        if state is not None and state[2] < (begun - _TOO_FRESH) * 1e9
    }
    # Only beside a Snakemake: a script called by hand leaves no folder behind.
    if remembered != known and cache_folder.FOLDER.is_dir():
        cache_folder.write(note, json.dumps(remembered))
    return [digest or "" for digest in digests]


def named_digests(names: Sequence[str]) -> dict[str, str]:
    """A digest of what each of those names holds that are files or folders here, for a function may
    see the home folder in a tilde."""
    places = {name: os.path.expanduser(name) for name in names}  # noqa: PTH111
    # Not Path.exists, which raises for texts that no file can have as its name.
    return {n: _named(place) for n, place in places.items() if os.path.exists(place)}  # noqa: PTH110


def _named(name: str) -> str:
    if not Path(name).is_dir():
        return file_digests([Path(name)], name)[0]
    files = sorted(Path(place, file) for place, _, files in os.walk(name) for file in files)
    inside = [file.relative_to(name).as_posix() for file in files]
    held = list(zip(inside, file_digests(files, name), strict=True))
    return hashlib.sha256(json.dumps(held, ensure_ascii=False).encode()).hexdigest()


def _read(note: Path) -> dict[str, tuple[State, str]]:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _state(path: Path) -> State | None:
    """Size in bytes, the dates of the last change of content and of any change in nanoseconds, and
    the number on its disk; None for what is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    try:
        # A pipe would be waited for without an end.
        if not path.is_file():
            return "no file"
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                total.update(piece)
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return total.hexdigest()
