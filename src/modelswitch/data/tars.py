"""Tar shards, as WebDataset has them: members of one key, the name until its first dot in the last
part, are one sample, and what comes behind that dot says what each is.

The convention is described at https://github.com/webdataset/webdataset.
"""

import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

from modelswitch.data.folders import IMAGE_ENDINGS, shown, some
from modelswitch.data.members import Listed, Member, Row
from modelswitch.errors import UserError

_LABELS = ("cls", "json", "txt", "label", "class")
_BLOCK = 512
_NUMBER = re.compile(r"-?\d+")


def list_tar(path: Path, image: str | None, label: str) -> Listed:
    """The samples of an unpacked tar file.

    Args:
        image: ending of the images; by default every ending of images, one a sample.
        label: ending of what has the label, ``cls`` as text, or ``json:key``.
    """
    ending, _, key = label.partition(":")
    images: dict[str, Member] = {}
    labels: dict[str, int | str] = {}
    left_out: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    size, end = path.stat().st_size, 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if member.isdir():
                    continue
                if not member.isreg() or member.sparse is not None:
                    left_out["link or sparse file in a shard"] += 1
                    continue
                folder, _, last = member.name.rpartition("/")
                begin, dot, own = last.partition(".")
                own = own.lower()
                if not begin or not dot:
                    left_out["hidden file" if dot else "file without an ending"] += 1
                    continue
                name = f"{folder}/{begin}".removeprefix("/").removeprefix("./")
                found = Member(path, member.name, member.offset_data, member.size)
                if found.offset + found.length > size:
                    raise UserError(f"{shown(path)}: cut short in {member.name!r}")
                endings[own] += 1
                is_image = f".{own}".endswith(tuple(IMAGE_ENDINGS)) if image is None else False
                if own == image or is_image:
                    if name in images:
                        raise UserError(
                            f"{shown(path)}: {name!r} has several images, {images[name].name!r} "
                            f"and {member.name!r}; say data.image, the ending of the one to read"
                        )
                    images[name] = found
                elif own == ending:
                    if name in labels:
                        raise UserError(f"{shown(path)}: {name!r} has two labels (.{ending})")
                    labels[name] = _label(found, key)
                else:
                    left_out[f"file ending in .{own}"] += 1
        _refuse_odd_end(path, end)
    except tarfile.TarError as error:
        raise UserError(f"{shown(path)}: cut short, or no unpacked tar file ({error})") from error
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    _refuse_lacking(path, image, label, images, labels, endings)
    rows = [Row(found, labels[name]) for name, found in images.items()]
    return Listed(rows, None, left_out)


def _refuse_odd_end(path: Path, end: int) -> None:
    """Raise unless nothing but zeros, and a block of them, is behind the last member: the library
    takes a header that is cut off, and zeros between two archives, for the end."""
    with path.open("rb") as file:
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise UserError(f"{shown(path)}: cut short behind its first {end:,} bytes")
        while piece := file.read(1 << 20):
            if piece.count(0) < len(piece):
                raise UserError(
                    f"{shown(path)}: has something behind its end, as archives have that were put "
                    "one behind the other; write it as one"
                )


def _refuse_lacking(
    path: Path,
    image: str | None,
    label: str,
    images: dict[str, Member],
    labels: dict[str, int | str],
    endings: Counter[str],
) -> None:
    there = ", ".join(f".{ending} ({count})" for ending, count in endings.most_common(8))
    if not images:
        wanted = f".{image}" if image else "an image's ending"
        raise UserError(f"{shown(path)}: has no file with {wanted}; it has {there or 'none'}")
    ending = label.partition(":")[0]
    if not labels:
        other = next((e for e in _LABELS if e in endings), None)
        hint = {"json": "json:<key>"}.get(other or "", other or "<ending>")
        raise UserError(
            f"{shown(path)}: has no .{ending} files for labels; it has {there}; say data.label: "
            f"{hint}"
        )
    for lacking, what in ((images.keys() - labels, f"label (.{ending})"),
                          (labels.keys() - images, "image")):  # fmt: skip
        if lacking:
            raise UserError(
                f"{shown(path)}: {len(lacking)} of its samples have no {what}: "
                f"{some(sorted(lacking), 4)}"
            )


def _label(member: Member, key: str) -> int | str:
    with member.open("rb") as file:
        content = file.read()
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{shown(str(member))}: is no text in UTF-8") from error
    if not key:
        return int(text) if _NUMBER.fullmatch(text) else text
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise UserError(f"{shown(str(member))}: is no JSON ({error})") from error
    there = list(value) if isinstance(value, dict) else []
    if key not in there:
        raise UserError(f"{shown(str(member))}: has no {key!r}; it has {some(there) or 'no keys'}")
    label = value[key]
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise UserError(
            f"{shown(str(member))}: {key!r} is {json.dumps(label)[:80]}, expected a whole number "
            "or text"
        )
    return label
