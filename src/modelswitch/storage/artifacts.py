"""Files of tensors that are checked when read: safetensors with a checksum and a passport.

Loading one never runs code. Every file carries in its header what it is, of which lineage and
configuration, and a SHA-256 over its tensors, so that a file that was cut short, altered or
belongs elsewhere is refused by name.
"""

import collections
import contextlib
import hashlib
import json
import math
import os
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open

from modelswitch.errors import UserError
from modelswitch.storage.atomic import replacing
from modelswitch.storage.encoded_rows import EncodedRows
from modelswitch.storage.stored_rows import Rows, StoredRows, sums

_KEY = "modelswitch"
_MEANINGS = {
    "job_digest": "belongs to another configuration",
    "data": "belongs to another data set",
    "key": "belongs to another configuration, code or data set",
}


def package_versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: version(name) for name in ("modelswitch", "torch", "torchvision", "safetensors")
    }


# Tensors whose names begin so are checksums of rows themselves, and in no other.
SUMS = "crc32."
# And where each row begins that is encoded.
STARTS = "starts."
_REST, _ENCODED = "rest", "encoded"
# What safetensors calls the types of what is never in memory as a whole.
_TYPES = {torch.uint8: "U8", torch.float16: "F16", torch.float32: "F32"}


def checksum(tensors: Mapping[str, Rows], with_sums: bool = False) -> str:
    """SHA-256 over names, types, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        if name.startswith(SUMS) and not with_sums:
            continue
        stored = tensor.stored_shape() if isinstance(tensor, StoredRows) else tuple(tensor.shape)
        total.update(f"{name} {tensor.dtype} {stored}".encode())
        if isinstance(tensor, StoredRows):
            for chunk in tensor.stored_chunks():
                total.update(_bytes(chunk))
        else:
            total.update(_bytes(tensor.detach().cpu().contiguous()))
    return total.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def save(path: str | Path, tensors: Mapping[str, Rows], passport: dict[str, Any]) -> None:
    """Write ``tensors`` and their ``passport`` (any JSON) atomically."""
    with saving(path, tensors, passport):
        pass


@contextlib.contextmanager
def saving(
    path: str | Path, tensors: Mapping[str, Rows], passport: dict[str, Any]
) -> Iterator[Path]:
    """`save`, but the file, whole already, gets the name of ``path`` only when the block has ended
    well, which can read it before."""
    plain, tied = _untied({n: t for n, t in tensors.items() if not isinstance(t, StoredRows)})
    large = {name: t for name, t in tensors.items() if isinstance(t, StoredRows)}
    sealed = (
        passport | ({"tied": tied} if tied else {}) | {"checksum": checksum({**plain, **large})}
    )
    header = json.dumps(sealed | {"seal": _seal(sealed)}, sort_keys=True)
    # Not save_file: it writes a file of its own beside the part, which a kill would leave.
    stored = safetensors.torch.save(plain, metadata={_KEY: header})
    with replacing(path) as part:
        if large:
            _write_with_rows(part, stored, large)
        else:
            part.write_bytes(stored)
        del stored
        yield part


def _write_with_rows(part: Path, stored: bytes, large: Mapping[str, StoredRows]) -> None:
    """What safetensors has written, with rows behind it that are never in memory as a whole."""
    begin = 8 + int.from_bytes(stored[:8], "little")
    header, end = json.loads(stored[8:begin]), len(stored) - begin
    for name, rows in sorted(large.items()):
        shape = list(rows.stored_shape())
        size = math.prod(shape) * rows.dtype.itemsize
        kind = _TYPES[rows.dtype]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    # Tensors begin at multiples of 8.
    text += b" " * (-len(text) % 8)
    with part.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(memoryview(stored)[begin:])
        for _, rows in sorted(large.items()):
            for chunk in rows.stored_chunks():
                file.write(_bytes(chunk))


def _untied(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """``tensors`` on the CPU, each with memory of its own, and, of those that are another one under
    a second name, as tied weights are, that one's name."""
    plain: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    known: dict[tuple, str] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        same = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and same in known:
            tied[name] = known[same]
            continue
        known[same] = name
        plain[name] = tensor.cpu().contiguous()
    memory = collections.Counter(t.untyped_storage().data_ptr() for t in plain.values())
    # Views of one another: the file has no shared memory.
    views = {n: t for n, t in plain.items() if memory[t.untyped_storage().data_ptr()] > 1}
    return plain | {name: tensor.clone() for name, tensor in views.items()}, tied


