"""From where users keep their images to checked arrays."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from modelswitch.data_specs import DataSpec, DigitsData, FolderData, NpzData, TorchvisionData
from modelswitch.datasets import ImageArrays, normalisation
from modelswitch.errors import UserError
from modelswitch.lineage import derive_seed

# Higher labels are mistakes (identifiers, say), and a model for them would fill the memory.
_MOST_CLASSES = 1_000_000
IMAGE_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def as_pixels(images: np.ndarray, where: str) -> torch.Tensor:
    """uint8 [N, H, W, C] from uint8, or from floats in [0, 1] or [0, 255]; grey may lack C."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise UserError(
            f"{where}: has shape {images.shape}, expected [images, height, width] or "
            "[images, height, width, channels] with none of them 0"
        )
    if images.shape[-1] > 4 and images.shape[1] <= 4:
        raise UserError(
            f"{where}: has shape {images.shape}, which looks like channels before height; "
            "expected [images, height, width, channels]"
        )
    if images.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(images))
    if not np.issubdtype(images.dtype, np.floating):
        raise UserError(f"{where}: holds {images.dtype}, expected uint8 or floating point")
    if not np.isfinite(images).all():
        bad = np.unique(np.nonzero(~np.isfinite(images))[0])
        raise UserError(
            f"{where}: {len(bad)} images have pixels that are NaN or infinite, "
            f"the first is number {bad[0]}"
        )
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 255:
        raise UserError(f"{where}: pixels go from {low:g} to {high:g}, expected [0, 1] or [0, 255]")
    scale = 255.0 if high <= 1 else 1.0
    return torch.from_numpy(np.rint(images * scale).astype(np.uint8))


def as_labels(labels: np.ndarray, count: int, where: str) -> torch.Tensor:
    """int64 [N]; raises `UserError` unless there is one whole number >= 0 for every image."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != count:
        raise UserError(f"{where}: has shape {labels.shape}, expected one label for {count} images")
    if labels.dtype.kind in "iuf" and len(labels) and labels.max() >= _MOST_CLASSES:
        raise UserError(f"{where}: has a label {labels.max()}, expected less than {_MOST_CLASSES}")
    if np.issubdtype(labels.dtype, np.floating) and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{where}: holds {labels.dtype}, expected whole numbers")
    if labels.min() < 0:
        raise UserError(f"{where}: has a label {labels.min()}, expected 0 or more")
    return torch.from_numpy(labels.astype(np.int64))


def checked(
    train_images: torch.Tensor,
    train_labels: torch.Tensor,
    test_images: torch.Tensor,
    test_labels: torch.Tensor,
    class_names: list[str] | None,
    where: str,
) -> ImageArrays:
    """The data set, after checking that its parts fit together."""
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
    mean, std = normalisation(train_images)
    return ImageArrays(
        train_images, train_labels, test_images, test_labels, class_names, mean, std, checksum=""
    )


# --- the sources ----------------------------------------------------------------------------


def stratified_test(labels: torch.Tensor, share: float, purpose: str) -> torch.Tensor:
    """bool [N]: the images for testing, the same whatever the experiment's seeds are."""
    generator = torch.Generator().manual_seed(derive_seed(purpose, "test"))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        chosen[members[:count]] = True
    return chosen


def _digits(spec: DigitsData) -> ImageArrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # The original counts of ink per 4 x 4 block go from 0 to 16.
    images = as_pixels(bunch.images.astype(np.float64) / 16, "digits")
    labels = as_labels(bunch.target, len(images), "digits")
    test = stratified_test(labels, spec.test, "digits")
    names = [str(name) for name in bunch.target_names]
    return checked(images[~test], labels[~test], images[test], labels[test], names, "digits")


