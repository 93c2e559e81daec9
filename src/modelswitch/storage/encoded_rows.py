"""Rows of pixels that stay on disk as JPEG images: a tenth of the bytes, and not quite the pixels.

What is decoded is the same on every reading; against what was encoded it is a little off.
"""

import contextlib
import functools
import io
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modelswitch.errors import UserError
from modelswitch.storage.stored_rows import RowSpool, StoredRows

# Of what photographs are usually kept at, so that little is lost again.
QUALITY = 95
_AT_ONCE = 64  # rows that one thread reads and decodes before it hears of others
_CHUNK_BYTES = 32 * 2**20


def encoded(row: np.ndarray) -> bytes:
    """A JPEG image of uint8 [H, W, C], C 1 or 3, with colours at full resolution."""
    buffer = io.BytesIO()
    Image.fromarray(row[..., 0] if row.shape[2] == 1 else row).save(
        buffer, "JPEG", quality=QUALITY, subsampling=0
    )
    return buffer.getvalue()


class EncodedRows(StoredRows):
    """uint8 [N, H, W, C] of a file that has a JPEG image of each. Indexing reads and decodes.

    Args:
        file, offset, shape, sums, places: as of `StoredRows`; checksums are of what is stored.
        starts: where each image begins behind ``offset``, and where the last one ends, int64
            [N + 1].
    """

    def __init__(
        self,
        file: tuple[int, str | Path],
        offset: int,
        shape: Sequence[int],
        starts: torch.Tensor,
        sums: torch.Tensor | None = None,
        places: torch.Tensor | None = None,
    ) -> None:
        super().__init__(file, offset, shape, sums, places)
        self._starts = starts.numpy()

    def _at(self, places: torch.Tensor) -> "EncodedRows":
        sums = None if self._sums is None else torch.from_numpy(self._sums)
        starts = torch.from_numpy(self._starts)
        return EncodedRows(self._file, self._offset, self._stored, starts, sums, places)

    @property
    def lengths(self) -> torch.Tensor:
        """Bytes of each image, int64 [N]."""
        places = self._places.numpy()
        return torch.from_numpy(self._starts[places + 1] - self._starts[places])

    def stored_shape(self) -> tuple[int, ...]:
        return (int(self.lengths.sum()),)

    def stored_chunks(self) -> Iterator[torch.Tensor]:
        waiting: list[bytes] = []
        held = 0
        for place in self._places.tolist():
            waiting.append(self._image(place))
            held += len(waiting[-1])
            if held >= _CHUNK_BYTES:
                yield torch.frombuffer(bytearray(b"".join(waiting)), dtype=torch.uint8)
                waiting, held = [], 0
        if waiting:
            yield torch.frombuffer(bytearray(b"".join(waiting)), dtype=torch.uint8)

    def _image(self, place: int) -> bytes:
        """What is stored of one row, held against its checksum."""
        descriptor, path = self._file
        start, end = self._starts[place : place + 2].tolist()
        found = os.pread(descriptor, end - start, self._offset + start)
        if len(found) < end - start:
            raise UserError(f"{path}: cut short before the end of row {place}")
        if self._sums is not None and zlib.crc32(found) != self._sums[place]:
            raise UserError(
                f"{path}: row {place} was altered since it was written (its checksum does not "
                "match)"
            )
        return found

    def _read(self, places: torch.Tensor, result: np.ndarray) -> None:
        rows = list(zip(places.tolist(), result, strict=True))
        threads = torch.get_num_threads()
        if len(rows) < 2 or threads < 2:
            self._decode(rows)
            return
        at_once = max(1, min(_AT_ONCE, -(-len(rows) // threads)))
        parts = [rows[at : at + at_once] for at in range(0, len(rows), at_once)]
        # Decoding lets other threads run, and reads the same whoever does it.
        list(_pool(threads, os.getpid()).map(self._decode, parts))

    def _decode(self, rows: Sequence[tuple[int, np.ndarray]]) -> None:
        expected = self._stored[1:]
        for place, row in rows:
            pixels = self._pixels(place)
            if pixels.shape != expected:
                raise UserError(f"{self._file[1]}: row {place} is {pixels.shape}, not {expected}")
            row[:] = pixels.reshape(-1)

    def _pixels(self, place: int) -> np.ndarray:
        """uint8 [H, W, C] of one row."""
        content = self._image(place)
        try:
            return _decoder()(content)
        except (OSError, SyntaxError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{self._file[1]}: row {place} is no JPEG image ({str(error).splitlines()[0]})"
            ) from error


@functools.cache
def _decoder() -> Callable[[bytes], np.ndarray]:
    """What makes uint8 [H, W, C] of a JPEG image, of one channel or three.

    That of torchvision where it is built with one, which takes six sevenths of Pillow's time and
    gives the same pixels: at full resolution of colours all releases of libjpeg-turbo do.
    """
    with contextlib.suppress(ImportError, AttributeError, RuntimeError):
        # Where the operator is registered, and deprecated is no more than the function around it.
        import torchvision.io  # noqa: F401

        by_torchvision = torch.ops.image.decode_jpeg

        def pixels(content: bytes) -> np.ndarray:
            held = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            # As stored (0), upright or not.
            return by_torchvision(held, 0, False).permute(1, 2, 0).numpy()

        shades = np.arange(16 * 24 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 24, 3)
        # It is looked up at the first call, where a build without libjpeg says so.
        if np.array_equal(pixels(encoded(shades)), by_pillow(encoded(shades))):
            return pixels
    return by_pillow


def by_pillow(content: bytes) -> np.ndarray:
    """uint8 [H, W, C] of a JPEG image, of one channel or three."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """The threads that decode: the same for all rows, for to begin them takes as long as some
    images. A process that was forked off has none of them and gets its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"decode-{process}")


class EncodedSpool(RowSpool):
    """`RowSpool` that keeps a JPEG image of each row."""

    def _bytes(self, row: np.ndarray) -> bytes:
        return encoded(row)

    def stored(self) -> EncodedRows:
        starts = torch.tensor([0, *np.cumsum(self._lengths)], dtype=torch.int64)
        return EncodedRows(self._reader(), 0, self._shape(), starts, self._checksums())
