"""From where users keep their images to checked arrays: one reader a source."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelswitch.config.data import DataSpec, DigitsData, FolderData, NpzData, TorchvisionData
from modelswitch.data.arrays import ImageArrays, image_arrays
from modelswitch.data.files import (
    IMAGE_ENDINGS,
    class_names_in,
    image_files,
    read_image,
    read_npz,
    subfolders,
)
from modelswitch.data.pixels import as_labels, as_pixels
from modelswitch.data.splits import for_testing, split_units
from modelswitch.errors import UserError


def _digits(spec: DigitsData) -> ImageArrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # The original counts of ink per 4 x 4 block go from 0 to 16.
    images = as_pixels(bunch.images.astype(np.float64) / 16, "digits")
    labels = as_labels(bunch.target, len(images), "digits")
    names = [str(name) for name in bunch.target_names]
    units = split_units([images], [names[label] for label in labels.tolist()])
    test = for_testing(units, labels, spec.test, "digits")
    return image_arrays(images[~test], labels[~test], images[test], labels[test], names, "digits")


def _npz(spec: NpzData) -> ImageArrays:
    arrays = read_npz(spec.path, ("x_train", "y_train", "x_test", "y_test"))
    parts = []
    for split in ("train", "test"):
        images = as_pixels(arrays[f"x_{split}"], f"{spec.path}: x_{split}")
        parts.append(images)
        parts.append(as_labels(arrays[f"y_{split}"], len(images), f"{spec.path}: y_{split}"))
    return image_arrays(*parts, class_names_in(arrays, spec.path), spec.path)


def _read_classes(
    folder: Path, spec: FolderData, names: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    root, mode = Path(spec.path), "RGB" if spec.colour == "rgb" else "L"
    images, labels, size, first = [], [], spec.size, None
    for label, name in enumerate(names):
        for path in image_files(folder / name, root) if (folder / name).is_dir() else []:
            pixels = read_image(path, mode, size)
            if images and pixels.shape != images[0].shape:
                raise UserError(
                    f"{path}: is {pixels.shape[0]}x{pixels.shape[1]}, {first} is "
                    f"{images[0].shape[0]}x{images[0].shape[1]}; set data.size to resize all"
                )
            first = first or path
            images.append(pixels)
            labels.append(label)
    if not images:
        raise UserError(f"{folder}: no images below it ({', '.join(sorted(IMAGE_ENDINGS))})")
    return as_pixels(np.stack(images), str(folder)), torch.tensor(labels)


def _folder(spec: FolderData) -> ImageArrays:
    root = Path(spec.path)
    if not root.is_dir():
        raise UserError(f"data.path: {spec.path}: no such folder")
    top = {p.name: p for p in subfolders(root, root)}
    if "train" in top and "test" in top:
        names = [p.name for p in subfolders(top["train"], root)]
        unknown = [p.name for p in subfolders(top["test"], root) if p.name not in names]
        if unknown:
            raise UserError(
                f"{top['test']}: {len(unknown)} classes have no training image: "
                f"{', '.join(unknown[:8])}"
            )
        parts = [part for s in ("train", "test") for part in _read_classes(top[s], spec, names)]
        return image_arrays(*parts, names, spec.path)
    names = list(top)
    if not names:
        raise UserError(f"{spec.path}: no class folders in it; expected <class>/<image>")
    images, labels = _read_classes(root, spec, names)
    units = split_units([images], [names[label] for label in labels.tolist()])
    test = for_testing(units, labels, spec.test, spec.path)
    return image_arrays(images[~test], labels[~test], images[test], labels[test], names, spec.path)


def _torchvision(spec: TorchvisionData) -> ImageArrays:
    kind = torchvision_dataset(spec.dataset)
    parts: list[torch.Tensor] = []
    names: list[str] | None = None
    for train in (True, False):
        try:
            stored = _open_torchvision(kind, spec, train)
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"data.dataset: torchvision cannot provide {spec.dataset} in {spec.root} ({reason})"
            ) from error
        names = names or [str(name) for name in getattr(stored, "classes", [])] or None
        images, labels = [], []
        for image, label in stored:
            if spec.size is not None:
                image = image.resize((spec.size[1], spec.size[0]))
            pixels = np.asarray(image)
            if images and pixels.shape != images[0].shape:
                raise UserError(
                    f"{spec.dataset}: images differ in size ({pixels.shape} and "
                    f"{images[0].shape}); set data.size"
                )
            images.append(pixels)
            labels.append(label)
        pixels = as_pixels(np.stack(images), spec.dataset)
        parts += [pixels, as_labels(np.asarray(labels), len(pixels), spec.dataset)]
    return image_arrays(*parts, names, spec.dataset)


def torchvision_dataset(name: str) -> type:
    """The class of torchvision.datasets; raises `UserError` for what is no classification set."""
    import inspect

    import torchvision.datasets as available

    kinds = {}
    for key in available.__all__:
        kind = getattr(available, key)
        given = inspect.signature(kind.__init__).parameters
        if {"root", "download"} <= set(given) and {"train", "split"} & set(given):
            kinds[key] = kind
    if name not in kinds:
        raise UserError(
            f"data.dataset: torchvision has no {name!r}; allowed: {', '.join(sorted(kinds))}"
        )
    return kinds[name]


def _open_torchvision(kind: Any, spec: TorchvisionData, train: bool) -> Any:
    import inspect

    if "train" in inspect.signature(kind.__init__).parameters:
        return kind(spec.root, train=train, download=True)
    return kind(spec.root, split="train" if train else "test", download=True)


_READERS = {
    DigitsData: _digits,
    NpzData: _npz,
    FolderData: _folder,
    TorchvisionData: _torchvision,
}


def read(spec: DataSpec) -> ImageArrays:
    """The data set that a configuration names; raises `UserError` for what is wrong with it."""
    return _READERS[type(spec)](spec)
