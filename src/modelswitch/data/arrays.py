"""Prepared image arrays: one checked file a data set."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from modelswitch.config.data_base import Keep
from modelswitch.data.folders import some
from modelswitch.data.placed import PlacedRows
from modelswitch.data.splits import training_and_validation
from modelswitch.errors import UserError
from modelswitch.execution.free_memory import available_memory
from modelswitch.storage import artifacts
from modelswitch.storage.encoded_rows import EncodedRows
from modelswitch.storage.stored_rows import Rows, chunks
from modelswitch.storage.stored_rows import sums as row_sums

# Images of so many bytes have a checksum each, so that they can be read where they lie.
LARGE = 256 * 2**20
_IMAGES = ("train.images", "test.images")
_PLACED = "placed"  # of images that stay where people have them
_AT_ONCE = 4096
# Of the images in memory, with those that are chosen and padded, or read and written.
COPIES = 4


@dataclass(frozen=True)
class ImageArrays:
    """A classification data set: images uint8 [N, H, W, C], perhaps on disk, labels int64 [N].

    ``train_units``, int64 [N], is equal for training images that no split may part. ``mean`` and
    ``std`` are per channel, of pixels scaled to [0, 1], over the training images.
    ``given_validation``, bool [N], marks training images that the source itself has for validation.
    ``reading`` is what a person is told about how the images were read: headings and texts.
    ``files`` is what makes other image files mean the same: under "ranges" black and white of those
    with more than 8 bits, by depth (0 for floats), and the "background" of transparent ones.
    """

    train_images: Rows
    train_labels: torch.Tensor
    train_units: torch.Tensor
    test_images: Rows
    test_labels: torch.Tensor
    class_names: list[str]
    mean: list[float]
    std: list[float]
    checksum: str
    given_validation: torch.Tensor | None = None
    reading: dict[str, str] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    @classmethod
    def load(cls, path: str | Path, on_disk: bool = False) -> "ImageArrays":
        """A prepared data set; ``on_disk`` leaves its images there until they are used."""
        tensors: dict[str, torch.Tensor]
        images: dict[str, Rows]
        if told := artifacts.read_passport(path).get(_PLACED):
            tensors, passport = artifacts.load(path, kind="data")
            images = {}
            for name in _IMAGES:
                sums = tensors[artifacts.SUMS + name]
                placed = PlacedRows.of(tensors, name, sums, told[name])
                placed.refuse_missing()
                images[name] = placed if on_disk else placed[:]
        elif on_disk:
            tensors, rows, passport = artifacts.load_with_rows(path, _IMAGES, kind="data")
            images = {**rows}
        elif artifacts.is_encoded(path):
            tensors, rows, passport = artifacts.load_with_rows(path, _IMAGES, kind="data")
            images = {name: part[:] for name, part in rows.items()}
        else:
            tensors, passport = artifacts.load(path, kind="data")
            images = {name: tensors[name] for name in _IMAGES}
        if "train.units" not in tensors:
            raise UserError(f"{path}: was prepared by an earlier version; remove it")
        return cls(
            images["train.images"],
            tensors["train.labels"],
            tensors["train.units"],
            images["test.images"],
            tensors["test.labels"],
            passport["class_names"],
            passport["mean"],
            passport["std"],
            passport["checksum"],
            tensors.get("train.validation"),
            passport.get("reading", {}),
            passport.get("files", {}),
        )

    def training_and_validation(self, share: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows to train on and to validate on: those that the source says, else a ``share`` held
        back by ``seed``."""
        given = self.given_validation
        if given is None:
            return training_and_validation(self.train_units, self.train_labels, share, seed)
        return torch.nonzero(~given).squeeze(1), torch.nonzero(given).squeeze(1)

    def counts(self) -> dict[str, list[int]]:
        """Images of every class, by split."""
        validates = self.given_validation
        none = torch.zeros(len(self.train_labels), dtype=torch.bool)
        held = none if validates is None else validates
        parts = {
            "train": self.train_labels[~held],
            "validation": self.train_labels[held],
            "test": self.test_labels,
        }
        return {
            split: torch.bincount(labels, minlength=self.num_classes).tolist()
            for split, labels in parts.items()
            if len(labels)
        }

    def save(self, path: str | Path, **passport: object) -> None:
        given = self.given_validation
        tensors: dict[str, Rows] = {
            **({} if given is None else {"train.validation": given}),
            "train.images": self.train_images,
            "train.labels": self.train_labels,
            "train.units": self.train_units,
            "test.images": self.test_images,
            "test.labels": self.test_labels,
        }
        sums: dict[str, Any] = {}
        placed = {name: t for name, t in tensors.items() if isinstance(t, PlacedRows)}
        for name, rows in placed.items():
            tensors |= {artifacts.SUMS + name: row_sums(rows), **rows.tensors(name)}
        if placed:
            sums = artifacts.stands_for({name: rows.shape for name, rows in placed.items()})
            sums[_PLACED] = {name: rows.passport() for name, rows in placed.items()}
        large = sum(tensors[name].shape.numel() for name in _IMAGES) >= LARGE
        if not placed and (large or isinstance(self.train_images, EncodedRows)):
            tensors, sums = artifacts.with_row_sums(tensors, _IMAGES)
        artifacts.save(
            path,
            tensors,
            {
                **sums,
                "kind": "data",
                "class_names": self.class_names,
                "mean": self.mean,
                "std": self.std,
                "images": self.counts(),
                "reading": self.reading,
                "files": self.files,
                **passport,
            },
        )


