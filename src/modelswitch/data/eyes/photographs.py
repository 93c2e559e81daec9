"""Photographs of eyes, read one by one, to periocular images and iris patterns."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch

from modelswitch.config.data import EyePhotosData
from modelswitch.config.pixels import PixelOptions
from modelswitch.data.eyes.circles import Circle
from modelswitch.data.eyes.covers import Lid
from modelswitch.data.eyes.irises import COLUMNS, Irises
from modelswitch.data.eyes.landmarks import landmarks_finder
from modelswitch.data.eyes.unrolled import Segmented, as_pixels, segmented
from modelswitch.data.folders import shown, some
from modelswitch.data.images import Picture, resized
from modelswitch.data.ranges import reach_of, scaled
from modelswitch.errors import UserError

LEAST_SIDE = 32  # pixels; in less there is no iris to see
EXAMPLES, FAILURES = 6, 2  # photographs that are kept to be shown
_SHOWN_SIDE = 360  # pixels of the longer side of those


class TooFewPhotographs(UserError):
    """Classes that are left with too few; ``lines`` say of every photograph set aside why."""

    def __init__(self, message: str, lines: list[str]) -> None:
        super().__init__(message)
        self.lines = lines


class PhotographReader:
    """Turns photographs into the two modalities and remembers what was found in them."""

    def __init__(self, spec: EyePhotosData, total: int) -> None:
        self.spec = spec
        self.irises = Irises()
        self.reasons: Counter[str] = Counter()
        self.deep = 0
        self.turned = 0
        self.modes: Counter[str] = Counter()
        # Examples are taken from all over the data, not from the first person alone.
        self._apart = max(1, total // (4 * EXAMPLES))
        self._propose = None if spec.finder == "circles" else landmarks_finder()

    @property
    def options(self) -> PixelOptions:
        """How files are read: at their full size, in grey or colour as they are."""
        spec = self.spec
        return PixelOptions(range=spec.range, colour="stored", background=spec.background)

    def read(
        self, picture: Picture, path: str, name: str, label: str, split: str
    ) -> dict[str, torch.Tensor] | None:
        """Both modalities of a photograph, uint8 [rows, columns, channels]; None where no iris is
        found."""
        pixels = self._pixels(picture, path)
        found: Segmented | str = "no side may be shorter than 32 pixels"
        if min(pixels.shape[:2]) >= LEAST_SIDE:
            photo = pixels.astype(np.float32) / np.float32(255)
            spec = self.spec
            found = segmented(
                photo,
                spec.diameter,
                spec.iris,
                spec.seen,
                self._propose,
                spec.pupil == "assumed",
            )
        row = {"photo": name, "class": label, "split": split}
        row |= dict.fromkeys(COLUMNS[3:], "")
        self.irises.rows.append(row)
        if isinstance(found, str):
            row |= {"found": "no", "reason": found}
            self.reasons[found] += 1
            self._keep(pixels, None, {}, row)
            return None
        row |= {"found": "yes", "seen": f"{found.share:.3f}"}
        for part in ("pupil", "iris"):
            circle: Circle = getattr(found.rims, part)
            for key in ("x", "y", "radius"):
                row[f"{part}_{key}"] = f"{getattr(circle, key):.2f}"
        views = {
            "periocular": torch.from_numpy(self._periocular(pixels)),
            "iris": torch.from_numpy(as_pixels(found, self.spec.masked)),
        }
        self._keep(pixels, found, views, row)
        return views

    def _pixels(self, picture: Picture, path: str) -> np.ndarray:
        """uint8 [rows, columns, 1 or 3] of a picture of any depth."""
        pixels, told = picture.pixels, "8 bit"
        if picture.depth != 8:
            self.deep += 1
            reach = reach_of({path: [pixels]}, self.spec.range, picture.depth)
            pixels, told = scaled(pixels, reach), reach.words
        self.modes[f"mode {picture.mode}, {told}"] += 1
        self.turned += picture.turned
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def _periocular(self, pixels: np.ndarray) -> np.ndarray:
        image = pixels
        if self.spec.colour == "grey" and image.shape[-1] == 3:
            image = np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]
        if self.spec.colour == "rgb" and image.shape[-1] == 1:
            image = np.repeat(image, 3, -1)
        return np.array(resized(image, self.spec.periocular))

    def _keep(
        self,
        pixels: np.ndarray,
        found: Segmented | None,
        views: dict[str, torch.Tensor],
        row: dict[str, str],
    ) -> None:
        """Take an example, if it is due."""
        irises = self.irises
        kept = Counter(example["row"]["found"] for example in irises.examples)  # type: ignore
        wanted = EXAMPLES if found else FAILURES
        if kept[row["found"]] >= wanted or (found and (len(irises.rows) - 1) % self._apart):
            return
        number, (rows, columns) = len(irises.examples), pixels.shape[:2]
        scale = min(1.0, _SHOWN_SIDE / max(rows, columns))
        small = resized(pixels, (max(1, round(rows * scale)), max(1, round(columns * scale))))
        tensors = {"photo": torch.from_numpy(np.array(small)), **views}
        lids: dict[str, list[float]] = {}
        if found:
            strip = np.rint(255 * found.strip).astype(np.uint8)
            tensors["strip"] = torch.from_numpy(strip)
            tensors["seen"] = torch.from_numpy(found.seen.astype(np.uint8))
            for key in ("upper", "lower"):
                lid: Lid = getattr(found.covers, key)
                lids[key] = [lid.height, lid.slope, lid.bend]
        irises.tensors |= {f"{number}.{key}": value for key, value in tensors.items()}
        irises.examples.append({"row": row, "scale": scale, "lids": lids})

    # ------------------------------------------------------------------------------ afterwards

    def finish(self) -> None:
        """Raise `UserError` where a setting meets no photograph that it is for."""
        if self.spec.range is not None and not self.deep:
            raise UserError("data.range: is for images of more than 8 bits, and there are none")

    def too_few(self, labels: Iterable[str], kept: Counter[str], where: str) -> set[str]:
        """Classes with too few photographs, to be left out; raises `TooFewPhotographs` unless
        ``data.few`` allows that."""
        short = [label for label in labels if kept[label] < self.spec.fewest]
        total = len(self.irises.rows)
        aside = sum(self.reasons.values())
        if not short:
            return set()
        counted = Counter(row["class"] for row in self.irises.rows)
        message = (
            f"{where}: {len(short)} classes have fewer than {self.spec.fewest} photographs with an "
            f"iris: {some((f'{k} ({kept[k]} of {counted[k]})' for k in short), 4)}; "
            f"{aside} of {total} were set aside"
            + (f" ({self._told_reasons()}); data.few: skip leaves such classes out" * bool(aside))
        )
        if self.spec.few == "refuse" or len(short) > len(counted) - 2:
            raise TooFewPhotographs(message, self.lines())
        return set(short)

    def _told_reasons(self) -> str:
        return ", ".join(f"{count} × {reason}" for reason, count in self.reasons.most_common())

    def lines(self) -> list[str]:
        """What was set aside, and why."""
        rows = [row for row in self.irises.rows if row["found"] == "no"]
        return [f"{shown(row['photo'])}: {row['reason']}" for row in rows]

    def facts(self, left_out: set[str]) -> dict[str, str]:
        """What a person is told: headings and texts."""
        rows = self.irises.rows
        found = sum(row["found"] == "yes" for row in rows)
        facts = {"irises": f"found in {found} of {len(rows)} photographs"}
        if aside := self._told_reasons():
            facts["set aside"] = f"{len(rows) - found} photographs: {aside}; irises.csv has them"
        if left_out:
            facts["classes with too few"] = f"{len(left_out)} left out: {some(sorted(left_out))}"
        if lone := _one_sided(row["class"] for row in rows):
            facts["one side only"] = f"{len(lone)} people: {some(sorted(lone))}"
        if self.turned:
            facts["turned upright"] = f"{self.turned} images, by their orientation tags"
        return facts

    def pixel_facts(self) -> str:
        kinds = self.modes.most_common()
        return "; ".join(k + (f" ({n} images)" if len(kinds) > 1 else "") for k, n in kinds)


def _one_sided(labels: Iterable[str]) -> set[str]:
    """People of whom one eye is there, where classes are eyes named by person and side."""
    sides: dict[str, set[str]] = {}
    for label in labels:
        person, _, side = label.rpartition("-")
        if side not in ("left", "right") or not person:
            return set()
        sides.setdefault(person, set()).add(side)
    return {person for person, there in sides.items() if len(there) == 1}
