"""One reader for image files: what each mode of Pillow means, or why a file is not read.

=========================  ===========================================================
mode                       read as
=========================  ===========================================================
1, L                       grey, 8 bit
I;16 and its variants      grey, 16 bit (12 in a TIFF that says so)
I                          16 bit in PNG and PNM, where Pillow takes it for that; else refused
F                          grey, floats
RGB, YCbCr, HSV, P         colour, 8 bit
LA, PA, RGBA, or a colour  as without transparency where nothing is transparent; else laid on
marked as transparent      ``background``, and refused where that is not said
CMYK, LAB, all others      refused: the colours depend on a profile that is not read
=========================  ===========================================================

Refused as well: more than 8 bits a channel in colour and channels beyond those of the mode, both of
which Pillow cuts off without a word, and signed pixels, which it takes for unsigned.
"""

import io
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from modelswitch.config.pixels import PixelOptions, Size
from modelswitch.data.folders import shown
from modelswitch.data.members import FileOrMember
from modelswitch.errors import UserError

# Others that Pillow knows run programs (EPS) or hold no photographs.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "WEBP", "GIF", "TIFF", "PPM")
_COLOURS = {"RGB", "YCbCr", "HSV", "P", "PA", "RGBA", "RGBX"}
_GREYS = {"1", "L", "LA"}
_DEEP = re.compile(r";16[BLNS]")
_BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 258, 262, 277, 339  # tags of TIFF
_ORIENTATION = 274  # tag of EXIF
_SHOWN = 20  # files in a message; all are listed in the log


@dataclass(frozen=True)
class Picture:
    """One image: [H, W] grey or [H, W, 3] colour, uint8, or of a type whose range ``depth`` says
    (bits, or 0 for floats); its mode as stored, and whether it was turned upright."""

    pixels: np.ndarray
    depth: int
    mode: str
    turned: bool = False


class Unreadable(Exception):
    """Why one file is not read, in words that follow its name; ``corrupt`` if it is damaged, not
    of a kind that needs another setting."""

    def __init__(self, reason: str, corrupt: bool = False) -> None:
        super().__init__(reason)
        self.corrupt = corrupt


class UnreadableFiles(UserError):
    """Files that cannot be read: all of them in ``lines``, the first ones in the message."""

    def __init__(self, reasons: Mapping[FileOrMember, str], total: int, hint: str) -> None:
        self.lines = [f"{shown(str(path))}: {reason}" for path, reason in reasons.items()]
        groups: dict[str, list[str]] = {}
        for path, reason in list(reasons.items())[:_SHOWN]:
            groups.setdefault(reason, []).append(shown(str(path)))
        listed = "; ".join(f"{', '.join(paths)}: {reason}" for reason, paths in groups.items())
        more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        counted = f" ({len(reasons)} of {total} files{hint})" if total > 1 else ""
        super().__init__(f"{listed}{more}{counted}")


class PictureReader:
    """Reads image files and remembers those that cannot be read, so that all can be named.

    ``frames`` says what becomes of files with several: one, first, all.
    """

    def __init__(self, frames: str = "one") -> None:
        self.frames = frames
        self.corrupt: dict[FileOrMember, str] = {}
        self._refused: dict[FileOrMember, str] = {}
        self._count = 0

    def read(self, path: FileOrMember, options: PixelOptions) -> list[Picture]:
        """The frames of a file, none if it cannot be read."""
        self._count += 1
        try:
            with _whole_images_only():
                return list(_frames_of(path, options, self.frames))
        except Unreadable as reason:
            (self.corrupt if reason.corrupt else self._refused)[path] = str(reason)
            return []

    def trouble(self, path: FileOrMember) -> list[str | bool] | None:
        """Why a file could not be read, and whether for being corrupt; None if it could."""
        reason = self.corrupt.get(path) or self._refused.get(path)
        return None if reason is None else [reason, path in self.corrupt]

    def again(self, path: FileOrMember, trouble: list[str | bool] | None) -> None:
        """Remember a file that was read before, from what `trouble` said of it."""
        self._count += 1
        if trouble is not None:
            reason, corrupt = trouble
            (self.corrupt if corrupt else self._refused)[path] = str(reason)

    def finish(self, skip: bool) -> None:
        """Raise `UnreadableFiles` if there are any, apart from corrupt ones to be skipped."""
        if self._refused or (self.corrupt and not skip):
            hint = "" if self._refused else "; data.corrupt: skip leaves corrupt files out"
            raise UnreadableFiles(self.corrupt | self._refused, self._count, hint)


@contextmanager
def _whole_images_only() -> Iterator[None]:
    """Cut images are corrupt, even if a module of the user's lets Pillow fill them with grey."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _frames_of(path: FileOrMember, options: PixelOptions, frames: str) -> Iterator[Picture]:
    if (reason := no_file(path)) is not None:
        raise Unreadable(reason, corrupt=True)
    with _told(), path.open("rb") as file:
        yield from _frames_in(file, options, frames)


def decoded(content: bytes, options: PixelOptions) -> Picture:
    """The first frame of an image file's bytes; raises `Unreadable`."""
    with _told():
        return next(_frames_in(io.BytesIO(content), options, "first"))


def _frames_in(file: IO[bytes], options: PixelOptions, frames: str) -> Iterator[Picture]:
    # As a stream: files that Pillow maps into memory come out garbled if they are to be turned.
    with _opened(file) as image:
        count = getattr(image, "n_frames", 1)
        if count > 1 and frames == "one":
            raise Unreadable(f"has {count} frames; data.frames: all reads each, first the first")
        for number in range(count if frames == "all" else 1):
            image.seek(number)
            yield picture(image, options)


