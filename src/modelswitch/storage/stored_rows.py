"""Rows of bytes that stay on disk: images of which there are more than memory holds.

A file of tensors has one of them as a block of equal rows. They are read when they are asked for,
by their places, and each can be held against a checksum of its own, so that a row that was cut
short or altered is named before it is used.
"""

import contextlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelswitch.errors import UserError

# What is read or written at once where all of it is gone through.
_CHUNK_BYTES = 32 * 2**20


class StoredRows:
    """uint8 [N, …] of a file. Indexing reads; `rows` chooses and does not.

    Args:
        file: descriptor of the file, and what a person knows it by.
        offset: where its first row begins.
        shape: of all that is stored there, in rows first.
        sums: CRC-32 of every stored row, int64 [N], to be held against what is read.
        places: which of the stored rows these are, int64; all of them by default.
    """

    dtype: torch.dtype = torch.uint8

    def __init__(
        self,
        file: tuple[int, str | Path],
        offset: int,
        shape: Sequence[int],
        sums: torch.Tensor | None = None,
        places: torch.Tensor | None = None,
    ) -> None:
        self._file, self._offset = file, offset
        self._sums = None if sums is None else sums.numpy()
        self._stored = tuple(shape)
        self._size = int(np.prod(self._stored[1:]))
        self._places = torch.arange(shape[0]) if places is None else places
        self.shape = torch.Size((len(self._places), *self._stored[1:]))
        self._known: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._places)

    def rows(self, index: torch.Tensor) -> "StoredRows":
        """The rows at ``index``, int64, or bool [N], without reading them."""
        return self.placed(self._places[index.cpu()])

    def placed(self, places: torch.Tensor) -> "StoredRows":
        """The rows of the file at these places."""
        rows = self._at(places)
        rows._known = self._known
        return rows

    def told(self, name: str, find: Callable[["StoredRows"], np.ndarray]) -> np.ndarray:
        """What ``find`` says of each of these rows [N, …]; it is asked once for all rows of the
        file, whichever of them are chosen, for to read them all takes minutes."""
        if name not in self._known:
            self._known[name] = find(self.placed(torch.arange(self._stored[0])))
        return self._known[name][self._places.numpy()]

    def _at(self, places: torch.Tensor) -> "StoredRows":
        sums = None if self._sums is None else torch.from_numpy(self._sums)
        return StoredRows(self._file, self._offset, self._stored, sums, places)

    def __getitem__(self, index: Any) -> torch.Tensor:
        """The rows at a slice or at a tensor of places, or one row, read from the file."""
        chosen = self._places[index.cpu() if isinstance(index, torch.Tensor) else index]
        result = np.empty((chosen.numel(), self._size), np.uint8)
        self._read(chosen.reshape(-1), result)
        return torch.from_numpy(result).view(*chosen.shape, *self._stored[1:])

    def chunks(self) -> Iterator[torch.Tensor]:
        """All rows in their order, some at a time."""
        step = max(1, _CHUNK_BYTES // max(1, self._size))
        for start in range(0, len(self), step):
            yield self[start : start + step]

    def stored_shape(self) -> tuple[int, ...]:
        """Of the tensor that a file has of these rows."""
        return tuple(self.shape)

    def stored_chunks(self) -> Iterator[torch.Tensor]:
        """What a file has of these rows, uint8, some at a time."""
        yield from self.chunks()

    def _read(self, places: torch.Tensor, result: np.ndarray) -> None:
        """Rows that lie one after the other are read in one go."""
        if not len(places):
            return
        borders = (torch.nonzero(places[1:] != places[:-1] + 1).squeeze(1) + 1).tolist()
        descriptor, path = self._file
        for start, end in zip([0, *borders], [*borders, len(places)], strict=True):
            first = int(places[start])
            wanted = result[start:end].reshape(-1)
            offset = self._offset + first * self._size
            done = 0
            while done < len(wanted):
                # Linux reads 2 GiB at most.
                read = os.preadv(descriptor, [wanted[done : done + 2**30].data], offset + done)
                if not read:
                    raise UserError(f"{path}: cut short before the end of row {first}")
                done += read
            if self._sums is not None:
                for row in range(start, end):
                    if zlib.crc32(result[row].data) != self._sums[first + row - start]:
                        raise UserError(
                            f"{path}: row {first + row - start} was altered since it was written "
                            "(its checksum does not match)"
                        )


class _Spool:
    """A file that is written part by part, to be read when all is there.

    Args:
        folder: where there is room for it.
        path: a file there, which is kept; by default it has no name, so that nothing is left of it
            when the process ends, however it does.
    """

    def __init__(self, folder: str | Path, path: Path | None = None) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        if path is None:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        else:
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        self._where = Path(folder)

    def _write(self, data: bytes | memoryview) -> None:
        with self._named():
            self._file.write(data)

    def flush(self) -> None:
        """Hand all that was written to the system, where it outlives this process."""
        with self._named():
            self._file.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """A full disk by itself names nothing."""
        try:
            yield
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(self._where)) from error

    def _reader(self) -> tuple[int, Path]:
        self.flush()
        # Another descriptor, which lives as long as the rows do and not as this object does.
        return os.dup(self._file.fileno()), self._where


