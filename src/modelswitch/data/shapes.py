"""Image shapes and numbers of classes and images, before the images are read."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from modelswitch.config.data import (
    DataSpec,
    DigitsData,
    EyePhotosData,
    EyesData,
    IdxData,
    NpzData,
    PairedData,
    TorchvisionData,
)
from modelswitch.config.data_base import ShardsData
from modelswitch.data import sources
from modelswitch.data.files import Keys, keys_in, read_npz
from modelswitch.data.folders import WHOLE, shown
from modelswitch.data.idx import idx_files, idx_shape, read_idx
from modelswitch.data.images import PictureReader, is_grey
from modelswitch.data.labels import class_names_in, numbered
from modelswitch.data.pixels import shape_arranged
from modelswitch.data.published import PUBLISHED
from modelswitch.data.samples import FilesSpec, find_samples, is_archive
from modelswitch.data.strangers import held_back, owner_of, share_of

Shape = tuple[tuple[int, int, int], int]


def shapes_of(spec: DataSpec) -> dict[str, Shape | None]:
    """Image shape (H, W, C) and number of classes of every data set; several modalities are a data
    set each. None for what cannot be known before a download: of torchvision's sets those are known
    that are published in one size, or get one. People who are held back from every training are
    none of the classes."""
    # Of photographs it is known whose they are.
    share = 0.0 if isinstance(spec, EyePhotosData) else share_of(spec)
    return {
        name: known and (known[0], known[1] - round(share * known[1]))
        for name, known in _of_all_people(spec).items()
    }


def _of_all_people(spec: DataSpec) -> dict[str, Shape | None]:
    if isinstance(spec, DigitsData):
        return dict.fromkeys(spec.datasets, ((8, 8, 1), 10))
    if isinstance(spec, EyesData):
        classes = spec.identities
        return {"periocular": ((*spec.periocular, 3), classes), "iris": ((*spec.iris, 1), classes)}
    if isinstance(spec, EyePhotosData):
        # whatever is found in the photographs; classes may be left out for having too few
        labels, person = find_samples(spec).labels, owner_of(spec)
        out = held_back(map(person, labels), spec.strangers)
        classes = sum(person(label) not in out for label in labels)
        colours, planes = 1 if spec.colour == "grey" else 3, 2 if spec.masked == "channel" else 1
        return {
            "periocular": ((*spec.periocular, colours), classes),
            "iris": ((*spec.iris, planes), classes),
        }
    if isinstance(spec, TorchvisionData):
        sources.torchvision_dataset(spec.dataset)
        return dict.fromkeys(spec.datasets, _published(spec))
    if isinstance(spec, IdxData):
        return dict.fromkeys(spec.datasets, _in_idx(spec))
    if is_archive(spec):
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
    return keys_in(there, (*sources.array_names(spec).values(), "y"), (), spec.path, spec.splits)[0]


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


def _in_idx(spec: IdxData) -> Shape:
    files = idx_files(Path(spec.path))
    known_as = {split: shown(pair.labels) for split, pair in files.items()}
    labels = {split: read_idx(pair.labels) for split, pair in files.items()}
    shape = shape_arranged(idx_shape(files["train"].images), None, shown(files["train"].images))
    height, width = spec.size or shape[:2]
    return (height, width, shape[2]), len(numbered(labels, known_as, spec.class_names)[1])


def _in_files(spec: FilesSpec | ShardsData) -> dict[str, Shape]:
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


@dataclass(frozen=True)
class DataSize:
    """What is known of a data set before it is read.

    Attributes:
        shape: of an image, (H, W, C).
        train: images to train on, those among them that are held back for validation included.
        validation: images that come with the data for that, where it has such.
        strangers: images of people who are held back from every training, about.
    """

    shape: tuple[int, int, int]
    classes: int
    train: int
    test: int
    validation: int | None = None
    strangers: int = 0

    def to_validate(self, share: float) -> int:
        """Images that are held back when a share of the training images is to be, about."""
        return round(self.train * share) if self.validation is None else self.validation

    def to_train(self, share: float) -> int:
        """Images that are left to train on, about."""
        return self.train - (self.to_validate(share) if self.validation is None else 0)


class Counts(NamedTuple):
    """Images to train on, to test on, those that come with the data for validation, and those of
    people who are held back."""

    train: int
    test: int
    validation: int | None = None
    strangers: int = 0


def sizes_of(spec: DataSpec) -> dict[str, DataSize | None]:
    """Size of every data set; None for what cannot be known before a download."""
    # What is wrong with files is told by what looks at their shapes.
    shapes, counts = shapes_of(spec), image_counts(spec)
    return {
        name: DataSize(*known, **counts._asdict())
        if known is not None and counts is not None
        else None
        for name, known in shapes.items()
    }


def image_counts(spec: DataSpec) -> Counts | None:
    """Images by split, without reading them; a share for testing is taken off before it is known
    which images it has. None for what cannot be known before a download."""
    if isinstance(spec, EyesData):
        return Counts(spec.identities * spec.train, spec.identities * spec.test)
    if isinstance(spec, TorchvisionData):
        known = PUBLISHED.get(spec.dataset)
        return known and Counts(known.train, known.test)
    if isinstance(spec, DigitsData):
        found = {WHOLE: 1797}
    elif isinstance(spec, IdxData):
        files = idx_files(Path(spec.path))
        found = {split: idx_shape(pair.labels)[0] for split, pair in files.items()}
    elif is_archive(spec):
        with zipfile.ZipFile(spec.path) as archive:
            keys = _keys(spec, archive)["y"]
            found = {split: _stored_in(archive, key)[0] for split, key in keys.items()}
    else:
        assert not isinstance(spec, NpzData)
        found = {split: len(part) for split, part in find_samples(spec).parts.items()}
    train = found.get(WHOLE, found.get("train", 0))
    test = found["test"] if "test" in found else round(train * getattr(spec, "test", 0.0))
    whole = Counts(train if "test" in found else train - test, test, found.get("validation"))
    return _without_strangers(whole, share_of(spec))


def _without_strangers(whole: Counts, share: float) -> Counts:
    """As large a share of the images as of the people is held back, about."""

    def left(count: int) -> int:
        return round(count * (1 - share))

    validation = None if whole.validation is None else left(whole.validation)
    kept = Counts(left(whole.train), left(whole.test), validation)
    strangers = whole.train + whole.test + (whole.validation or 0)
    strangers -= kept.train + kept.test + (validation or 0)
    return kept._replace(strangers=strangers)
