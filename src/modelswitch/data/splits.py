"""Holding images back: for validation, for testing, in folds.

What holds an image back is what it shows. Every unit (an image, or all images of a group) has a
number between 0 and 1 that depends on its content and on the random stream alone; what lies below
the share is held back. So data that grow keep their splits: an image that is added, moved to
another place in the list or renamed changes nothing for the others.

The share is met by chance, and in every class within a factor of two; of a class whose share comes
to two units or fewer just so many are held back, and at least one. For this the units nearest to
the border are moved, and only these few may change sides when their class grows. No rule that looks
at single images alone can do without, for it would have to put one of any two on each side.
"""

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from modelswitch.data.folders import some
from modelswitch.data.pictures import contents, uniform
from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed
from modelswitch.storage.stored_rows import Rows

# Units up to which a share is rounded rather than met by chance.
_EXACT = 2
_ROUNDING = 1e-9


def split_units(
    modalities: Sequence[Rows],
    class_names: Sequence[str],
    groups: Sequence[str] | None = None,
) -> torch.Tensor:
    """int64 [N]: what has to stay on one side has one number, made from what it shows.

    Args:
        modalities: the images of every modality, uint8 [N, H, W, C] each.
        class_names: the name of each sample's class, N of them.
        groups: the group of each sample (subject, source, session), N of them; None for none.

    One unit are samples of a group, and samples that show the same picture in some modality. Images
    of one colour are no picture: they are told apart by class and count.
    """
    shown = [contents(images) for images in modalities]
    empty = [uniform(images) for images in modalities]
    own = shown[0].copy()
    for other in shown[1:]:
        own = _mixed(own) ^ other
    nothing = np.logical_and.reduce(empty)
    own[nothing] = _counted(
        own[nothing], [class_names[row] for row in np.flatnonzero(nothing).tolist()]
    )
    links = [
        np.where(blank, np.arange(len(own)), _numbered(picture) + len(own))
        for picture, blank in zip(shown, empty, strict=True)
    ]
    if groups is not None:
        named = {group: _number_of(group) for group in set(groups)}
        own = np.array([named[group] for group in groups], np.int64)
        links.append(_numbered(own) + len(own))
    elif len(modalities) == 1:
        return torch.from_numpy(own)
    return torch.from_numpy(_least_of_component(own, links))


def _number_of(text: str) -> int:
    """A number for a text, whichever of Unicode's forms it is written in."""
    normal = unicodedata.normalize("NFC", text).encode()
    return int.from_bytes(hashlib.blake2b(normal, digest_size=8).digest(), "little", signed=True)


def _counted(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The first, second, … of equal values with equal names, as different values."""
    seen: dict[tuple[int, str], int] = {}
    found = np.empty(len(values), np.int64)
    for row, key in enumerate(zip(values.tolist(), names, strict=True)):
        seen[key] = seen.get(key, 0) + 1
        found[row] = _number_of(f"{key[0]} {key[1]} {seen[key]}")
    return found


def _numbered(values: np.ndarray) -> np.ndarray:
    """0, 1, … for the different values."""
    return np.unique(values, return_inverse=True)[1].reshape(len(values))


def _least_of_component(own: np.ndarray, links: Sequence[np.ndarray]) -> np.ndarray:
    """The least of ``own`` among all rows that links join: two rows that link to one node."""
    rows, nodes, size = [], [], len(own)
    for link in links:
        rows.append(np.arange(len(own)))
        nodes.append(np.where(link < len(own), link, link - len(own) + size))
        size = max(size, int(nodes[-1].max(initial=0)) + 1)
    ends = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(own)]
    least = np.full(int(component.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, component, own)
    return least[component]


def _mixed(values: np.ndarray, key: int = 0) -> np.ndarray:
    """int64 [N] well mixed: the last step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = values.astype(np.int64).view(np.uint64) ^ np.uint64(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(31))).view(np.int64)


def _chance(units: np.ndarray, stream: Sequence[object]) -> np.ndarray:
    """float64 [N] in [0, 1): where each unit lies, by its number and the stream's name alone."""
    mixed = _mixed(units, derive_seed(*stream)).view(np.uint64)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


