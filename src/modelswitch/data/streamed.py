"""Pictures that go to disk one by one, where there are more than memory holds."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modelswitch.config.pixels import PixelOptions, Range
from modelswitch.data.arrays import COPIES
from modelswitch.data.folders import shown
from modelswitch.data.images import Picture, is_grey, no_file
from modelswitch.data.pixels import facts_of_pictures
from modelswitch.data.samples import Samples, StoredSpec
from modelswitch.errors import UserError
from modelswitch.execution.free_memory import available_memory
from modelswitch.storage.encoded_rows import EncodedSpool
from modelswitch.storage.stored_rows import Rows, RowSpool


def to_be_streamed(spec: StoredSpec, found: Samples) -> bool:
    """Whether the images are not to be in memory all at once while they are prepared."""
    if spec.stored == "jpeg":
        return True
    if spec.keep != "auto":
        return spec.keep == "disk"
    counted = sum(map(len, found.parts.values()))
    samples = (sample for part in found.parts.values() for sample in part)
    first = next(samples, None)
    if first is None:
        return False
    needed = 0
    for name, file in first.files.items():
        size = spec.pixel_options(name).size or _size_of(file)
        needed += 3 * math.prod(size) * counted
    return COPIES * needed > available_memory()


def _size_of(file: Path) -> tuple[int, int]:
    """Height and width from the header of an image; (1, 1) of one that is not read."""
    if no_file(file) is not None:
        return 1, 1
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except (OSError, ValueError, Image.DecompressionBombError):
        # What is wrong with it is told when it is read.
        return 1, 1


class StreamedPictures:
    """What `pixels.pixels_of_pictures` makes of pictures, of those of 8 bits, on disk.

    Args:
        files: all of them, to know whether any is in colour.
        folder: where there is room for them; nothing stays there.
        encode: as JPEG images instead of their pixels.
    """

    def __init__(
        self,
        options: PixelOptions,
        files: Sequence[Path],
        folder: str | Path,
        encode: bool = False,
    ) -> None:
        self._told = "data.stored: jpeg" if encode else "data.keep: disk"
        self._instead = "data.stored: raw" if encode else "data.keep: memory"
        if options.range is not None:
            raise UserError(
                f"data.range: is for images of more than 8 bits, which {self._told} does not "
                f"read; say {self._instead}"
            )
        self._options = options
        self._spool = EncodedSpool(folder) if encode else RowSpool(folder)
        self._grey = options.colour == "grey" or (
            options.colour != "rgb" and all(map(is_grey, files))
        )
        self._splits: list[str] = []
        self._modes: Counter[str] = Counter()
        self._turned = 0

    def add(self, split: str, picture: Picture, file: Path) -> None:
        """One more picture; raises `UserError` where it has more than 8 bits or another size than
        those before it."""
        if picture.depth != 8:
            raise UserError(
                f"{shown(file)}: has more than 8 bits a pixel, which {self._told} does not "
                f"read; save it with 8, or say {self._instead}"
            )
        image = picture.pixels
        if image.ndim == 2:
            image = np.repeat(image[..., None], 1 if self._grey else 3, -1)
        if self._spool.shape not in (None, image.shape):
            height, width = image.shape[:2]
            raise UserError(
                f"{shown(file)}: is {height}x{width}, and images before it are "
                f"{self._spool.shape[0]}x{self._spool.shape[1]} (height x width); set data.size to "
                "resize all"
            )
        self._spool.add(image)
        self._splits.append(split)
        self._modes[picture.mode] += 1
        self._turned += picture.turned

    def pixels(
        self, names: Mapping[str, str]
    ) -> tuple[dict[str, Rows], dict[str, str], dict[int, Range]]:
        """As `pixels.pixels_of_pictures`; ``names`` are what a person knows the splits by."""
        rows = self._spool.stored()
        of = np.asarray(self._splits)
        images: dict[str, Rows] = {
            split: rows.rows(torch.from_numpy(np.flatnonzero(of == split))) for split in names
        }
        modes = Counter({(mode, "8 bit, 0 to 255"): n for mode, n in self._modes.items()})
        by_name = {names[split]: part for split, part in images.items()}
        return images, facts_of_pictures(modes, by_name, self._options, self._turned), {}
