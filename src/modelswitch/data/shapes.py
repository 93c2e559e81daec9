"""Image shapes and numbers of classes and images, before the images are read."""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from modelswitch.config.data import (
    DataSpec,
    DigitsData,
    EyesData,
    FolderData,
    NpzData,
    PairedData,
    TorchvisionData,
)
from modelswitch.data import sources
from modelswitch.data.files import class_names_in, image_files, read_image, subfolders
from modelswitch.data.modalities import peek_modalities
from modelswitch.data.pixels import _MOST_CLASSES
from modelswitch.data.published import PUBLISHED
from modelswitch.data.sources import _npz
from modelswitch.errors import UserError

Shape = tuple[tuple[int, int, int], int]


def shapes_of(spec: DataSpec) -> dict[str, Shape | None]:
    """Image shape (H, W, C) and number of classes of every data set; several modalities are a data
    set each. None for what cannot be known before a download."""
    if isinstance(spec, EyesData | PairedData):
        return dict(peek_modalities(spec))
    if isinstance(spec, TorchvisionData):
        sources.torchvision_dataset(spec.dataset)
    return dict.fromkeys(spec.datasets, peek(spec))


def peek(spec: DataSpec) -> Shape | None:
    """Image shape (H, W, C) and number of classes without reading the images, or None.

    Of torchvision's sets those are known that are published in one size, or get one.
    """
    if isinstance(spec, DigitsData):
        return (8, 8, 1), 10
    if isinstance(spec, NpzData):
        return _peek_npz(spec.path)
    if isinstance(spec, FolderData):
        return _peek_folder(spec)
    if isinstance(spec, TorchvisionData):
        return _published(spec)
    return None


def _published(spec: TorchvisionData) -> Shape | None:
    known = PUBLISHED.get(spec.dataset)
    size = spec.size or (known and known.size)
    return ((*size, known.channels), known.classes) if known and size else None


def stored_shape(member: IO[bytes]) -> tuple[int, ...]:
    """The shape in the header of a .npy; raises ValueError for what is none."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"format version {version} is unknown")
    return read(member)[0]


def _peek_npz(path: str) -> tuple[tuple[int, int, int], int]:
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for split in ("train", "test"):
                with archive.open(f"x_{split}.npy") as member:
                    shapes[split] = stored_shape(member)
        with np.load(path, allow_pickle=False) as arrays:
            highest = max(int(arrays["y_train"].max()), int(arrays["y_test"].max()))
            names = class_names_in(arrays, path)
            classes = highest + 1 if names is None else len(names)
    except Exception:
        # What is wrong with it is found, and told, when it is read in full.
        _npz(NpzData(source="npz", path=path))
        raise
    shape = shapes["train"]
    fits = len(shape) in (3, 4) and shapes["train"][1:] == shapes["test"][1:]
    if not fits or highest >= min(classes, _MOST_CLASSES):
        _npz(NpzData(source="npz", path=path))
    return (*shape[1:3], shape[3] if len(shape) == 4 else 1), classes


def _peek_folder(spec: FolderData) -> tuple[tuple[int, int, int], int]:
    root = Path(spec.path)
    top = {p.name: p for p in subfolders(root, root)}
    holder = top["train"] if "train" in top and "test" in top else root
    classes = subfolders(holder, root)
    first = next((path for folder in classes for path in image_files(folder, root)), None)
    if first is None:
        raise UserError(f"{holder}: no <class>/<image> below it")
    pixels = read_image(first, "RGB" if spec.colour == "rgb" else "L", spec.size)
    return tuple(pixels.shape), len(classes)


def training_images(spec: DataSpec) -> int | None:
    """How many training images there are, without reading them; None for what cannot be known
    before a download."""
    if isinstance(spec, DigitsData):
        return round(1797 * (1 - spec.test))
    if isinstance(spec, NpzData):
        with zipfile.ZipFile(spec.path) as archive, archive.open("x_train.npy") as member:
            return stored_shape(member)[0]
    if isinstance(spec, EyesData):
        return spec.identities * spec.train
    if isinstance(spec, TorchvisionData):
        known = PUBLISHED.get(spec.dataset)
        return known and known.train
    if isinstance(spec, FolderData):
        root = Path(spec.path)
        parts = {p.name for p in subfolders(root, root)}
        if {"train", "test"} <= parts:
            return len(image_files(root / "train", root))
        return round(len(image_files(root, root)) * (1 - spec.test))
    return None
