"""Samples that were seen through several modalities: reading them, and refusing what isn't paired.

A folder holds `<modality>/<class>/<sample>.<ext>`, or `train/` and `test/` with that inside. An
`.npz` holds `<modality>_train` and `<modality>_test` with `y_train` and `y_test`, or `<modality>`
with `y`. Where there is no split, a share of every class is set aside for testing. A sample is
identified by its class and name (without the extension) or by its row.
"""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modelswitch.data.arrays import PairedArrays
from modelswitch.data.splits import for_testing, split_units
from modelswitch.errors import UserError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
SPLITS = ("train", "test")
SHOWN = 3  # names in a message; the count says how many there are


def read_paired(path: Path, modalities: Sequence[str], test_share: float = 0.25) -> PairedArrays:
    """Read a paired set from a folder or an `.npz`.

    `test_share` is used where the set comes without a split. Raises UserError for
    anything that isn't properly paired, with counts.
    """
    if len(set(modalities)) < 2 or len(set(modalities)) != len(modalities):
        raise UserError(
            f"data.modalities is {list(modalities)}; two or more different names are needed"
        )
    path = Path(path)
    if path.is_dir():
        arrays = _read_folder(path, modalities, test_share)
    elif path.is_file():
        arrays = _read_npz(path, modalities, test_share)
    else:
        raise UserError(f"{path}: no such folder or .npz file")
    check_pairs(arrays, str(path))
    return arrays


