"""What single images are: their content as a number, whether it is one colour, how bright they get.

Of images on disk all of it is found in one pass, the first time that any of it is asked for: to
read and decode hundreds of thousands takes minutes.
"""

import hashlib
from collections.abc import Collection

import numpy as np

from modelswitch.storage.stored_rows import Rows, StoredRows, chunks

# Images looked at at once, so that memory stays flat.
_AT_ONCE = 4096
_CONTENT, _UNIFORM, _BRIGHTEST = range(3)


def contents(images: Rows) -> np.ndarray:
    """int64 [N]: what each image of uint8 [N, H, W, C] shows; equal numbers for equal pixels."""
    return _found(images, _CONTENT)


def uniform(images: Rows) -> np.ndarray:
    """bool [N]: images of one colour (a failed segmentation, say), which show nothing."""
    return _found(images, _UNIFORM).astype(bool)


def brightest(images: Rows) -> np.ndarray:
    """int64 [N]: the largest value of each image, 0 to 255."""
    return _found(images, _BRIGHTEST)


def _found(images: Rows, column: int) -> np.ndarray:
    if isinstance(images, StoredRows):
        return images.told("pictures", lambda every: _looked_at(every, range(3)))[:, column]
    return _looked_at(images, {column})[:, column]


def _looked_at(images: Rows, columns: Collection[int]) -> np.ndarray:
    """int64 [N, 3], of which the columns that are wanted are filled."""
    shape = hashlib.blake2b(repr(tuple(images.shape[1:])).encode(), digest_size=8)
    found, done = np.zeros((len(images), 3), np.int64), 0
    for part in chunks(images, _AT_ONCE):
        rows = slice(done, done := done + len(part))
        if _UNIFORM in columns:
            pixels = part.reshape(len(part), -1, part.shape[-1])
            found[rows, _UNIFORM] = (pixels == pixels[:, :1]).flatten(1).all(1)
        if _BRIGHTEST in columns:
            found[rows, _BRIGHTEST] = part.flatten(1).amax(1)
        if _CONTENT in columns:
            for row, pixels in zip(found[rows], part.flatten(1).numpy(), strict=True):
                total = shape.copy()
                total.update(pixels.data)
                row[_CONTENT] = int.from_bytes(total.digest(), "little", signed=True)
    return found