def normalisation(images: Rows) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of uint8 [N, H, W, C], scaled to [0, 1].

    A constant channel gets a standard deviation of 1, so that dividing by it changes nothing.
    """
    # Sums over a histogram are exact and need no float copy of the images.
    values = torch.arange(256, dtype=torch.float64) / 255
    found = torch.zeros(images.shape[-1], 256, dtype=torch.int64)
    for part in chunks(images, _AT_ONCE):
        for number, channel in enumerate(part.unbind(-1)):
            found[number] += torch.bincount(channel.reshape(-1), minlength=256)
    means, stds = [], []
    for counts in found.double():
        share = counts / counts.sum()
        mean = (share * values).sum()
        std = (share * (values - mean) ** 2).sum().sqrt()
        means.append(mean.item())
        stds.append(std.item() or 1.0)
    return means, stds


def stays_on_disk(keep: Keep, path: str | Path) -> bool:
    """Whether the images of a prepared data set are to be read as they are used.

    ``auto`` holds them in memory where that leaves as much again for everything else.
    """
    if keep != "auto":
        return keep == "disk"
    held = sum(math.prod(artifacts.shape_of(path, name)) for name in _IMAGES)
    return held >= LARGE and COPIES * held > available_memory()


def prepared_shape(path: str | Path) -> tuple[tuple[int, int, int], int]:
    """Image shape (H, W, C) and number of classes of a prepared data set, without reading it."""
    passport = artifacts.read_passport(path)
    artifacts.check_passport(path, passport, {"kind": "data"})
    _, height, width, channels = artifacts.shape_of(path, "train.images")
    return (height, width, channels), len(passport["class_names"])


@dataclass(frozen=True)
class PairedArrays:
    """Row i of every modality shows the same sample.

    `train_images` and `test_images` hold, per modality, uint8 [N, rows, columns, channels]; sizes
    and channels may differ between modalities. Labels are int64 [N].
    """

    train_images: dict[str, torch.Tensor]
    train_labels: torch.Tensor
    test_images: dict[str, torch.Tensor]
    test_labels: torch.Tensor
    class_names: list[str]

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.train_images)


def image_arrays(
    train_images: Rows,
    train_labels: torch.Tensor,
    test_images: Rows,
    test_labels: torch.Tensor,
    class_names: list[str],
    where: str,
    train_units: torch.Tensor,
) -> ImageArrays:
    """The data set, after checking that its parts fit together."""
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"{where}: training images are {tuple(train_images.shape[1:])}, test images "
            f"{tuple(test_images.shape[1:])} (height, width, channels); they must be the same"
        )
    if len(class_names) < 2:
        raise UserError(f"{where}: has one class only, expected at least 2")
    counts = torch.bincount(train_labels, minlength=len(class_names))
    missing = [name for name, count in zip(class_names, counts.tolist(), strict=True) if not count]
    if missing:
        raise UserError(f"{where}: {len(missing)} classes have no training image: {some(missing)}")
    mean, std = normalisation(train_images)
    return ImageArrays(
        train_images,
        train_labels,
        train_units,
        test_images,
        test_labels,
        class_names,
        mean,
        std,
        checksum="",
    )
