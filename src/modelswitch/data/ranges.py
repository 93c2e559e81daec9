"""Which values stand for black and white, decided once for all splits of a data set.

By the type where it says so (bool, uint8, uint16), for floats as [0, 1] or [0, 255] where the
values leave no doubt, and as ``data.range`` says in all other cases.

Values may overshoot the range: resizing with a cubic or Lanczos filter puts a fringe beyond black
and white along every edge, up to 0.28 of the range and up to a third of the values in a handwritten
digit that is enlarged four times. Up to `OVERSHOOT` of the range and half of a split's values are
clipped, and counted, if the values fill the range: those of images whose mean was taken away do
not. With ``data.range`` it may be a whole range.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelswitch.config.pixels import Range
from modelswitch.errors import UserError

Images = np.ndarray | Sequence[np.ndarray]

OVERSHOOT = 0.3  # of the range
_ROUNDING = 1e-3  # of the range: no overshoot, but arithmetic
_CHUNK = 256  # images that are looked at or converted at once


@dataclass(frozen=True)
class Reach:
    """Values that stand for black and white, in words too, and what was clipped, in words."""

    low: float
    high: float
    words: str
    clipped: str = ""


@dataclass(frozen=True)
class _Found:
    """The extremes of some images."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"pixels go from {self.low:g} to {self.high:g}"


def reach_of(parts: Mapping[str, Images], stated: Range | None, depth: int = 16) -> Reach:
    """The range of the pixels of all ``parts``, which are called as a person knows them.

    Args:
        parts: images of one type.
        stated: black and white, if the configuration says them.
        depth: bits of what is stored as uint16.

    Raises `UserError` for values that are not finite, for types and values whose range is not
    certain, and for more than an overshoot.
    """
    kind = next(image.dtype for images in parts.values() for image in _chunks(images))
    where = next(iter(parts))
    if kind.kind not in "buif":
        raise UserError(f"{where}: holds {kind}, expected uint8 or floating point")
    found = {name: _extremes(images, name) for name, images in parts.items()}
    if stated is not None:
        low, high, words = *stated, "as data.range says"
    elif kind.kind == "b":
        low, high, words = 0, 1, "two values"
    elif kind == np.uint8:
        low, high, words = 0, 255, "8 bit"
    elif kind.kind == "u" and kind.itemsize == 2:
        low, high, words = 0, (1 << depth) - 1, f"{depth} bit"
        _refuse_unused_bits(found, high)
    elif kind.kind == "f":
        low, high, words = 0, _white_of_floats(found), "floats"
        if high > 1:
            _refuse_mixed_units(parts)
    else:
        raise UserError(
            f"{where}: holds {kind}, which says nothing of its range, and {found[where]}; "
            "expected uint8, or set data.range: [black, white]"
        )
    clipped = _clipped(parts, found, Reach(low, high, words), stated is not None)
    return Reach(low, high, f"{words}, {low:g} to {high:g}", clipped)


def _chunks(images: Images) -> Iterator[np.ndarray]:
    """The images, several at a time where they are one array."""
    if isinstance(images, np.ndarray):
        for start in range(0, len(images), _CHUNK):
            yield images[start : start + _CHUNK]
    else:
        yield from images


def _extremes(images: Images, where: str) -> _Found:
    if any(chunk.dtype.kind == "f" and not np.isfinite(chunk).all() for chunk in _chunks(images)):
        bad = [number for number, image in enumerate(images) if not np.isfinite(image).all()]
        raise UserError(
            f"{where}: {len(bad)} images have pixels that are NaN or infinite, "
            f"the first is number {bad[0]}"
        )
    ends = [(chunk.min(), chunk.max()) for chunk in _chunks(images)]
    return _Found(float(min(low for low, _ in ends)), float(max(high for _, high in ends)))


def _refuse_unused_bits(found: Mapping[str, _Found], high: float) -> None:
    """Images of 10, 12 or 14 bits that are stored in 16 would lose nearly all their levels."""
    brightest = max(each.high for each in found.values())
    for where, each in found.items():
        # Splits that are black throughout say nothing.
        if each.high < high / 4 and (each.high > 0 or brightest == 0):
            raise UserError(
                f"{where}: holds 16-bit values that go up to {each.high:g} of {high:g} only; set "
                f"data.range to [0, {high:g}], or to what white is in them"
            )


def _white_of_floats(found: Mapping[str, _Found]) -> float:
    """1 or 255, whichever all parts show; raises `UserError` where they show neither or both."""
    white = {}
    for where, each in found.items():
        white[where] = 1.0 if each.high <= 1 + OVERSHOOT else 255.0
        certain = each.high <= 1 + OVERSHOOT or 128 <= each.high <= 255 * (1 + OVERSHOOT)
        if not certain or each.low < -OVERSHOOT * white[where]:
            raise UserError(
                f"{where}: {each}, expected [0, 1] or [0, 255]; set data.range: [black, white] "
                "for others"
            )
    if len(set(white.values())) > 1:
        different = ", ".join(f"in {where} {each}" for where, each in found.items())
        raise UserError(f"{next(iter(white))}: splits differ in range: {different}")
    return next(iter(white.values()))


def _refuse_mixed_units(parts: Mapping[str, Images]) -> None:
    """Images that go up to 1, and not in whole numbers, among others that go up to 255."""
    for where, images in parts.items():
        odd = [
            number
            for number, image in enumerate(images)
            if 0 < image.max() <= 1 and (image != np.rint(image)).any()
        ]
        if odd:
            raise UserError(
                f"{where}: {len(odd)} images go up to 1 among others that go up to 255, the first "
                f"is number {odd[0]}; set data.range: [0, 255] if they are as dark as that"
            )


def _clipped(
    parts: Mapping[str, Images], found: Mapping[str, _Found], reach: Reach, stated: bool
) -> str:
    """What lies outside of the range by more than arithmetic does, in words; '' for nothing.

    Raises `UserError` if it is more than an overshoot.
    """
    span = reach.high - reach.low
    low, high = reach.low - _ROUNDING * span, reach.high + _ROUNDING * span
    lowest, highest = (min(f.low for f in found.values()), max(f.high for f in found.values()))
    if low <= lowest and highest <= high:
        return ""
    fills = stated or highest - lowest > span * (1 + _ROUNDING)
    tolerance = 1.0 if stated else OVERSHOOT
    count = 0
    for where, images in parts.items():
        outside = sum(int(((c < low) | (c > high)).sum()) for c in _chunks(images))
        share = outside / sum(chunk.size for chunk in _chunks(images))
        each = found[where]
        far = max(reach.low - each.low, each.high - reach.high) > tolerance * span
        if outside and (far or share > 0.5 or not fills):
            raise UserError(
                f"{where}: {each}, {share:.1%} of them outside of [{reach.low:g}, {reach.high:g}], "
                "more than resizing does; set data.range: [black, white]"
            )
        count += outside
    return f"{count} values outside of the range, the farthest {lowest:g} and {highest:g}"


def scaled(images: np.ndarray, reach: Reach) -> np.ndarray:
    """uint8 of the same shape: black to 0, white to 255, rounded, and clipped to both."""
    if images.dtype == np.uint8 and (reach.low, reach.high) == (0, 255):
        return images
    result = np.empty(images.shape, np.uint8)
    scale = 255 / (reach.high - reach.low)
    for start in range(0, len(images), _CHUNK):
        values = (images[start : start + _CHUNK].astype(np.float64) - reach.low) * scale
        result[start : start + _CHUNK] = np.rint(values).clip(0, 255)
    return result
