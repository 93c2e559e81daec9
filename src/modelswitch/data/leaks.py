"""Images that are where they must not be: of one split in another, or of one class in another.

Equal pictures are found by their pixels, so other file names, formats and metadata hide none.
Images of one colour show nothing and are no leak. Nearly equal ones (resized, compressed, a shade
brighter, mirrored) are looked for by a perceptual hash: the signs of an image's lowest frequencies
(Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from modelswitch.data.pictures import contents, uniform
from modelswitch.errors import UserError
from modelswitch.storage.stored_rows import Rows, chosen, chunks

Parts = Mapping[str, tuple[Rows, torch.Tensor]]

_SIDE = 32  # pixels that an image is scaled to before its frequencies are taken
_WAVES = 8  # frequencies of each direction in the hash
# On CIFAR-10 these find all images that were compressed to quality 30, halved or brightened by 40,
# and four of five that were moved by a pixel. Of 5,000 test images they name 108, each of which has
# the label of the training image that it is like.
_MOST_BITS = 10
_LEAST_CORRELATION = 0.9
# Of smaller images many are alike that show different things.
_SMALL, _LEAST_OF_SMALL = 16, 0.97
_MOST_PAIRS = 2e8  # that are compared, some seconds; of larger sets a sample is looked at
_AT_ONCE = 1024
_NATURAL = 0.2  # share of training images that are alike among themselves, from which it is said
_PLAIN = 2.0  # standard deviation, in levels of 255, below which an image has one tone


def leaks(
    parts: Parts,
    class_names: Sequence[str],
    where: str,
    allowed: bool = False,
    names: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str]:
    """What a person is told about images of a data set that are there more than once.

    Args:
        parts: images uint8 [N, H, W, C] and labels int64 [N] of "training", perhaps "validation"
            and "test", in this order.
        where: what a person knows the data set by.
        allowed: whether images may be in two parts.
        names: what a person knows each image by, if not by its class and number.

    Returns headings and texts. Raises `UserError` for images in two parts that are not allowed.
    """
    found = {}
    shown = {part: contents(images) for part, (images, _) in parts.items()}
    empty = {part: uniform(images) for part, (images, _) in parts.items()}
    across = []
    for first, second in itertools.combinations(parts, 2):
        twice = np.isin(shown[second], shown[first][~empty[first]]) & ~empty[second]
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            other = int(np.flatnonzero(shown[first] == shown[second][row])[0])
            example = (
                f"{_name(second, row, parts, class_names, names)} is "
                f"{_name(first, other, parts, class_names, names)}"
            )
            across.append(
                f"{int(twice.sum())} of {len(twice)} {second} images are {first} images, too "
                f"({example})"
            )
    if across and not allowed:
        raise UserError(
            f"{where}: {'; '.join(across)}; take them out, or say data.leaks: allowed to keep them"
        )
    if across:
        found["leaks, which are allowed"] = "; ".join(across)
    joined = np.concatenate([shown[part][~empty[part]] for part in parts])
    labels = np.concatenate([parts[part][1].numpy()[~empty[part]] for part in parts])
    found |= _repeated(shown, empty) | _contradicting(joined, labels, class_names)
    return found | _near(parts, shown)


def _name(
    part: str,
    row: int,
    parts: Parts,
    class_names: Sequence[str],
    names: Mapping[str, Sequence[str]] | None,
) -> str:
    if names is not None and part in names:
        return repr(names[part][row])
    return f"{part} image {row} ({class_names[int(parts[part][1][row])]!r})"


def _repeated(shown: Mapping[str, np.ndarray], empty: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Images that are more than once in one part."""
    counts = {
        part: len(values[~empty[part]]) - len(np.unique(values[~empty[part]]))
        for part, values in shown.items()
    }
    said = [f"{count} {part} images repeat another" for part, count in counts.items() if count]
    return {"repeated images": "; ".join(said)} if said else {}


def _contradicting(
    shown: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, str]:
    """Pictures that are there under two labels or more."""
    pairs = np.unique(np.stack([shown, labels], 1), axis=0)
    pictures, counts = np.unique(pairs[:, 0], return_counts=True)
    twice = pictures[counts > 1]
    if not len(twice):
        return {}
    images = int(np.isin(shown, twice).sum())
    both = [class_names[label] for label in pairs[pairs[:, 0] == twice[0], 1].tolist()]
    return {
        "contradicting labels": f"{len(twice)} pictures ({images} images) have more than one "
        f"label, one of them {' and '.join(map(repr, both))}"
    }


# ----------------------------------------------------------------------------- near duplicates


def _near(parts: Parts, shown: Mapping[str, np.ndarray]) -> dict[str, str]:
    """How many images of later parts look much like one for training, without being the same."""
    trained, *others = parts
    images = parts[trained][0]
    known = _Looks(images)
    comparable = known.comparable
    if not comparable.any():
        return {}
    said = []
    for part in others:
        new = torch.from_numpy(~np.isin(shown[part], shown[trained])) & ~_plain(parts[part][0])
        rows = _sample(torch.nonzero(new).squeeze(1), shown[part], len(known))
        alike = known.alike(chosen(parts[part][0], rows))
        if alike.any():
            share = f"{int(alike.sum())} of {len(rows)} {part} images"
            said.append(f"{share} look much like a {trained} image without being equal")
    if not said:
        return {}
    rows = torch.nonzero(comparable).squeeze(1)
    rows = _sample(rows, shown[trained], len(known))[:500]
    alike = known.alike(chosen(images, rows), apart_from=torch.searchsorted(
        torch.nonzero(comparable).squeeze(1), rows))  # fmt: skip
    natural = float(alike.double().mean())
    if natural >= _NATURAL:
        said.append(
            f"so do {natural:.0%} of {trained} images among themselves: images of this set are "
            "alike, or taken from the same source, which data.groups would keep together"
        )
    return {"near duplicates": "; ".join(said)}


