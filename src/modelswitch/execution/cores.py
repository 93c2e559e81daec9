"""How many threads a training has on this machine, and on which cores: what a measurement chose.

`make calibrate` measures it once (`planning.calibration`) and leaves it beside Snakemake's own
files. The plan tells it, and trainings with so many threads get cores of their own, of one memory
node, if that was faster.
"""

import contextlib
import json
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelswitch.execution.device_locks import DeviceLocks, lock_folder

# In the folder of what the workflow remembers.
FILE = "threads.json"
_NODES = Path("/sys/devices/system/node")


@dataclass(frozen=True)
class Choice:
    """What is fastest on this machine.

    Attributes:
        threads: of a training.
        pinned: whether each training has cores of its own.
        rates: what was measured: threads, whether pinned, images a second of all trainings beside
            each other.
    """

    threads: int
    pinned: bool
    rates: list[tuple[int, bool, float]] = field(default_factory=list)


def available() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def nodes() -> list[list[int]]:
    """These cores by memory node, of each its own; one list where the system tells of none."""
    mine = set(available())
    found = []
    for path in sorted(_NODES.glob("node[0-9]*"), key=lambda p: int(p.name[4:])):
        listed = _cores_in((path / "cpulist").read_text(encoding="ascii"))
        found.append([core for core in listed if core in mine])
    return [part for part in found if part] or [sorted(mine)]


def _cores_in(text: str) -> list[int]:
    """What the kernel writes as `0-3,8`."""
    ranges = (re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in text.strip().split(",") if part)
    return [
        core
        for each in ranges
        if each is not None
        for core in range(int(each[1]), int(each[2] or each[1]) + 1)
    ]


def machine() -> str:
    """What the file knows this machine by."""
    return f"{platform.node()}, {len(available())} cores"


def chosen(folder: Path) -> Choice | None:
    """What was measured on this machine; None where nothing was.

    Args:
        folder: of what the workflow remembers (`storage.cache_folder`).
    """
    try:
        stored: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # of no consequence: it can be measured again
    found = stored.get(machine())
    return None if found is None else Choice(**found)


@contextlib.contextmanager
def pinned(threads: int, folder: Path) -> Iterator[list[int]]:
    """Cores of its own for a training of so many threads, if that was chosen here; else none.

    They are of one memory node and locked like GPUs (`execution.device_locks`). Where others have
    too many of them, the training runs on all cores, as it would without.

    Args:
        folder: see `chosen`.
    """
    choice = chosen(folder)
    if choice is None or not choice.pinned or choice.threads != threads:
        yield []
        return
    locks, before = DeviceLocks(lock_folder()), available()
    try:
        own = _taken(locks, threads)
        if own:
            os.sched_setaffinity(0, own)
        yield own
    finally:
        os.sched_setaffinity(0, before)
        locks.release()


def _taken(locks: DeviceLocks, threads: int) -> list[int]:
    for part in nodes():
        names = {f"core {core}": core for core in part}
        taken = locks.try_take(list(names), threads)
        if taken is not None:
            return [names[name] for name in taken]
        # A claim is for who waits.
        locks.release()
    return []
