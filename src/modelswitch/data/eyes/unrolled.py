"""From a photograph of an eye to its two modalities: the periocular view and the unrolled iris."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from modelswitch.data.eyes.circles import Image, Propose, Rims, find_rims
from modelswitch.data.eyes.covers import Covers, find_covers

GREY = np.array([0.5, 0.35, 0.15], np.float32)  # as in the synthetic eyes; melanin reflects red
MIDDLE = 0.42  # brightness of the part that is seen, as in the synthetic eyes
_MOST_FINE = 8  # samples along each side of a pixel of the strip


@dataclass(frozen=True)
class Segmented:
    """What was found in one photograph.

    ``strip`` [rows, columns] in [0, 1] is the ring between pupil and rim: the first row lies at the
    rim and the last one at the pupil, the middle column looks straight up. ``seen`` says of each of
    its pixels whether the iris is seen there, and ``share`` of the ring how much.
    """

    rims: Rims
    covers: Covers
    strip: Image
    seen: NDArray[np.bool_]
    share: float


def segmented(
    photo: Image,
    diameter: tuple[float, float],
    size: tuple[int, int],
    least_seen: float,
    propose: Propose | None = None,
    assume_pupil: bool = False,
) -> Segmented | str:
    """The iris of a ``photo`` [rows, columns, channels] in [0, 1], or why there is none.

    Args:
        diameter: of the iris, least and most in shares of the photo's shorter side.
        size: rows and columns of the strip.
        least_seen: share of the ring that lids, lashes and reflections have to leave.
        propose, assume_pupil: as in `find_rims`.
    """
    if np.ptp(photo) == 0:
        return "one colour throughout"
    rims = find_rims(photo, diameter, propose, assume_pupil)
    if isinstance(rims, str):
        return rims
    covers = find_covers(photo, rims)
    strip, seen = unrolled(photo, covers.seen, rims, size)
    share = float(seen.mean())
    if share < least_seen:
        return "less of the iris is seen than data.seen"
    return Segmented(rims, covers, strip, seen, share)


def unrolled(
    photo: Image, seen: NDArray[np.bool_], rims: Rims, size: tuple[int, int]
) -> tuple[Image, NDArray[np.bool_]]:
    """The ring as a rectangle (Daugman's rubber sheet, 2004), and where the iris is seen in it.

    Each column runs straight from the rim to the pupil, whose centres may differ. Brightness is set
    by what is seen, as a camera that meters on the iris does.
    """
    rows, columns = size
    fine = int(np.clip(np.ceil(2 * np.pi * rims.iris.radius / columns), 1, _MOST_FINE))
    inward = (np.arange(rows * fine) + 0.5)[:, None] / (rows * fine)
    turn = 2 * np.pi * (np.arange(columns * fine) + 0.5) / (columns * fine) + np.pi / 2
    (x, y), (inner_x, inner_y) = rims.iris.points(turn), rims.pupil.points(turn)
    place = [y + inward * (inner_y - y), x + inward * (inner_x - x)]
    grey = photo[..., 0] if photo.shape[-1] == 1 else photo @ GREY

    def coarse(values: NDArray) -> NDArray:
        return values.reshape(rows, fine, columns, fine).mean((1, 3))

    strip = coarse(map_coordinates(grey, place, order=1, mode="nearest"))
    mask = coarse(map_coordinates(seen.astype(np.float32), place, order=0, mode="constant")) > 0.5
    if mask.any():
        strip = strip * np.clip(MIDDLE / max(float(strip[mask].mean()), 1e-3), 0.4, 3)
    return strip.clip(0, 1).astype(np.float32), mask


def as_pixels(found: Segmented, masked: str) -> NDArray[np.uint8]:
    """The strip as uint8 [rows, columns, channels].

    What is not seen becomes the brightness that the seen part has on average; with ``masked``
    "channel" a second channel says where, 255 for what is seen; with "kept" it stays as it is.
    """
    strip = found.strip if masked == "kept" else np.where(found.seen, found.strip, MIDDLE)
    channels = [strip, found.seen] if masked == "channel" else [strip]
    return np.rint(255 * np.stack(channels, -1)).astype(np.uint8)