def _sample(rows: torch.Tensor, shown: np.ndarray, known: int) -> torch.Tensor:
    """As many rows as can be compared with ``known`` images in seconds, by what they show."""
    most = max(100, int(_MOST_PAIRS / 2 / max(1, known)))
    if len(rows) <= most:
        return rows
    order = np.argsort(shown[rows.numpy()], kind="stable")[:most]
    return rows[torch.from_numpy(np.sort(order))]


def _grey(images: Rows) -> Iterator[torch.Tensor]:
    """float32 [n, 1, H, W] of some images at a time."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    channels = images.shape[-1]
    if channels != 3:
        weights = torch.full((channels,), 1 / channels)
    for part in chunks(images, _AT_ONCE):
        yield (part.float() @ weights)[:, None]


def _scaled(grey: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if grey.shape[-2:] == size:
        return grey[:, 0]
    return F.interpolate(grey, size, mode="bilinear", antialias=True, align_corners=False)[:, 0]


def _plain(images: Rows) -> torch.Tensor:
    """bool [N]: images of one tone, or of two large areas, which are alike by having so little."""
    found = [_plain_among(grey, _frequencies(grey)) for grey in _grey(images)]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.bool)


def _plain_among(grey: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    pixels = grey.flatten(1)
    low, high = pixels.amin(1, keepdim=True), pixels.amax(1, keepdim=True)
    bins = ((pixels - low) / (high - low).clamp(min=1e-6) * 15.99).long()
    counts = torch.zeros(len(pixels), 16).scatter_add_(1, bins, torch.ones_like(pixels))
    tones = (counts > 0.01 * pixels.shape[1]).sum(1)
    energy = frequencies**2
    # How many waves share the energy: one over the sum of squared shares.
    waves = energy.sum(1) ** 2 / (energy**2).sum(1).clamp(min=1e-6)
    return (pixels.std(1, correction=0) < _PLAIN) | ((tones <= 2) & (waves < 4))


def _frequencies(grey: torch.Tensor) -> torch.Tensor:
    """The lowest coefficients [n, waves² - 1] of the cosine transform, without the mean."""
    place = (torch.arange(_SIDE) + 0.5) * torch.pi / _SIDE
    waves = torch.cos(torch.arange(_WAVES)[:, None] * place)
    return (waves @ _scaled(grey, (_SIDE, _SIDE)) @ waves.T).flatten(1)[:, 1:]


class _Looks:
    """What images look like roughly, for comparing others with all of them that are not plain.

    ``comparable``, bool [N], marks these.
    """

    def __init__(self, images: Rows) -> None:
        small = min(images.shape[1:3]) < _SMALL
        self._least = _LEAST_OF_SMALL if small else _LEAST_CORRELATION
        # All in one pass, for images on disk have to be decoded.
        plain, self._bits, self._thumbs = _looks(images)
        self.comparable = ~plain
        if plain.any():
            self._bits, self._thumbs = (
                each[self.comparable] for each in (self._bits, self._thumbs)
            )

    def __len__(self) -> int:
        return len(self._bits)

    def alike(self, images: Rows, apart_from: torch.Tensor | None = None) -> torch.Tensor:
        """bool [N]: whether one of the known images, or its mirror image, is much like each.

        Args:
            apart_from: the row of the known image that each is itself.
        """
        found = torch.zeros(len(images), dtype=torch.bool)
        if not len(images):
            return found
        start = 0
        for part in chunks(images, _AT_ONCE // 4):
            rows = torch.arange(start, start + len(part))
            start += len(part)
            for mirrored in (part, part.flip(2)):
                _, bits, thumbs = _looks(mirrored)
                same = bits @ self._bits.T
                if apart_from is not None:
                    same[torch.arange(len(rows)), apart_from[rows]] = -torch.inf
                most, nearest = same.max(1)
                away = (bits.shape[1] - most) / 2
                correlation = (thumbs * self._thumbs[nearest]).sum(1)
                found[rows] |= (away <= _MOST_BITS) & (correlation >= self._least)
        return found


def _looks(images: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whether images are plain, bool [N], the perceptual hash, ± 1 [N, bits], and small grey
    pictures of mean 0 and length 1."""
    height, width = (min(side, _SMALL) for side in images.shape[1:3])
    plain = torch.empty(len(images), dtype=torch.bool)
    bits = torch.empty(len(images), _WAVES**2 - 1)
    thumbs = torch.empty(len(images), height * width)
    done = 0
    for grey in _grey(images):
        rows = slice(done, done := done + len(grey))
        waves = _frequencies(grey)
        plain[rows] = _plain_among(grey, waves)
        bits[rows] = (waves > waves.median(1, keepdim=True).values).float() * 2 - 1
        small = _scaled(grey, (height, width)).flatten(1)
        small = small - small.mean(1, keepdim=True)
        thumbs[rows] = small / small.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return plain, bits, thumbs
