"""IDX files, as MNIST and its kin come: a header with type and shape, then plain numbers.

The format is described at http://yann.lecun.com/exdb/mnist/: two zero bytes, one for the type, one
for the number of dimensions, a big-endian 32-bit integer for each of them, then the values.
"""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from modelswitch.data.folders import shown
from modelswitch.errors import UserError

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_NAME = re.compile(
    r"(?P<before>.*?)(?P<split>train|t10k|test)[-_.](?P<what>images|labels)[-_.]idx\d[-_.]ubyte"
    r"(?P<packed>\.gz)?",
    re.IGNORECASE,
)
_Bytes = BinaryIO | gzip.GzipFile


class Pair(NamedTuple):
    images: Path
    labels: Path


def idx_files(folder: Path) -> dict[str, Pair]:
    """The files of each split, `train` and `test`; packed ones (.gz) where there are no others.

    Raises `UserError` where one is missing, or a folder holds those of several sets.
    """
    if not folder.is_dir():
        raise UserError(f"data.path: {shown(folder)}: no such folder")
    found: dict[tuple[str, str, str], Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            split = "train" if match["split"].lower() == "train" else "test"
            # In this order those that are not packed come last and stay.
            found[match["before"], split, match["what"].lower()] = path
    sets = sorted({before for before, _, _ in found})
    if len(sets) > 1:
        raise UserError(
            f"data.path: {shown(folder)}: holds the sets {', '.join(map(repr, sets))}; "
            "put each into a folder of its own"
        )
    missing = [
        f"{split}-{what}"
        for split in ("train", "test")
        for what in ("images", "labels")
        if not sets or (sets[0], split, what) not in found
    ]
    if missing:
        raise UserError(
            f"data.path: {shown(folder)}: lacks {', '.join(missing)}; expected "
            "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
            "t10k-labels-idx1-ubyte, each as it is or with .gz"
        )
    return {
        split: Pair(found[sets[0], split, "images"], found[sets[0], split, "labels"])
        for split in ("train", "test")
    }


def read_idx(path: Path) -> np.ndarray:
    """The array in a file, in the machine's own byte order; raises `UserError` for what is none."""
    with _opened(path) as file:
        dtype, shape = _header(file, path)
        wanted = math.prod(shape) * dtype.itemsize
        values = _read(file, path, wanted + 1)
    if len(values) != wanted:
        held = "more" if len(values) > wanted else f"{len(values):,}"
        raise UserError(
            f"{shown(path)}: corrupt: its header promises {wanted:,} bytes, and it holds {held}"
        )
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def idx_shape(path: Path) -> tuple[int, ...]:
    """The shape of the array in a file, from its header; raises `UserError`."""
    with _opened(path) as file:
        return _header(file, path)[1]


def _opened(path: Path) -> _Bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return gzip.GzipFile(path) if packed else path.open("rb")
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from error


def _header(file: _Bytes, path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = _read(file, path, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not magic[3]:
        raise UserError(f"{shown(path)}: is no IDX file: it begins with {magic.hex() or 'nothing'}")
    sizes = _read(file, path, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise UserError(f"{shown(path)}: corrupt: its header is cut short")
    return np.dtype(_TYPES[magic[2]]), tuple(int(n) for n in np.frombuffer(sizes, ">u4"))


def _read(file: _Bytes, path: Path, count: int) -> bytes:
    try:
        return file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{shown(path)}: corrupt ({error})") from error
