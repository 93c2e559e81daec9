"""One reader for .npz archives: which arrays hold what, and the arrays."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from modelswitch.config.data_base import Split
from modelswitch.data.folders import WHOLE, shown, split_named
from modelswitch.data.images import no_file
from modelswitch.errors import UserError

T = TypeVar("T")
Keys = dict[str, dict[str, str]]


def read_npz(path: Path, read: Callable[[Mapping[str, np.ndarray]], T]) -> T:
    """What ``read`` makes of an archive whose arrays are read one by one, without running code
    from it; raises `UserError`."""
    if (reason := no_file(path)) is not None:
        raise UserError(f"data.path: {shown(path)}: {reason}")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UserError(f"{shown(path)}: is a single array, not a .npz archive")
        with archive:
            return read(archive)
    except UserError:
        raise
    except Exception as error:
        # zipfile, zlib and numpy's header parser have a dozen kinds of error for changed bytes.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{shown(path)}: corrupt, or not a .npz of plain arrays ({reason})"
        ) from error


def keys_in(
    there: Iterable[str],
    required: Iterable[str],
    optional: Iterable[str],
    where: str,
    splits: Mapping[Split, str] | None = None,
) -> tuple[Keys, list[str]]:
    """The keys of an archive by what they begin with and split, and those that are not used.

    ``x_train``, ``x_val`` and ``x_test`` are three splits of ``x``; ``x`` alone is all of it. Where
    ``splits`` says which ending is which split, no other ending is one.
    Raises `UserError` for a required one that is missing in a split.
    """
    there, required = list(there), list(required)
    stated = {ending: split for split, ending in (splits or {}).items()}
    endings: dict[str, str] = {split: ending for ending, split in stated.items()}
    keys: Keys = {name: {} for name in (*required, *optional)}
    unused = []
    for key in there:
        begin, _, end = key.rpartition("_")
        meant = stated.get(end) if stated else split_named(end)
        name, split = (key, WHOLE) if key in keys and not stated else (begin, meant)
        if name not in keys or split is None:
            unused.append(key)
        elif split in keys[name]:
            raise UserError(f"{where}: has {keys[name][split]!r} and {key!r} for one split")
        else:
            keys[name][split] = key
    found = {split for name in required for split in keys[name]}
    needed = {WHOLE, "train", "test"} | found | set(stated.values())
    missing = [
        f"{name}_{endings.get(split, split)}" if split else name
        for name in required
        for split in ([WHOLE] if found == {WHOLE} else ("train", "test", "validation"))
        if split in needed and split not in keys[name]
    ]
    if missing or (WHOLE in found and len(found) > 1):
        lacking = f"lacks {', '.join(missing)}; " if missing else "has a split for some only; "
        raise UserError(f"{where}: {lacking}it has {', '.join(there) or 'none'}")
    return keys, unused
