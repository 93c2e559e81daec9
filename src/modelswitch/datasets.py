"""Prepared image arrays: one checked file a data set, and its split by seed."""

from dataclasses import dataclass
from pathlib import Path

import torch

from modelswitch import artifacts
from modelswitch.errors import UserError
from modelswitch.lineage import derive_seed


@dataclass(frozen=True)
class ImageArrays:
    """A classification data set: images uint8 [N, H, W, C], labels int64 [N].

    ``mean`` and ``std`` are per channel, of pixels scaled to [0, 1], over the training images.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
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
        return cls(
            tensors["train.images"],
            tensors["train.labels"],
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


def prepared_shape(path: str | Path) -> tuple[tuple[int, int, int], int]:
    """Image shape (H, W, C) and number of classes of a prepared data set, without reading it."""
    passport = artifacts.read_passport(path)
    artifacts.check_passport(path, passport, {"kind": "data"})
    return artifacts.shape_of(path, "train.images")[1:], len(passport["class_names"])


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


def split(labels: torch.Tensor, share: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stratified split of the training images into indices to train on and to validate on.

    Depends on the labels, ``share`` and ``seed`` alone. Every class keeps at least one image to
    train on; raises `UserError` where ``share`` > 0 leaves nothing to validate on.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "validation"))
    train, validation = [], []
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        held_back = min(round(len(members) * share), len(members) - 1)
        validation.append(members[:held_back])
        train.append(members[held_back:])
    kept, held = torch.cat(train).sort().values, torch.cat(validation).sort().values
    if share > 0 and len(held) == 0:
        raise UserError(
            f"data.validation: a share of {share} of {len(labels)} training images holds back none"
        )
    return kept, held


def fold_of(labels: torch.Tensor, folds: int, seed: int) -> torch.Tensor:
    """The stratified fold 0..folds-1 of every image, int64 [N]; from labels and ``seed`` alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "folds", folds))
    result = torch.empty_like(labels)
    offset = 0
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        # Going on where the last class stopped keeps the folds equal in size.
        result[members] = (torch.arange(len(members)) + offset) % folds
        offset += len(members)
    return result
