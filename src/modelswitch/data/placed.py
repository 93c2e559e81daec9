"""Rows of pixels whose image files stay where people have them, and are decoded as they are used.

The prepared file has of each image where it is and a checksum of its bytes. What is decoded are the
pixels that a file of pixels would have had.
"""

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelswitch.config.pixels import PixelOptions
from modelswitch.data.folders import shown
from modelswitch.data.images import Unreadable, decoded
from modelswitch.data.members import FileOrMember, Member
from modelswitch.errors import UserError
from modelswitch.storage.encoded_rows import EncodedRows
from modelswitch.storage.stored_rows import RowSpool

# Tensors whose names begin so name the files of the rows behind it.
_FILES = "files."


def channels_of(pixels: np.ndarray, grey: bool) -> np.ndarray:
    """uint8 [H, W, C] of a picture, in colour unless all are ``grey``."""
    return np.repeat(pixels[..., None], 1 if grey else 3, -1) if pixels.ndim == 2 else pixels


class PlacedRows(EncodedRows):
    """uint8 [N, H, W, C] of image files. Indexing reads and decodes.

    Args:
        root: folder that the names are below, or the file that all images are in.
        names: the files, below ``root``; "" is that itself.
        index: of every row the number of its file, where its bytes begin there and how many they
            are, int64 [N, 3].
        shape: of all rows that are stored.
        options: how they were read when they were prepared.
        grey: all of them are.
        sums, places: as of `StoredRows`; checksums are of the files' bytes.
    """

    def __init__(
        self,
        root: str,
        names: Sequence[str],
        index: torch.Tensor,
        shape: Sequence[int],
        options: PixelOptions,
        grey: bool,
        sums: torch.Tensor,
        places: torch.Tensor | None = None,
    ) -> None:
        super().__init__((-1, root), 0, shape, torch.empty(0), sums, places)
        self._root, self._names, self._index = root, names, index
        self._options, self._grey = options, grey

    def _at(self, places: torch.Tensor) -> "PlacedRows":
        assert self._sums is not None
        sums = torch.from_numpy(self._sums)
        rest = self._options, self._grey, sums, places
        return PlacedRows(self._root, self._names, self._index, self._stored, *rest)

    def refuse_missing(self) -> None:
        """Raise `UserError` where a file is not there, or too short to be the one that it was."""
        ends: dict[int, int] = {}
        for number, begin, length in self._index[self._places].tolist():
            ends[number] = max(ends.get(number, 0), begin + length)
        for number, end in ends.items():
            path = self._file_of(number)
            try:
                size = path.stat().st_size
            except OSError as error:
                raise self._moved(path, f"cannot be read ({error.strerror})") from error
            if size < end:
                raise self._moved(path, "is shorter than it was")

    def _file_of(self, number: int) -> Path:
        return Path(self._root, self._names[number])

    @staticmethod
    def _moved(path: Path, reason: str) -> UserError:
        return UserError(
            f"{shown(path)}: {reason}, and data.stored: in_place reads it there; put back what was "
            "prepared, or remove data.safetensors to prepare anew"
        )

    def _image(self, place: int) -> bytes:
        number, begin, length = self._index[place].tolist()
        path = self._file_of(number)
        try:
            with path.open("rb") as file:
                file.seek(begin)
                found = file.read(length)
        except OSError as error:
            raise self._moved(path, f"cannot be read ({error.strerror})") from error
        assert self._sums is not None
        if zlib.crc32(found) != self._sums[place]:
            raise self._moved(path, "was altered since it was prepared")
        return found

    def _pixels(self, place: int) -> np.ndarray:
        try:
            pixels = decoded(self._image(place), self._options).pixels
        except Unreadable as reason:
            path = self._file_of(int(self._index[place, 0]))
            raise UserError(f"{shown(path)}: {reason}") from reason
        return channels_of(pixels, self._grey)

    def passport(self) -> dict[str, Any]:
        """What is to be known of them beside tensors; JSON."""
        stated = {key: value for key, value in self._options._asdict().items() if value is not None}
        return {"shape": list(self.shape), "root": self._root, "options": stated,
                "grey": self._grey}  # fmt: skip

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """What a file has of them under ``name`` and beside."""
        held = json.dumps(list(self._names), ensure_ascii=False).encode()
        return {
            name: self._index[self._places],
            _FILES + name: torch.frombuffer(bytearray(held), dtype=torch.uint8),
        }

    @classmethod
    def of(
        cls, tensors: dict[str, torch.Tensor], name: str, sums: torch.Tensor, told: dict[str, Any]
    ) -> "PlacedRows":
        """The rows that `tensors` and `passport` tell of."""
        names = json.loads(tensors[_FILES + name].numpy().tobytes())
        stated: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in told["options"].items()
        }
        options = PixelOptions(**stated)
        return cls(told["root"], names, tensors[name], told["shape"], options, told["grey"], sums)


class PlacedSpool(RowSpool):
    """`RowSpool` that keeps of each row where its image file is."""

    def __init__(self, folder: str | Path, path: Path | None, root: str | Path) -> None:
        super().__init__(folder, path)
        self._root = Path(root).absolute()

    def place(self, file: FileOrMember) -> bytes:
        """What is written for a row that is decoded from a file."""
        held, begin = (file.file, file.offset) if isinstance(file, Member) else (file, 0)
        with file.open("rb") as stream:
            content = stream.read()
        name = Path(os.path.relpath(held, self._root)).as_posix()
        told = ["" if name == "." else name, begin, len(content), zlib.crc32(content)]
        return json.dumps(told).encode()

    def placed(self, options: PixelOptions, grey: bool) -> PlacedRows:
        """All rows that were written."""
        self.flush()
        self._file.seek(0)
        told = [json.loads(self._file.read(length)) for length in self._lengths]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(t[0] for t in told))}
        index = torch.tensor([[numbers[n], begin, size] for n, begin, size, _ in told])
        sums = torch.tensor([crc for *_, crc in told])
        shape = self._shape()
        return PlacedRows(
            str(self._root), list(numbers), index.view(-1, 3), shape, options, grey, sums
        )
