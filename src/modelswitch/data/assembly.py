"""From what a source holds to checked data sets: numbers for labels, splits, one set a modality."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from modelswitch.data.arrays import ImageArrays, image_arrays
from modelswitch.data.eyes.irises import Irises
from modelswitch.data.folders import WHOLE, some
from modelswitch.data.labels import alike_names, numbered
from modelswitch.data.pictures import contents, uniform
from modelswitch.data.splits import for_testing, split_units
from modelswitch.errors import UserError
from modelswitch.storage.stored_rows import Rows, chosen, joined

_MOST_ALIKE = 8  # names that are shown
_ABOUT = ["label", "split", "group"]
Labels = np.ndarray | Sequence[str]
Facts = dict[str, str]


@dataclass(frozen=True)
class Stored:
    """What a source holds, by data set (modality) and split.

    Args:
        where: what a person knows the source by.
        images: uint8 [N, H, W, C]; a row is the same sample in all data sets.
        labels: names, or numbers: places in ``class_names`` where those are given.
        groups: the group of each sample, if the source has them.
        facts: by data set, what a person is told about it: headings and texts.
        files: by data set, how image files were read; see `ImageArrays.files`.
        names: what a person knows the parts by, where that is not ``where`` and the split.
        files_of: of each sample of a source of files its file in every data set, as a list in
            ``data.csv`` names them; of one file for all data sets that one.
        irises: of photographs of eyes, what was found in which.
    """

    where: str
    images: Mapping[str, Mapping[str, Rows]]
    labels: Mapping[str, Labels]
    class_names: list[str] | None = None
    groups: Mapping[str, Sequence[str]] | None = None
    facts: dict[str, Facts] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    files_of: Mapping[str, Sequence[Sequence[str]]] | None = None
    irises: Irises | None = None


@dataclass(frozen=True)
class Assembled:
    """Checked data sets by name, and a table of which sample is in which split: its columns and one
    row a sample, of the pages of one file a single row."""

    sets: dict[str, ImageArrays]
    columns: list[str]
    rows: list[tuple[str, ...]]
    irises: Irises | None = None


def assembled(stored: Stored, test_share: float) -> Assembled:
    """The data sets of a source, after checking that their parts fit together.

    A source without images for testing gives a share of every class. Its own images for validation
    stay beside those for training, and are marked there.
    """
    names = {
        split: stored.names.get(split, f"{stored.where}: {split}" if split else stored.where)
        for split in stored.labels
    }
    labels, class_names = numbered(stored.labels, names, stored.class_names)
    for name, parts in stored.images.items():
        for split, images in parts.items():
            if len(images) != len(labels[split]):
                raise UserError(
                    f"{names[split]}: has {len(labels[split])} labels for {len(images)} images "
                    f"of {name}"
                )
    groups = stored.groups
    if groups is not None:
        _check_groups(groups, labels, stored.where)
    given = "validation" in labels
    first = [WHOLE] if WHOLE in labels else ["train", "validation"] if given else ["train"]

    ours = torch.cat([labels[split] for split in first])
    everything = {
        name: joined([parts[split] for split in first]) for name, parts in stored.images.items()
    }
    units = split_units(
        list(everything.values()),
        [class_names[label] for label in ours.tolist()],
        None if groups is None else [group for split in first for group in groups[split]],
    )
    to_validate = torch.zeros(len(ours), dtype=torch.bool)
    if given:
        to_validate[len(labels["train"]) :] = True
    held = torch.zeros(len(ours), dtype=torch.bool)
    if "test" not in labels:
        rows = torch.nonzero(~to_validate).squeeze(1)
        held[rows] = for_testing(units[rows], ours[rows], test_share, stored.where)
    told = _alike("classes", class_names) | _twofold(stored)
    if groups is not None:
        told |= _alike("groups", sorted({group for part in groups.values() for group in part}))
    sets = {}
    for name, parts in stored.images.items():
        images = everything[name]
        arrays = image_arrays(
            chosen(images, ~held),
            ours[~held],
            parts["test"] if "test" in parts else chosen(images, held),
            labels["test"] if "test" in labels else ours[held],
            class_names,
            stored.where if len(stored.images) == 1 else f"{stored.where}: {name}",
            units[~held],
        )
        sets[name] = replace(
            arrays,
            given_validation=to_validate[~held] if given else None,
            reading=stored.facts.get(name, {}) | _empty(arrays) | told,
            files=stored.files.get(name, {}),
        )
    places = _places(stored, labels, class_names, held)
    columns = [*_columns(stored), *_ABOUT[: None if groups else 2]]
    return Assembled(sets, columns, places, stored.irises)


def _places(
    stored: Stored,
    labels: Mapping[str, torch.Tensor],
    class_names: Sequence[str],
    held: torch.Tensor,
) -> list[tuple[str, ...]]:
    """Of every sample where it is from, its class, its split and, if there are any, its group.

    ``held`` marks those for testing among the training images, or all.
    """
    rows: list[tuple[str, ...]] = []
    for part, own in labels.items():
        count = len(own)
        splits = [part] * count
        if part in (WHOLE, "train"):
            splits = ["test" if row else "train" for row in held[:count].tolist()]
        names = [class_names[label] for label in own.tolist()]
        files = (
            stored.files_of[part]
            if stored.files_of
            else [(part or "all", str(n)) for n in range(count)]
        )
        about = [names, splits, *([stored.groups[part]] if stored.groups else [])]
        rows += [(*place, *rest) for place, *rest in zip(files, *about, strict=True)]
    # The pages of a file have one row.
    return list(dict.fromkeys(rows))


def _columns(stored: Stored) -> list[str]:
    """Those that say where a sample is from: as in a list in ``data.csv``, or its number."""
    if stored.files_of is None:
        return ["part", "number"]
    one = all(len(files) == 1 for part in stored.files_of.values() for files in part)
    return ["path"] if one else list(stored.images)


def _check_groups(
    groups: Mapping[str, Sequence[str]], labels: Mapping[str, torch.Tensor], where: str
) -> None:
    """Raise unless every sample has a group, and where a source's own splits part one."""
    for split, part in labels.items():
        if len(groups.get(split, ())) != len(part):
            raise UserError(
                f"{where}: has {len(groups.get(split, ()))} groups for {len(part)} labels"
                + f" of {split}" * (split != WHOLE)
            )
    seen: dict[str, str] = {}
    parted = {
        group
        for split, part in groups.items()
        for group in set(part)
        if seen.setdefault(group, split) != split
    }
    if parted:
        raise UserError(f"{where}: {len(parted)} groups are in two splits: {some(sorted(parted))}")


