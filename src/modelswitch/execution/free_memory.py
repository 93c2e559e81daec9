"""How much memory this process may still take."""

from pathlib import Path

_SYSTEM = Path("/proc/meminfo")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def available_memory() -> int:
    """Bytes that the system has left, or what the process's control group (a container's, a
    cluster job's) has left of its limit, if that is less."""
    found = []
    for line in _SYSTEM.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            found.append(1024 * int(value.split()[0]))
    return min([*found, *_left_in_groups()])


def _left_in_groups() -> list[int]:
    """What is left below the limits of the process's control group and of those around it."""
    try:
        own = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    # Version 2 alone has a line without controllers.
    paths = [line.partition("::")[2] for line in own if line.startswith("0::")]
    found = []
    for path in paths:
        group = _CONTROL_GROUPS / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(_CONTROL_GROUPS):
                break
            limit, used = (_number(folder / f"memory.{name}") for name in ("max", "current"))
            if limit is not None and used is not None:
                found.append(max(0, limit - used))
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # No such limit: the file is not there, or says "max".
        return None
