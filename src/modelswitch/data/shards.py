"""Samples in files that hold many of them: tar shards and Arrow tables.

Their images are read where they lie. What is listed of a file is remembered while it stays the
same and the process lives, for it is asked for several times.
"""

import fnmatch
import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from modelswitch.config.data import ArrowData, WebDatasetData
from modelswitch.config.data_base import ShardsData, Split
from modelswitch.data.class_numbers import named_classes
from modelswitch.data.folders import WHOLE, shown, some, split_named
from modelswitch.data.members import Listed, Member, Row
from modelswitch.data.tars import list_tar
from modelswitch.errors import UserError

_WORD = re.compile(r"[^\W\d_]+")
_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")


class ShardSamples(NamedTuple):
    """Of every split its images, each with the name of its class and its group; the names of all
    classes in their order, where the data have one; what was left out, by reason."""

    parts: dict[str, list[tuple[Member, str, str | None]]]
    class_names: list[str] | None
    left_out: Counter[str]


def shard_samples(spec: ShardsData) -> ShardSamples:
    """All samples; raises `UserError` where it is not clear what they are."""
    files, left_out = shard_files(spec)
    rows: dict[str, list[Row]] = {}
    stated = spec.class_names if isinstance(spec, WebDatasetData) else None
    names = stated
    first: Path | None = None
    for split, part in files.items():
        rows[split] = []
        for path in part:
            found = listed(spec, path)
            if stated is None:
                if first is not None and found.class_names != names:
                    raise UserError(
                        f"{shown(path)}: names its classes otherwise than {shown(first)}"
                    )
                names = found.class_names
            first = first or path
            rows[split] += found.rows
            # A column is left out once, in however many files it is.
            once = isinstance(spec, ArrowData)
            left_out = left_out | found.left_out if once else left_out + found.left_out
        if not rows[split]:
            raise UserError(f"{shown(part[0])}: has no image" + f" for {split}" * bool(split))
    every = [row for part in rows.values() for row in part]
    classes = iter(named_classes([row.label for row in every], shown(spec.path), names))
    parts = {s: [(r.image, next(classes), r.group) for r in part] for s, part in rows.items()}
    return ShardSamples(parts, names, left_out)


def shard_files(spec: ShardsData) -> tuple[dict[str, list[Path]], Counter[str]]:
    """The files of each split, or all under `WHOLE`, and how many were left out, by reason.

    Raises `UserError` where there are none, or it is not clear which is of which split.
    """
    root, ending = Path(spec.path), ".tar" if isinstance(spec, WebDatasetData) else ".arrow"
    if root.is_file():
        return {WHOLE: [root]}, Counter()
    if not root.is_dir():
        raise UserError(f"data.path: {shown(root)}: no such file or folder")
    below = {path: path.relative_to(root) for path in sorted(root.rglob("*"))}
    seen = [p for p, place in below.items() if not any(n.startswith(".") for n in place.parts)]
    if ending == ".tar" and (packed := [p for p in seen if p.name.lower().endswith(_PACKED)]):
        raise UserError(
            f"{shown(packed[0])}: is packed, and no image in it can be found without reading all; "
            "unpack it to a .tar"
        )
    files = [p for p in seen if p.suffix.lower() == ending and p.is_file()]
    files = files if ending == ".tar" else [p for p in files if _is_data(p)]
    if not files:
        raise UserError(f"data.path: {shown(root)}: has no {ending} file in it or below")
    places = {path: below[path].as_posix() for path in files}
    if spec.splits:
        return _as_stated(spec.splits, places, root)
    parts: dict[str, list[Path]] = {}
    for path, place in places.items():
        said = {split_named(word) for word in _WORD.findall(place.removesuffix(ending))} - {None}
        if len(said) > 1:
            raise UserError(f"{shown(path)}: may be of several splits; say data.splits")
        parts.setdefault(next(iter(said), None) or WHOLE, []).append(path)
    if spec.splits == {} or parts.keys() == {"train"}:
        return {WHOLE: files}, Counter()
    if parts.keys() != {WHOLE} and (WHOLE in parts or not {"train", "test"} <= parts.keys()):
        told = "; ".join(
            f"{split or 'none'}: {some([places[p] for p in part], 2)}"
            for split, part in parts.items()
        )
        raise UserError(
            f"{shown(root)}: its files look like splits ({told}), of which train and test are "
            "needed; say which is what, for instance data.splits: {train: 'train-*', "
            "validation: 'val-*'}, or data.splits: none"
        )
    return parts, Counter()


def _as_stated(
    splits: Mapping[Split, str], places: dict[Path, str], root: Path
) -> tuple[dict[str, list[Path]], Counter[str]]:
    parts: dict[str, list[Path]] = {}
    for split, pattern in splits.items():
        begin = pattern.rstrip("/") + "/"
        parts[split] = [
            path
            for path, place in places.items()
            if place.startswith(begin)
            or any(fnmatch.fnmatchcase(place, pattern + end) for end in ("", path.suffix))
        ]
        if not parts[split]:
            raise UserError(
                f"data.splits: {pattern!r} is no folder and no file in {shown(root)}, which has "
                f"{some(places.values(), 4)}"
            )
    used = Counter(path for part in parts.values() for path in part)
    twice = [places[path] for path, count in used.items() if count > 1]
    if twice:
        raise UserError(f"data.splits: {some(twice, 3)} would be in two splits")
    return parts, Counter({"file of no split": len(places) - len(used)})


def _is_data(path: Path) -> bool:
    """Whether a table is one of those that its data set says it has, if it does: `datasets` keeps
    other tables beside them."""
    state = path.with_name("state.json")
    if not state.is_file():
        return True
    try:
        told = json.loads(state.read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in told["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{shown(state)}: says not which files are the data ({error!r})") from error
    if told.get("_indices_files") or told.get("_indices_data_files"):
        raise UserError(
            f"{shown(state)}: chooses among rows; save the data set after flatten_indices()"
        )
    missing = [name for name in names if not path.with_name(name).is_file()]
    if missing:
        raise UserError(f"{shown(path.parent)}: lacks {some(missing)}, which state.json names")
    return path.name in names


def listed(spec: ShardsData, path: Path) -> Listed:
    """What a file holds; raises `UserError` where that is not clear."""
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    now = (state.st_size, state.st_mtime_ns, state.st_ino)
    if isinstance(spec, ArrowData):
        # Nobody else waits for it to be imported.
        from modelswitch.data.arrow import list_table

        return _remembered(list_table, path, now, (spec.image, spec.label, spec.group))
    assert isinstance(spec, WebDatasetData)
    return _remembered(list_tar, path, now, (spec.image, spec.label))


@functools.lru_cache(maxsize=4096)
def _remembered(
    read: Callable[..., Listed], path: Path, state: tuple[int, ...], keys: tuple[str | None, ...]
) -> Listed:
    return read(path, *keys)