def read_npz(path: str, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of a .npz without running code from it; raises `UserError`."""
    if not Path(path).is_file():
        raise UserError(f"data.path: {path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in required if key not in archive]
            if missing:
                there = ", ".join(archive.files) or "none"
                raise UserError(f"{path}: lacks {', '.join(missing)}; it has {there}")
            return {key: archive[key] for key in archive.files}
    except AttributeError as error:
        raise UserError(f"{path}: is a single array, not a .npz archive") from error
    except UserError:
        raise
    except Exception as error:
        # zipfile, zlib and numpy's header parser have a dozen kinds of error for changed bytes.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: corrupt, or not a .npz of plain arrays ({reason})") from error


def class_names_in(arrays: Mapping[str, np.ndarray], where: str) -> list[str] | None:
    """The names under ``class_names``, if there are any; raises `UserError` for what is no list."""
    if "class_names" not in arrays:
        return None
    names = np.asarray(arrays["class_names"])
    if names.ndim != 1:
        raise UserError(f"{where}: class_names has shape {names.shape}, expected a list of names")
    return [str(name) for name in names]


def _npz(spec: NpzData) -> ImageArrays:
    arrays = read_npz(spec.path, ("x_train", "y_train", "x_test", "y_test"))
    parts = []
    for split in ("train", "test"):
        images = as_pixels(arrays[f"x_{split}"], f"{spec.path}: x_{split}")
        parts.append(images)
        parts.append(as_labels(arrays[f"y_{split}"], len(images), f"{spec.path}: y_{split}"))
    return checked(*parts, class_names_in(arrays, spec.path), spec.path)


def image_files(folder: Path, root: Path) -> list[Path]:
    """Images directly or deeper below ``folder``, sorted; raises `UserError` for one whose real
    place is outside ``root``."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS)
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path}: leads out of the data folder {root}")
    return found


def read_image(path: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 [H, W, C] of an image file, in ``mode`` (RGB or L), resized to (height, width)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            converted = image.convert(mode)
            if size is not None and converted.size != (size[1], size[0]):
                converted = converted.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(converted)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: corrupt, or not an image ({reason})") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: too large an image ({error})") from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _subfolders(folder: Path, root: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path}: leads out of the data folder {root}")
    return found


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
    top = {p.name: p for p in _subfolders(root, root)}
    if "train" in top and "test" in top:
        names = [p.name for p in _subfolders(top["train"], root)]
        unknown = [p.name for p in _subfolders(top["test"], root) if p.name not in names]
        if unknown:
            raise UserError(
                f"{top['test']}: {len(unknown)} classes have no training image: "
                f"{', '.join(unknown[:8])}"
            )
        parts = [part for s in ("train", "test") for part in _read_classes(top[s], spec, names)]
        return checked(*parts, names, spec.path)
    names = list(top)
    if not names:
        raise UserError(f"{spec.path}: no class folders in it; expected <class>/<image>")
    images, labels = _read_classes(root, spec, names)
    test = stratified_test(labels, spec.test, "folder")
    return checked(images[~test], labels[~test], images[test], labels[test], names, spec.path)


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
    return checked(*parts, names, spec.dataset)


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


def peek(spec: DataSpec) -> tuple[tuple[int, int, int], int] | None:
    """Image shape (H, W, C) and number of classes without reading the images, or None.

    Torchvision's sets are unknown until they are downloaded.
    """
    if isinstance(spec, DigitsData):
        return (8, 8, 1), 10
    if isinstance(spec, NpzData):
        return _peek_npz(spec.path)
    if isinstance(spec, FolderData):
        return _peek_folder(spec)
    return None


def _stored_shape(member: IO[bytes]) -> tuple[int, ...]:
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
                    shapes[split] = _stored_shape(member)
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
    top = {p.name: p for p in _subfolders(root, root)}
    holder = top["train"] if "train" in top and "test" in top else root
    classes = _subfolders(holder, root)
    first = next((path for folder in classes for path in image_files(folder, root)), None)
    if first is None:
        raise UserError(f"{holder}: no <class>/<image> below it")
    pixels = read_image(first, "RGB" if spec.colour == "rgb" else "L", spec.size)
    return tuple(pixels.shape), len(classes)


def training_images(spec: DataSpec) -> int | None:
    """How many training images there are, without reading them; None before a download."""
    if isinstance(spec, DigitsData):
        return round(1797 * (1 - spec.test))
    if isinstance(spec, NpzData):
        with zipfile.ZipFile(spec.path) as archive, archive.open("x_train.npy") as member:
            return _stored_shape(member)[0]
    if isinstance(spec, FolderData):
        root = Path(spec.path)
        parts = {p.name for p in _subfolders(root, root)}
        if {"train", "test"} <= parts:
            return len(image_files(root / "train", root))
        return round(len(image_files(root, root)) * (1 - spec.test))
    return None
