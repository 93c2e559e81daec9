"""Pictures that go to disk one by one, where there are more than memory holds."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from modelswitch.config.pixels import PixelOptions, Range
from modelswitch.data.arrays import COPIES
from modelswitch.data.folders import shown
from modelswitch.data.images import Picture, PictureReader, is_grey, no_file
from modelswitch.data.members import FileOrMember
from modelswitch.data.pixels import facts_of_pictures
from modelswitch.data.placed import PlacedSpool, channels_of
from modelswitch.data.samples import Sample, Samples, StoredSpec
from modelswitch.errors import UserError
from modelswitch.execution.free_memory import available_memory
from modelswitch.storage.encoded_rows import EncodedSpool
from modelswitch.storage.stored_rows import Rows, RowSpool
from modelswitch.storage.unfinished_rows import UnfinishedRows


def to_be_streamed(spec: StoredSpec, found: Samples) -> bool:
    """Whether the images are not to be in memory all at once while they are prepared."""
    if spec.stored != "raw":
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


def _size_of(file: FileOrMember) -> tuple[int, int]:
    """Height and width from the header of an image; (1, 1) of one that is not read."""
    if no_file(file) is not None:
        return 1, 1
    try:
        with file.open("rb") as stream, Image.open(stream) as image:
            return image.height, image.width
    except (OSError, ValueError, Image.DecompressionBombError):
        # What is wrong with it is told when it is read.
        return 1, 1


class Room(NamedTuple):
    """Where images may be laid down while they are prepared, if there are more than memory holds.

    What lies there has to be removed (`unfinished_rows.remove`) when all is written.

    Args:
        folder: where there is space for them.
        identity: what decides over what is made of them; a preparation that was killed is gone on
            with by one of the same identity.
        report: called with a line now and then.
    """

    folder: Path
    identity: str
    report: Callable[[str], None] = lambda line: None


class Streams:
    """What `pixels.pixels_of_pictures` makes of pictures, of those of 8 bits, on disk; goes on
    behind samples whose pictures were laid down by a preparation that was killed.

    Args:
        files: all of each data set, to know whether any is in colour.
        total: samples that there are.
    """

    def __init__(
        self, spec: StoredSpec, files: Mapping[str, Sequence[FileOrMember]], room: Room, total: int
    ) -> None:
        makers: dict[str, Callable[[Path], RowSpool]] = {
            "raw": partial(RowSpool, room.folder),
            "jpeg": partial(EncodedSpool, room.folder),
            "in_place": partial(PlacedSpool, room.folder, root=spec.path),
        }
        told, instead = (
            ("data.keep: disk", "data.keep: memory")
            if spec.stored == "raw"
            else (f"data.stored: {spec.stored}", "data.stored: raw")
        )
        if spec.stored == "in_place" and spec.frames == "all":
            raise UserError(
                "data.frames: all makes several images of a file, of which data.stored: in_place "
                "reads one; say frames: first, or data.stored: jpeg"
            )
        if any(spec.pixel_options(name).range is not None for name in files):
            raise UserError(
                f"data.range: is for images of more than 8 bits, which {told} does not read; say "
                f"{instead}"
            )
        self._unfinished = UnfinishedRows(
            room.folder, room.identity, dict.fromkeys(files, makers[spec.stored])
        )
        if self._unfinished.begun_anew:
            room.report(
                "begins anew: what a preparation left that was cut short is of other data, "
                "settings, code or libraries"
            )
        known = self._unfinished.notes()
        grey = next(known, None)
        if grey is None:
            grey = {n: _all_grey(spec.pixel_options(n), each) for n, each in files.items()}
            self._unfinished.note(grey)
        elif done := len(self._unfinished) - 1:
            room.report(f"goes on behind {done:,} of {total:,} samples that were read before")
        self._known = known
        self._pictures = {
            name: StreamedPictures(spec.pixel_options(name), spool, grey[name], told, instead)
            for name, spool in self._unfinished.spools.items()
        }

    def again(self, split: str, sample: Sample, reader: PictureReader) -> int | None:
        """How many frames the next sample has, if they lie here already."""
        note = next(self._known, None)
        if note is None:
            return None
        for name, (modes, trouble) in note.items():
            for mode, turned in modes:
                self._pictures[name].again(split, mode, turned)
            reader.again(sample.files[name], trouble)
        return min(len(modes) for modes, _ in note.values())

    def add(
        self,
        split: str,
        sample: Sample,
        frames: Mapping[str, Sequence[Picture]],
        reader: PictureReader,
    ) -> None:
        """One more sample: as many frames of every data set, and what ``reader`` says of them."""
        for name, each in frames.items():
            for one in each:
                self._pictures[name].add(split, one, sample.files[name])
        self._unfinished.note(
            {
                name: [[[p.mode, p.turned] for p in each], reader.trouble(sample.files[name])]
                for name, each in frames.items()
            }
        )

    def pixels(
        self, name: str, known_as: Mapping[str, str]
    ) -> tuple[dict[str, Rows], dict[str, str], dict[int, Range]]:
        """As `pixels.pixels_of_pictures`, of a data set."""
        return self._pictures[name].pixels(known_as)


def _all_grey(options: PixelOptions, files: Sequence[FileOrMember]) -> bool:
    return options.colour == "grey" or (options.colour != "rgb" and all(map(is_grey, files)))


class StreamedPictures:
    """The pictures of one data set, and what is told about them.

    Args:
        spool: where they go.
        grey: all of them are.
        told, instead: what in a configuration has them on disk, and what has not.
    """

    def __init__(
        self, options: PixelOptions, spool: RowSpool, grey: bool, told: str, instead: str
    ) -> None:
        self._told, self._instead = told, instead
        self._options, self._spool, self._grey = options, spool, grey
        self._splits: list[str] = []
        self._modes: Counter[str] = Counter()
        self._turned = 0

    def add(self, split: str, picture: Picture, file: FileOrMember) -> None:
        """One more picture; raises `UserError` where it has more than 8 bits or another size than
        those before it."""
        if picture.depth != 8:
            raise UserError(
                f"{shown(str(file))}: has more than 8 bits a pixel, which {self._told} does not "
                f"read; save it with 8, or say {self._instead}"
            )
        image = channels_of(picture.pixels, self._grey)
        if self._spool.shape not in (None, image.shape):
            height, width = image.shape[:2]
            raise UserError(
                f"{shown(str(file))}: is {height}x{width}, and images before it are "
                f"{self._spool.shape[0]}x{self._spool.shape[1]} (height x width); set data.size to "
                "resize all"
            )
        placed = self._spool.place(file) if isinstance(self._spool, PlacedSpool) else None
        self._spool.add(image, placed)
        self.again(split, picture.mode, picture.turned)

    def again(self, split: str, mode: str, turned: bool) -> None:
        """One more picture that lies in the spool."""
        self._splits.append(split)
        self._modes[mode] += 1
        self._turned += turned

    def pixels(
        self, names: Mapping[str, str]
    ) -> tuple[dict[str, Rows], dict[str, str], dict[int, Range]]:
        """As `pixels.pixels_of_pictures`; ``names`` are what a person knows the splits by."""
        rows = (
            self._spool.placed(self._options, self._grey)
            if isinstance(self._spool, PlacedSpool)
            else self._spool.stored()
        )
        of = np.asarray(self._splits)
        images: dict[str, Rows] = {
            split: rows.rows(torch.from_numpy(np.flatnonzero(of == split))) for split in names
        }
        modes = Counter({(mode, "8 bit, 0 to 255"): n for mode, n in self._modes.items()})
        by_name = {names[split]: part for split, part in images.items()}
        return images, facts_of_pictures(modes, by_name, self._options, self._turned), {}