class _Parts:
    """Units dealt into parts by chance, and moved where a class would have too few in one.

    Args:
        units: int64 [N], equal for images that have to stay together.
        labels: int64 [N].
        edges: where each part begins and the last one ends, 0 to 1.
        stream: names the random stream.
    """

    def __init__(
        self,
        units: torch.Tensor,
        labels: torch.Tensor,
        edges: Sequence[float],
        stream: Sequence[object],
    ) -> None:
        self._edges = edges
        found, unit_of = np.unique(units.numpy(), return_inverse=True)
        self._unit_of = unit_of.reshape(len(units))
        self._chance = _chance(found, stream)
        self._part = np.searchsorted(np.asarray(edges[1:-1]), self._chance, side="right")
        pairs = np.unique(np.stack([labels.numpy(), self._unit_of], 1), axis=0)
        classes, members = pairs[:, 0], pairs[:, 1]
        self._units = np.split(members, np.searchsorted(classes, np.arange(1, classes.max() + 1)))
        by_unit = np.argsort(members, kind="stable")
        self._classes = np.split(
            classes[by_unit], np.searchsorted(members[by_unit], np.arange(1, len(found)))
        )
        self._counts = np.zeros((len(self._units), len(edges) - 1), np.int64)
        np.add.at(self._counts, (classes, self._part[members]), 1)
        self.sizes = self._counts.sum(1)
        # Units that each class needs in each part.
        self.needs = np.zeros_like(self._counts)

    def fill(self, part: int, first: bool = False) -> None:
        """Bring the units that lie nearest into ``part``, where classes need more of them there.

        A unit goes where its classes have others enough in its part; if this part comes ``first``,
        also where they have not.
        """
        lacking = np.flatnonzero(self._counts[:, part] < self.needs[:, part]).tolist()
        # By content, for the number of a class changes with the others' names.
        for label in sorted(lacking, key=lambda label: self._chance[self._units[label]].min()):
            members = self._units[label]
            low, high = self._edges[part], self._edges[part + 1]
            away = np.maximum(low - self._chance[members], self._chance[members] - high)
            for unit in members[np.argsort(away, kind="stable")]:
                origin, classes = self._part[unit], self._classes[unit]
                if self._counts[label, part] >= self.needs[label, part]:
                    break
                spared = (self._counts[classes, origin] > self.needs[classes, origin]).all()
                if origin != part and (first or spared):
                    self._counts[classes, origin] -= 1
                    self._counts[classes, part] += 1
                    self._part[unit] = part

    def of_images(self) -> torch.Tensor:
        """int64 [N]: the part of every image."""
        return torch.from_numpy(self._part[self._unit_of])


def held_back(
    units: torch.Tensor, labels: torch.Tensor, share: float, *stream: object
) -> torch.Tensor:
    """bool [N]: the images held back, a share of every class.

    Every class keeps a unit, and gives one if it has two or more of which one can go without taking
    another class's last; see the module for how stable this is.
    """
    if share <= 0 or len(labels) == 0:
        return torch.zeros(len(labels), dtype=torch.bool)
    parts = _Parts(units, labels, (0.0, share, 1.0), stream)
    kept, held = _fewest(parts.sizes, 1 - share), _fewest(parts.sizes, share)
    several = parts.sizes > 1
    parts.needs[:, 1] = np.where(several, np.minimum(kept, parts.sizes - 1), parts.sizes)
    parts.needs[:, 0] = np.minimum(np.where(several, held, 0), parts.sizes - parts.needs[:, 1])
    parts.fill(1, first=True)
    parts.fill(0)
    # To be there counts more than how often: another class may give more than its share for it.
    parts.needs[:, 1] = 1
    parts.needs[:, 0] = several
    parts.fill(0)
    return parts.of_images() == 0


def _fewest(sizes: np.ndarray, share: float) -> np.ndarray:
    """The fewest units that make a share of each class, and leave no more than the rest's most."""
    mine, rest = sizes * share, sizes * (1 - share)
    least = np.where(mine > _EXACT, np.ceil(mine / 2 - _ROUNDING), np.ceil(mine - 0.5))
    most = np.where(rest > _EXACT, np.floor(2 * rest + _ROUNDING), np.floor(rest + 0.5))
    return np.maximum(1, np.maximum(least, sizes - most)).astype(np.int64)


def fold_of(units: torch.Tensor, labels: torch.Tensor, folds: int, seed: int) -> torch.Tensor:
    """The fold 0..folds-1 of every image, int64 [N]; every class is in as many as it can be."""
    edges = [fold / folds for fold in range(folds + 1)]
    parts = _Parts(units, labels, edges, (seed, "folds", folds))
    parts.needs[:] = np.where(parts.sizes > 1, np.maximum(1, parts.sizes // (2 * folds)), 0)[
        :, None
    ]
    for fold in range(folds):
        parts.fill(fold)
    return parts.of_images()


def for_testing(
    units: torch.Tensor, labels: torch.Tensor, share: float, where: str
) -> torch.Tensor:
    """bool [N]: the images for testing, the same whatever the experiment's seeds are."""
    held = held_back(units, labels, share, "test")
    if not held.any():
        raise UserError(f"{where}: {_nothing_to_hold_back('data.test', share, labels)}")
    return held


def training_and_validation(
    units: torch.Tensor, labels: torch.Tensor, share: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the training images to train on and to validate on, int64 each.

    Raises `UserError` where ``share`` > 0 leaves nothing to validate on.
    """
    held = held_back(units, labels, share, seed, "validation")
    if share > 0 and not held.any():
        raise UserError(_nothing_to_hold_back("data.validation", share, labels))
    return torch.nonzero(~held).squeeze(1), torch.nonzero(held).squeeze(1)


def _nothing_to_hold_back(key: str, share: float, labels: torch.Tensor) -> str:
    return (
        f"{key}: a share of {share} of {len(labels)} images holds back none, for every class has "
        "a single image, or group of images, and keeps that"
    )


def unrepresented(
    labels: torch.Tensor, held: torch.Tensor, class_names: Sequence[str], what: str
) -> list[str]:
    """A line that names the classes of which ``held`` (bool [N], or rows) has no image, if any."""
    count = len(class_names)
    there = torch.bincount(labels, minlength=count)
    missing = (there > 0) & (torch.bincount(labels[held], minlength=count) == 0)
    if not missing.any():
        return []
    names = [class_names[row] for row in torch.nonzero(missing).flatten().tolist()]
    return [f"{what}: no image of {len(names)} of {int((there > 0).sum())} classes: {some(names)}"]