def _alike(what: str, names: Sequence[str]) -> Facts:
    """Classes or groups that may be one, spelt in two ways."""
    alike = alike_names(names)
    if not alike:
        return {}
    more = f" and {len(alike) - _MOST_ALIKE} more" if len(alike) > _MOST_ALIKE else ""
    found = "; ".join(map(some, alike[:_MOST_ALIKE]))
    return {f"{what} of nearly the same name": found + more}


def _twofold(stored: Stored) -> Facts:
    """Pictures that are there in two modalities."""
    found = []
    for (one, first), (two, second) in itertools.combinations(stored.images.items(), 2):
        shown = [
            np.concatenate([contents(images)[~uniform(images)] for images in parts.values()])
            for parts in (first, second)
        ]
        if count := int(np.isin(shown[0], shown[1]).sum()):
            found.append(f"{count} images of {one} are images of {two}, too")
    return {"equal modalities": "; ".join(found)} if found else {}


def _empty(arrays: ImageArrays) -> Facts:
    """How many images show one colour and nothing else, and the classes that have no others."""
    empty = torch.from_numpy(uniform(arrays.train_images))
    of_test = int(uniform(arrays.test_images).sum())
    if not empty.any() and not of_test:
        return {}
    found = (
        f"{int(empty.sum())} of {len(empty)} training and {of_test} of {len(arrays.test_labels)} "
        "test images are of one colour"
    )
    classes = len(arrays.class_names)
    others = torch.bincount(arrays.train_labels[~empty], minlength=classes)
    nothing = [arrays.class_names[row] for row in torch.nonzero(others == 0).flatten().tolist()]
    if nothing:
        found += f"; {len(nothing)} classes have no other training image: {some(nothing)}"
    return {"empty images": found}
