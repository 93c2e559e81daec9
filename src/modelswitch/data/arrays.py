"""Prepared image arrays: one checked file a data set."""

from dataclasses import dataclass
from pathlib import Path

import torch

from modelswitch.data.splits import split_units
from modelswitch.errors import UserError
from modelswitch.storage import artifacts


@dataclass(frozen=True)
class ImageArrays:
    """A classification data set: images uint8 [N, H, W, C], labels int64 [N].

    ``train_units``, int64 [N], is equal for training images that no split may part. ``mean`` and
    ``std`` are per channel, of pixels scaled to [0, 1], over the training images.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    train_units: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    class_names: list[str]
    mean: list[float]
    std: list[float]
    checksum: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return tuple(self.train_images.shape[1:])

    @classmethod
    def load(cls, path: str | Path) -> "ImageArrays":
        tensors, passport = artifacts.load(path, kind="data")
        if "train.units" not in tensors:
            raise UserError(f"{path}: was prepared by an earlier version; remove it")
        return cls(
            tensors["train.images"],
            tensors["train.labels"],
            tensors["train.units"],
            tensors["test.images"],
            tensors["test.labels"],
            passport["class_names"],
            passport["mean"],
            passport["std"],
            passport["checksum"],
        )

    def save(self, path: str | Path, **passport: object) -> None:
        artifacts.save(
            path,
            {
                "train.images": self.train_images,
                "train.labels": self.train_labels,
                "train.units": self.train_units,
                "test.images": self.test_images,
                "test.labels": self.test_labels,
            },
            {
                "kind": "data",
                "class_names": self.class_names,
                "mean": self.mean,
                "std": self.std,
                **passport,
            },
        )


def normalisation(images: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of uint8 [N, H, W, C], scaled to [0, 1].

    A constant channel gets a standard deviation of 1, so that dividing by it changes nothing.
    """
    # Sums over a histogram are exact and need no float copy of the images.
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(-1):
        counts = torch.bincount(channel.reshape(-1), minlength=256).double()
        share = counts / counts.sum()
        mean = (share * values).sum()
        std = (share * (values - mean) ** 2).sum().sqrt()
        means.append(mean.item())
        stds.append(std.item() or 1.0)
    return means, stds


def prepared_shape(path: str | Path) -> tuple[tuple[int, int, int], int]:
    """Image shape (H, W, C) and number of classes of a prepared data set, without reading it."""
    passport = artifacts.read_passport(path)
    artifacts.check_passport(path, passport, {"kind": "data"})
    return artifacts.shape_of(path, "train.images")[1:], len(passport["class_names"])


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
    train_images: torch.Tensor,
    train_labels: torch.Tensor,
    test_images: torch.Tensor,
    test_labels: torch.Tensor,
    class_names: list[str] | None,
    where: str,
    train_units: torch.Tensor | None = None,
) -> ImageArrays:
    """The data set, after checking that its parts fit together.

    Training images that show the same are one unit of its splits unless ``train_units`` are given.
    """
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"{where}: training images are {tuple(train_images.shape[1:])}, test images "
            f"{tuple(test_images.shape[1:])} (height, width, channels); they must be the same"
        )
    highest = int(max(train_labels.max(), test_labels.max()))
    if class_names is None:
        class_names = [str(label) for label in range(highest + 1)]
    if highest >= len(class_names):
        raise UserError(
            f"{where}: has a label {highest}, expected 0 to {len(class_names) - 1}, "
            f"for there are {len(class_names)} classes"
        )
    if len(class_names) < 2:
        raise UserError(f"{where}: has one class only, expected at least 2")
    counts = torch.bincount(train_labels, minlength=len(class_names))
    missing = [name for name, count in zip(class_names, counts.tolist(), strict=True) if not count]
    if missing:
        some = ", ".join(missing[:8])
        raise UserError(f"{where}: {len(missing)} classes have no training image: {some}")
    if train_units is None:
        named = [class_names[label] for label in train_labels.tolist()]
        train_units = split_units([train_images], named)
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