class RowSpool(_Spool):
    """Rows of one shape that are written one by one, to be read as `StoredRows`.

    Args:
        folder, path: as of `_Spool`.
    """

    def __init__(self, folder: str | Path, path: Path | None = None) -> None:
        super().__init__(folder, path)
        self._sums: list[int] = []
        self._lengths: list[int] = []
        self._marked = self._end = 0
        self.shape: tuple[int, ...] | None = None

    def add(self, row: np.ndarray, data: bytes | None = None) -> None:
        """One more row, uint8 of the shape that the first one had; ``data`` is what is written of
        it, where the row alone does not say."""
        if self.shape is None:
            self.shape = row.shape
        assert row.dtype == np.uint8
        assert row.shape == self.shape
        data = self._bytes(row) if data is None else data
        self._write(data)
        self._sums.append(zlib.crc32(data))
        self._lengths.append(len(data))

    def _bytes(self, row: np.ndarray) -> bytes:
        """What is written of a row."""
        return np.ascontiguousarray(row).tobytes()

    def mark(self) -> None:
        """All rows until here are to be kept."""
        self._end += sum(self._lengths[self._marked :])
        self._marked = len(self._sums)

    def unmarked(self) -> tuple[tuple[int, ...] | None, list[int], list[int]]:
        """The shape of a row, and the checksum and the length of every row since the last mark:
        what `again` has to know of them."""
        return self.shape, self._sums[self._marked :], self._lengths[self._marked :]

    def again(
        self, shape: Sequence[int] | None, sums: Sequence[int], lengths: Sequence[int]
    ) -> bool:
        """Take rows that lie next in the file already; whether they are whole."""
        for expected, length in zip(sums, lengths, strict=True):
            data = self._file.read(length)
            if len(data) < length or zlib.crc32(data) != expected:
                return False
        if shape is not None:
            self.shape = tuple(shape)
        self._sums += sums
        self._lengths += lengths
        return True

    def forget_rest(self) -> None:
        """Forget what is behind the last mark, also what the file has there."""
        del self._sums[self._marked :], self._lengths[self._marked :]
        if not self._sums:
            self.shape = None
        self._file.seek(self._end)
        self._file.truncate()

    def stored(self) -> StoredRows:
        return StoredRows(self._reader(), 0, self._shape(), self._checksums())

    def _shape(self) -> tuple[int, ...]:
        return len(self._sums), *(self.shape or ())

    def _checksums(self) -> torch.Tensor:
        return torch.tensor(self._sums, dtype=torch.int64)


class StoredValues(StoredRows):
    """A tensor of any type in a file, to be saved with others; indexing gives its bytes."""

    def __init__(
        self, file: tuple[int, str | Path], shape: Sequence[int], dtype: torch.dtype
    ) -> None:
        self._values = tuple(shape)
        super().__init__(file, 0, (int(np.prod(shape[:-1])), shape[-1] * dtype.itemsize))
        self.dtype = dtype

    def stored_shape(self) -> tuple[int, ...]:
        return self._values

    def stored_chunks(self) -> Iterator[torch.Tensor]:
        for part in self.chunks():
            yield part.view(self.dtype)


class ValueSpool(_Spool):
    """Numbers that are written part by part, to be saved as one tensor that is never in memory as a
    whole."""

    def __init__(self, folder: str | Path, dtype: torch.dtype) -> None:
        super().__init__(folder)
        self._dtype = dtype

    def add(self, values: torch.Tensor) -> None:
        """The next ones, of the type that all have."""
        assert values.dtype == self._dtype
        self._write(values.contiguous().view(torch.uint8).numpy().data)

    def stored(self, shape: Sequence[int]) -> StoredValues:
        """All of them as a tensor of that shape."""
        return StoredValues(self._reader(), shape, self._dtype)


Rows = torch.Tensor | StoredRows


def chosen(rows: Rows, index: torch.Tensor) -> Rows:
    """``rows[index]``, which stay on disk if they are there; int64, or bool [N]."""
    return rows.rows(index) if isinstance(rows, StoredRows) else rows[index]


def chunks(rows: Rows, most: int) -> Iterator[torch.Tensor]:
    """All rows in their order, ``most`` at a time, or fewer where they are large and on disk."""
    if isinstance(rows, StoredRows):
        yield from rows.chunks()
    else:
        yield from rows.split(most)


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of all ``parts``, one after the other; those on disk are of one file."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if not isinstance(first, StoredRows):
        return torch.cat(list(parts))  # type: ignore[arg-type]
    places = [part._places for part in parts if isinstance(part, StoredRows)]
    assert len(places) == len(parts)
    assert all(part._file == first._file for part in parts)  # type: ignore[union-attr]
    return first.placed(torch.cat(places))


def sums(rows: Rows) -> torch.Tensor:
    """CRC-32 of every row, int64 [N]."""
    if isinstance(rows, StoredRows) and rows._sums is not None:
        return torch.from_numpy(rows._sums)[rows._places]
    found = [zlib.crc32(row.numpy().data) for part in chunks(rows, 64) for row in part]
    return torch.tensor(found, dtype=torch.int64)