def _seal(passport: dict[str, Any]) -> str:
    """SHA-256 over all else in a passport."""
    rest = {key: value for key, value in passport.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except SafetensorError as error:
        raise UserError(f"{path}: cut short or not a safetensors file ({error})") from error


def read_passport(path: str | Path) -> dict[str, Any]:
    """The passport alone; raises `UserError` if the file is none of this project's."""
    with _opened(path) as stored:
        return _passport_of(path, stored)


def _passport_of(path: str | Path, stored: Any) -> dict[str, Any]:
    header = (stored.metadata() or {}).get(_KEY)
    if header is None:
        raise UserError(f"{path}: carries no modelswitch header, so its origin is unknown")
    try:
        passport = json.loads(header)
    except ValueError as error:
        raise UserError(f"{path}: its header is not JSON ({error})") from error
    if not isinstance(passport, dict) or passport.get("seal") != _seal(passport):
        raise UserError(f"{path}: altered since it was written (its header does not match)")
    return passport


def check_passport(path: str | Path, passport: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise `UserError` where ``passport`` differs from ``expected``."""
    for key, value in expected.items():
        if passport.get(key) != value:
            meaning = _MEANINGS.get(key, "is not the file that is expected here")
            found = passport.get(key)
            raise UserError(f"{path}: {meaning} (its {key} is {found!r}, expected {value!r})")


def load(path: str | Path, **expected: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """All tensors and the passport, after checking the checksum and the ``expected`` entries."""
    with _opened(path) as stored:
        passport = _passport_of(path, stored)
        check_passport(path, passport, expected)
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    if checksum(tensors) != passport.get("checksum"):
        raise UserError(f"{path}: altered since it was written (its checksum does not match)")
    for name, other in passport.get("tied", {}).items():
        tensors[name] = tensors[other]
    return tensors, passport


def load_with_rows(
    path: str | Path, large: Collection[str], **expected: Any
) -> tuple[dict[str, torch.Tensor], dict[str, StoredRows], dict[str, Any]]:
    """All tensors but the ``large`` ones, these as rows that stay on disk, and the passport.

    Rows with checksums of their own (`with_row_sums`) are checked as they are read. A file without
    is read once here, as `load` would, and not kept.
    """
    passport = read_passport(path)
    check_passport(path, passport, expected)
    with _opened(path) as stored:
        small = {name: stored.get_tensor(name) for name in stored.keys() if name not in large}  # noqa: SIM118
    descriptor = os.open(path, os.O_RDONLY)
    length = int.from_bytes(os.read(descriptor, 8), "little")
    header = json.loads(os.read(descriptor, length))
    rows: dict[str, StoredRows] = {}
    for name in large:
        begin = 8 + length + header[name]["data_offsets"][0]
        file, crc = (descriptor, path), small.get(SUMS + name)
        if (shape := passport.get(_ENCODED, {}).get(name)) is not None:
            rows[name] = EncodedRows(file, begin, shape, small[STARTS + name], crc)
        else:
            rows[name] = StoredRows(file, begin, header[name]["shape"], crc)
    rest = passport.get(_REST)
    found = checksum({**small, **rows}) if rest is None else checksum(small, with_sums=True)
    if found != (rest or passport.get("checksum")):
        raise UserError(f"{path}: altered since it was written (its checksum does not match)")
    return small, rows, passport


def is_encoded(path: str | Path) -> bool:
    """Whether a file has rows that are encoded, which `load` does not read."""
    return bool(read_passport(path).get(_ENCODED))


def stands_for(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What a passport says of tensors that stand for others of such ``shapes``, for `shape_of`."""
    return {_ENCODED: {name: list(shape) for name, shape in shapes.items()}}


def with_row_sums(
    tensors: Mapping[str, Rows], large: Collection[str]
) -> tuple[dict[str, Rows], dict[str, Any]]:
    """``tensors`` with checksums of every row of the ``large`` ones, and what the passport says of
    all but these: to be saved, so that `load_with_rows` need not read all before it begins.

    Of rows that are encoded it is also told where each begins; they cannot be saved without."""
    added = {SUMS + name: sums(tensors[name]) for name in large}
    shapes = {}
    for name in large:
        if isinstance(rows := tensors[name], EncodedRows):
            added[STARTS + name] = F.pad(rows.lengths.cumsum(0), (1, 0))
            shapes[name] = list(rows.shape)
    small = {name: tensor for name, tensor in tensors.items() if name not in large}
    told: dict[str, Any] = {_REST: checksum({**small, **added}, with_sums=True)}
    return {**tensors, **added}, told | ({_ENCODED: shapes} if shapes else {})


def shape_of(path: str | Path, name: str) -> tuple[int, ...]:
    """A tensor's shape, from the file's header alone; of encoded rows that of what they encode."""
    with _opened(path) as stored:
        header = json.loads((stored.metadata() or {}).get(_KEY, "{}"))
        if (shape := header.get(_ENCODED, {}).get(name)) is not None:
            return tuple(shape)
        return tuple(stored.get_slice(name).get_shape())


def shapes_of(path: str | Path) -> dict[str, list[int]]:
    """All tensors' shapes by name, from the file's header alone."""
    with _opened(path) as stored:
        return {name: stored.get_slice(name).get_shape() for name in sorted(stored.keys())}


class MappedTensor:
    """The only tensor of a file, read a slice at a time from the mapped file.

    Checked like any other file, also slice by slice: it never is in memory as a whole.
    """

    def __init__(self, path: str | Path, name: str, **expected: Any) -> None:
        passport = read_passport(path)
        check_passport(path, passport, expected)
        self.checksum: str = passport["checksum"]
        self._file = safe_open(path, framework="pt")
        self._slice = self._file.get_slice(name)
        self.shape = tuple(self._slice.get_shape())
        total = hashlib.sha256()
        for index in range(self.shape[0]):
            if index == 0:
                total.update(f"{name} {self[0].dtype} {self.shape}".encode())
            total.update(_bytes(self[index]))
        if total.hexdigest() != self.checksum:
            raise UserError(f"{path}: altered since it was written (its checksum does not match)")

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._slice[index]