def check_pairs(arrays: PairedArrays, where: str) -> None:
    """Refuse row counts that differ, classes without samples and images in both splits."""
    classes = len(arrays.class_names)
    for split, images, labels in (
        ("train", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        for modality, values in images.items():
            if len(values) != len(labels):
                raise UserError(
                    f"{where}: {modality} has {len(values)} {split} images for {len(labels)} "
                    f"labels; unpaired samples: {abs(len(values) - len(labels))}"
                )
        if len(labels) == 0:
            raise UserError(f"{where}: no {split} samples")
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise UserError(
                f"{where}: {split} labels run from {int(labels.min())} to {int(labels.max())}; "
                f"0 to {classes - 1} is allowed"
            )
    counts = torch.bincount(arrays.train_labels, minlength=classes)
    empty = [arrays.class_names[i] for i in (counts == 0).nonzero().flatten().tolist()]
    if empty:
        raise UserError(f"{where}: {len(empty)} classes without a training sample: {_some(empty)}")
    for modality in arrays.modalities:
        train = arrays.train_images[modality]
        test = arrays.test_images[modality]
        if train.shape[1:] != test.shape[1:]:
            raise UserError(
                f"{where}: {modality} images are {list(train.shape[1:])} in train and "
                f"{list(test.shape[1:])} in test; one shape is needed"
            )
        known = {_digest(image) for image in train}
        twice = sum(_digest(image) in known for image in test)
        if twice:
            raise UserError(
                f"{where}: {twice} of {len(test)} {modality} test images are training images, too"
            )


def _digest(image: torch.Tensor) -> bytes:
    return hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()


def _some(names: Iterable[object]) -> str:
    names = sorted(str(name) for name in names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _paired(
    images: dict[str, dict[str, torch.Tensor]],
    labels: dict[str, np.ndarray],
    classes: list[str],
    test_share: float,
    where: str,
) -> PairedArrays:
    """The data set from its parts: train and test, or one named "" that is split here."""
    if "" not in images:
        train, test = (images[part] for part in SPLITS)
        y_train, y_test = (torch.from_numpy(labels[part]) for part in SPLITS)
    else:
        all_labels = torch.from_numpy(labels[""])
        units = split_units(
            list(images[""].values()), [classes[label] for label in all_labels.tolist()]
        )
        held = for_testing(units, all_labels, test_share, where)
        train = {name: stack[~held] for name, stack in images[""].items()}
        test = {name: stack[held] for name, stack in images[""].items()}
        y_train, y_test = all_labels[~held], all_labels[held]
    return PairedArrays(train, y_train, test, y_test, classes)


def _read_folder(root: Path, modalities: Sequence[str], test_share: float) -> PairedArrays:
    split = (root / "train").is_dir() and (root / "test").is_dir()
    found = {
        part: _pair_up(root / part if split else root, root, modalities)
        for part in (SPLITS if split else ("",))
    }
    classes = sorted({key[0] for samples in found.values() for key in samples[modalities[0]]})
    if split:
        _refuse_classes_of_test(root, found, modalities[0])
        both = found["train"][modalities[0]].keys() & found["test"][modalities[0]].keys()
        if both:
            raise UserError(
                f"{root}: {len(both)} samples are in both train and test: "
                f"{_some('/'.join(key) for key in both)}"
            )
    images: dict[str, dict[str, torch.Tensor]] = {part: {} for part in found}
    for modality in modalities:
        files = [
            (part, file) for part in found for _, file in sorted(found[part][modality].items())
        ]
        stack = _read_images([file for _, file in files], modality)
        for part in found:
            images[part][modality] = stack[[p == part for p, _ in files]]
    labels = {
        part: np.array([classes.index(c) for c, _ in sorted(samples[modalities[0]])], np.int64)
        for part, samples in found.items()
    }
    return _paired(images, labels, classes, test_share, str(root))


def _refuse_classes_of_test(root: Path, found: dict, modality: str) -> None:
    known = {name for name, _ in found["train"][modality]}
    unknown = {name for name, _ in found["test"][modality]} - known
    if unknown:
        raise UserError(
            f"{root}: {len(unknown)} classes without a training sample: {_some(unknown)}"
        )


def _pair_up(
    folder: Path, root: Path, modalities: Sequence[str]
) -> dict[str, dict[tuple[str, str], Path]]:
    """Files per modality and (class, sample); raises unless all modalities have the same ones."""
    inside = root.resolve()
    samples = {name: _list_samples(folder / name, inside) for name in modalities}
    classes = {name: {key[0] for key in found} for name, found in samples.items()}
    everywhere = set.union(*classes.values())
    for name in modalities:
        missing = everywhere - classes[name]
        if missing:
            raise UserError(
                f"{folder / name}: {len(missing)} classes missing that another modality has: "
                f"{_some(missing)}"
            )
    everything = set().union(*samples.values())
    unpaired = {name: everything - found.keys() for name, found in samples.items()}
    if any(unpaired.values()):
        counts = "; ".join(
            f"{name} lacks {len(keys)}: {_some('/'.join(key) for key in keys)}"
            for name, keys in unpaired.items()
            if keys
        )
        raise UserError(f"{folder}: unpaired samples ({len(everything)} in all): {counts}")
    return samples


def _list_samples(folder: Path, inside: Path) -> dict[tuple[str, str], Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; each modality needs one")
    if not folder.resolve().is_relative_to(inside):
        raise UserError(f"{folder}: leads out of the data folder {inside}")
    found: dict[tuple[str, str], Path] = {}
    twice: Counter[str] = Counter()
    for file in sorted(folder.glob("*/*")):
        if file.suffix.lower() not in EXTENSIONS or file.name.startswith("."):
            continue
        if not file.resolve().is_relative_to(inside):
            raise UserError(f"{file}: leads out of the data folder {inside}")
        key = (file.parent.name, file.stem)
        if key in found:
            twice["/".join(key)] += 1
        found[key] = file
    if twice:
        raise UserError(
            f"{folder}: {twice.total()} samples exist with two extensions: {_some(twice)}"
        )
    if not found:
        raise UserError(
            f"{folder}: no images as <class>/<sample>.<ext>; "
            f"allowed are {', '.join(sorted(EXTENSIONS))}"
        )
    return found


def _read_images(files: Sequence[Path], modality: str) -> torch.Tensor:
    """uint8 [N, rows, columns, channels]; grey only if every image of the modality is."""
    pictures = []
    grey = True
    for file in files:
        try:
            with Image.open(file) as picture:
                grey = grey and picture.mode in ("1", "L", "LA")
                pictures.append(picture.convert("RGB"))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{file}: not a readable image ({error})") from error
    sizes = Counter(picture.size for picture in pictures)
    if len(sizes) > 1:
        (size, _), *others = sizes.most_common()
        odd = next(f for f, p in zip(files, pictures, strict=True) if p.size != size)
        raise UserError(
            f"{odd}: {modality} images differ in size: {sum(n for _, n in others)} of "
            f"{len(files)} are not {size[0]} x {size[1]}; one size is needed"
        )
    stack = np.stack([np.asarray(p.convert("L") if grey else p) for p in pictures])
    return torch.from_numpy(stack[..., None] if grey else stack)


def _read_npz(path: Path, modalities: Sequence[str], test_share: float) -> PairedArrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz ({error})") from error
    split = "y_train" in content
    parts = SPLITS if split else ("",)

    def take(name: str, part: str) -> np.ndarray:
        key = f"{name}_{part}" if part else name
        if key not in content:
            raise UserError(f"{path}: no array {key!r}; found are {', '.join(content) or 'none'}")
        return content[key]

    labels = {part: _labels(path, take("y", part)) for part in parts}
    images = {
        part: {
            name: _images(path, name, take(name, part), len(labels[part])) for name in modalities
        }
        for part in parts
    }
    names = sorted({value for part in parts for value in labels[part].tolist()})
    index = {value: i for i, value in enumerate(names)}
    codes = {part: np.array([index[v] for v in labels[part].tolist()], np.int64) for part in parts}
    return _paired(images, codes, [str(name) for name in names], test_share, str(path))


def _labels(path: Path, values: np.ndarray) -> np.ndarray:
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise UserError(
            f"{path}: labels have type {values.dtype} and shape {list(values.shape)}; "
            "whole numbers or names [N] are needed"
        )
    return values


def _images(path: Path, name: str, values: np.ndarray, count: int) -> torch.Tensor:
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4:
        raise UserError(
            f"{path}: {name} has shape {list(values.shape)}; "
            "[N, rows, columns] or [N, rows, columns, channels] is needed"
        )
    if len(values) != count:
        raise UserError(
            f"{path}: {name} has {len(values)} images for {count} labels; "
            f"unpaired samples: {abs(len(values) - count)}"
        )
    if values.dtype.kind == "f":
        broken = int((~np.isfinite(values)).sum())
        if broken:
            raise UserError(f"{path}: {name} has {broken} values that are NaN or infinite")
        if values.size and (values.min() < 0 or values.max() > 1):
            raise UserError(
                f"{path}: {name} has values from {values.min()} to {values.max()}; "
                "numbers with a point are allowed from 0 to 1"
            )
        values = (values * 255).round().astype(np.uint8)
    if values.dtype != np.uint8:
        raise UserError(f"{path}: {name} has type {values.dtype}; uint8 or float is allowed")
    return torch.from_numpy(np.ascontiguousarray(values))