@contextmanager
def _told() -> Iterator[None]:
    """Why an image cannot be read, as `Unreadable`."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise Unreadable("corrupt, or no image of a kind that is read", corrupt=True) from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"too large an image ({error})") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        # What Pillow raises for damaged bytes depends on the format.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unreadable(f"corrupt ({reason})", corrupt=True) from error


def _opened(file: IO[bytes]) -> Image.Image:
    image = Image.open(file, formats=_FORMATS)
    if image.format != "PNG":
        return image
    # Loading a PNG passes over its checksums and takes damaged pixels for right ones.
    image.verify()
    return Image.open(file, formats=_FORMATS)


def no_file(path: FileOrMember) -> str | None:
    """Why there is nothing to be read at ``path``, or None."""
    try:
        kind = (path if isinstance(path, Path) else path.file).stat().st_mode
        if stat.S_ISDIR(kind):
            return "is a folder"
        if not stat.S_ISREG(kind):
            return "is no ordinary file"
        with path.open("rb") as file:
            begin = file.read(64)
    except FileNotFoundError:
        link = isinstance(path, Path) and path.is_symlink()
        return "is a link to nowhere" if link else "no such file"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if not begin:
        return "is empty (0 bytes)"
    if begin.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself (git lfs pull fetches it)"
    if begin.lstrip().startswith((b"<!", b"<html", b"<HTML", b"<?xml")):
        return "is a web page, not the file itself"
    return None


def is_grey(path: FileOrMember) -> bool:
    """Whether an image is stored in grey, from its header; not that of one that is not read."""
    try:
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            return image.mode not in _COLOURS
    except (OSError, ValueError, Image.DecompressionBombError):
        return True


def picture(image: Image.Image, options: PixelOptions) -> Picture:
    """An opened image as an array, upright; raises `Unreadable` for what cannot be taken safely."""
    mode, depth = image.mode, _depth(image)
    white_is_zero = _tag(image, _PHOTOMETRIC) == 0
    # Pillow turns TIFFs itself when it loads them, and knows the tag of a PNG only after that.
    turned = image.getexif().get(_ORIENTATION, 1) != 1
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        turned, image = True, ImageOps.exif_transpose(image)
    if depth != 8:
        if image.has_transparency_data:
            raise Unreadable("has transparent pixels and more than 8 bits; save it without them")
        pixels = np.asarray(image)
        pixels = pixels.astype(np.uint16 if depth else np.float32)
        # Pillow heeds this tag in images of 8 bits alone.
        pixels = (1 << depth) - 1 - pixels if white_is_zero else pixels
        return Picture(pixels, depth, mode, turned)
    if image.has_transparency_data:
        image = _opaque(image, options.background)
    grey = mode in _GREYS if options.colour in (None, "stored") else options.colour == "grey"
    image = image.convert("L" if grey else "RGB")
    if options.size is not None:
        image = image.resize(options.size[::-1], Image.Resampling.BILINEAR)
    return Picture(np.asarray(image), 8, mode, turned)


def resized(image: np.ndarray, size: Size | None) -> np.ndarray:
    """uint8 [H, W] or [H, W, C] at another height and width, each channel by itself."""
    if size is None or image.shape[:2] == size:
        return image
    if image.ndim == 2:
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    return np.stack([resized(channel, size) for channel in np.moveaxis(image, -1, 0)], -1)


def _depth(image: Image.Image) -> int:
    """Bits of a pixel, 0 for floats, from the mode and from what the mode does not say."""
    mode = image.mode
    bits, signed = _bits(image), _tag(image, _SAMPLE_FORMAT) == 2
    samples = _tag(image, _SAMPLES)
    if samples is not None and samples != len(image.getbands()):
        raise Unreadable(
            f"has {samples} samples a pixel, of which {len(image.getbands())} are known"
        )
    if signed or (mode == "I" and image.format not in ("PNG", "PPM")):
        raise Unreadable(f"has signed or 32-bit pixels (mode {mode}), whose range is unknown")
    if mode == "I" or mode.startswith("I;16"):
        return bits if bits == 12 else 16
    if mode == "F":
        if _tag(image, _PHOTOMETRIC) == 0:
            raise Unreadable("has floats of which 0 is white; save it with 0 as black")
        return 0
    if mode not in _COLOURS | _GREYS:
        raise Unreadable(f"is of mode {mode}, which needs a profile; save it as RGB")
    if bits > 8:
        raise Unreadable(f"has {bits} bits a channel, of which 8 would be read; save it with 8")
    return 8


def _bits(image: Image.Image) -> int:
    """Bits of a channel as the file says them; Pillow's mode does not tell 16 from 8 in colour."""
    stored = _tag(image, _BITS)
    if stored is not None:
        return max(stored) if isinstance(stored, tuple) else stored
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    raw = tiles[0].args if tiles else None
    kind, *rest = raw if isinstance(raw, tuple) else (raw,)
    if image.format == "PPM" and rest and isinstance(rest[0], int):
        return rest[0].bit_length()
    # "BGR;16" of a BMP is no match: it is 5 + 6 + 5 bits.
    return 16 if _DEEP.search(str(kind)) else 8


def _tag(image: Image.Image, number: int) -> int | tuple[int, ...] | None:
    """A tag of a TIFF, a single value by itself; None for other formats and absent tags."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _opaque(image: Image.Image, background: str | None) -> Image.Image:
    """The image without its transparency; raises where that changes it and nobody said how."""
    full = image.convert("RGBA")
    if full.getchannel("A").getextrema() == (255, 255):
        return full.convert("RGB")
    if background is None:
        raise Unreadable("has transparent pixels; set data.background to white or black")
    ground = Image.new("RGBA", full.size, background)
    return Image.alpha_composite(ground, full).convert("RGB")
