"""Image shapes and numbers of classes and images, before the images are read."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from modelswitch.config.data import (
    DataSpec,
    DigitsData,
    EyesData,
    NpzData,
    PairedData,
    TorchvisionData,
)
from modelswitch.data import sources
from modelswitch.data.files import Keys, keys_in, read_npz
from modelswitch.data.folders import WHOLE
from modelswitch.data.images import PictureReader, is_grey
from modelswitch.data.labels import class_names_in, numbered
from modelswitch.data.pixels import shape_arranged
from modelswitch.data.published import PUBLISHED
from modelswitch.data.samples import FilesSpec, find_samples

Shape = tuple[tuple[int, int, int], int]


def shapes_of(spec: DataSpec) -> dict[str, Shape | None]:
    """Image shape (H, W, C) and number of classes of every data set; several modalities are a data
    set each. None for what cannot be known before a download: of torchvision's sets those are known
    that are published in one size, or get one."""
    if isinstance(spec, DigitsData):
        return dict.fromkeys(spec.datasets, ((8, 8, 1), 10))
    if isinstance(spec, EyesData):
        classes = spec.identities
        return {"periocular": ((*spec.periocular, 3), classes), "iris": ((*spec.iris, 1), classes)}
    if isinstance(spec, TorchvisionData):
        sources.torchvision_dataset(spec.dataset)
        return dict.fromkeys(spec.datasets, _published(spec))
    if sources.is_archive(spec):
        return {**_in_archive(spec)}
    assert not isinstance(spec, NpzData)
    return {**_in_files(spec)}


def _published(spec: TorchvisionData) -> Shape | None:
    known = PUBLISHED.get(spec.dataset)
    size = spec.size or (known and known.size)
    return ((*size, known.channels), known.classes) if known and size else None


def _stored_in(archive: zipfile.ZipFile, key: str) -> tuple[int, ...]:
    """The shape in the header of an array; raises ValueError for what is none."""
    with archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"format version {version} is unknown")
        return read(member)[0]


def _keys(spec: NpzData | PairedData, archive: zipfile.ZipFile) -> Keys:
    there = [name.removesuffix(".npy") for name in archive.namelist()]
    return keys_in(there, (*sources.array_names(spec).values(), "y"), (), spec.path)[0]


def _in_archive(spec: NpzData | PairedData) -> dict[str, Shape]:
    sizes: dict[str, tuple[int, int, int]] = {}
    counts: set[tuple[str, int]] = set()
    try:
        with zipfile.ZipFile(spec.path) as archive:
            keys = _keys(spec, archive)
            for dataset, name in sources.array_names(spec).items():
                options, found = spec.pixel_options(dataset), set()
                for split, key in keys[name].items():
                    stored = _stored_in(archive, key)
                    shape = shape_arranged(stored, options.layout, key)
                    height, width = options.size or shape[:2]
                    found.add((height, width, shape[2]))
                    counts.add((split, stored[0]))
                [sizes[dataset]] = found
            counts |= {(split, _stored_in(archive, key)[0]) for split, key in keys["y"].items()}
            if len(counts) > len(keys["y"]):
                raise ValueError("not as many images as labels")
        classes = read_npz(Path(spec.path), lambda arrays: _classes(arrays, keys["y"], spec.path))
    except Exception:
        # What is wrong with it is found, and told, when it is read in full.
        sources.read(spec)
        raise
    return {dataset: (size, classes) for dataset, size in sizes.items()}


def _classes(arrays: Mapping[str, np.ndarray], keys: Mapping[str, str], where: str) -> int:
    labels = {split: arrays[key] for split, key in keys.items()}
    return len(numbered(labels, keys, class_names_in(arrays, where))[1])


def _in_files(spec: FilesSpec) -> dict[str, Shape]:
    found = find_samples(spec)
    samples = [sample for part in found.parts.values() for sample in part]
    shapes = {}
    for dataset in spec.datasets:
        options = spec.pixel_options(dataset)
        reader = PictureReader("one" if spec.frames == "one" else "first")
        pictures = (reader.read(sample.files[dataset], options) for sample in samples)
        first = next((frames[0] for frames in pictures if frames), None)
        reader.finish(skip=spec.corrupt == "skip" and first is not None)
        assert first is not None
        height, width = options.size or first.pixels.shape[:2]
        grey = options.colour == "grey"
        if options.colour in (None, "stored"):
            grey = all(is_grey(sample.files[dataset]) for sample in samples)
        shapes[dataset] = (height, width, 1 if grey else 3), len(found.labels)
    return shapes


def training_images(spec: DataSpec) -> int | None:
    """How many training images there are, without reading them; None for what cannot be known
    before a download."""
    if isinstance(spec, DigitsData):
        return round(1797 * (1 - spec.test))
    if isinstance(spec, EyesData):
        return spec.identities * spec.train
    if isinstance(spec, TorchvisionData):
        known = PUBLISHED.get(spec.dataset)
        return known and known.train
    if sources.is_archive(spec):
        with zipfile.ZipFile(spec.path) as archive:
            keys = _keys(spec, archive)["y"]
            part = "train" if "train" in keys else WHOLE
            count = _stored_in(archive, keys[part])[0]
    else:
        assert not isinstance(spec, NpzData)
        parts = find_samples(spec).parts
        part = "train" if "train" in parts else WHOLE
        count = len(parts[part])
    return count if part == "train" else round(count * (1 - spec.test))
