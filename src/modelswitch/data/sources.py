"""From where users keep their images to checked arrays, one set a modality.

Every source ends in the same steps: `pixels` makes uint8 of what is stored, `assembly` makes
numbers of labels and splits of samples, and checks that all fits together.
"""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
from modelswitch.config.pixels import PixelOptions
from modelswitch.config.verification import Verification
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.assembly import Assembled, Stored, assembled
from modelswitch.data.files import keys_in, read_npz
from modelswitch.data.folders import WHOLE, shown, some
from modelswitch.data.idx import idx_files, read_idx
from modelswitch.data.images import Picture, PictureReader, Unreadable, picture
from modelswitch.data.labels import class_names_in, groups_of
from modelswitch.data.members import place_in
from modelswitch.data.pixels import pixels_of_arrays, pixels_of_pictures
from modelswitch.data.progress import Progress
from modelswitch.data.samples import Sample, StoredSpec, find_samples, is_archive
from modelswitch.data.strangers import Strangers, drawn, owner_of, parted, share_of
from modelswitch.data.streamed import Room, Streams, to_be_streamed
from modelswitch.errors import UserError
from modelswitch.storage.stored_rows import Rows


def read(spec: DataSpec) -> dict[str, ImageArrays]:
    """The data sets that a configuration names, one a modality; raises `UserError` for what is
    wrong with them."""
    return read_with_places(spec).sets


def read_with_places(spec: DataSpec, room: Room | None = None) -> Assembled:
    """The same, with a table of which sample is in which split; with ``room``, of image files also
    more of them than memory holds."""
    found, share = _stored(spec, room), share_of(spec)
    if share:
        found, _ = parted(found, share, owner_of(spec))
    return assembled(found, getattr(spec, "test", 0.0))


def read_strangers(spec: DataSpec, settings: Verification) -> dict[str, Strangers]:
    """People that no model is trained with, by modality; raises `UserError` as `read`."""
    if isinstance(spec, EyesData):
        return drawn(spec, settings)
    return parted(_stored(spec), share_of(spec), owner_of(spec))[1]


def _stored(spec: DataSpec, room: Room | None = None) -> Stored:
    if isinstance(spec, DigitsData):
        return _digits(spec)
    if isinstance(spec, EyesData):
        return _eyes(spec)
    if isinstance(spec, TorchvisionData):
        return _torchvision(spec)
    if isinstance(spec, IdxData):
        return _idx(spec)
    if is_archive(spec):
        return _npz(spec)
    if isinstance(spec, EyePhotosData):
        return _eye_photos(spec)
    assert not isinstance(spec, NpzData)
    return _files(spec, room)


def array_names(spec: NpzData | PairedData) -> dict[str, str]:
    """What the arrays of each data set begin with."""
    return {name: name if isinstance(spec, PairedData) else "x" for name in spec.datasets}


def _digits(spec: DigitsData) -> Stored:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # The original counts of ink per 4 x 4 block go from 0 to 16.
    options = PixelOptions(range=(0, 16))
    images, _ = pixels_of_arrays({WHOLE: bunch.images}, {WHOLE: "digits"}, options)
    facts = {"pixels": "counts, 0 to 16"}
    names = [str(digit) for digit in bunch.target_names]
    [name] = spec.datasets
    return Stored("digits", {name: images}, {WHOLE: bunch.target}, names, facts={name: facts})


def _eyes(spec: EyesData) -> Stored:
    from modelswitch.data.eyes.render import EyeSettings, generate

    drawn = {key: getattr(spec, key) for key in ("identities", "periocular", "iris", "variation")}
    arrays = generate(
        EyeSettings(train_captures=spec.train, test_captures=spec.test, seed=spec.seed, **drawn)
    )
    images = {
        name: {"train": arrays.train_images[name], "test": arrays.test_images[name]}
        for name in arrays.modalities
    }
    labels = {"train": arrays.train_labels.numpy(), "test": arrays.test_labels.numpy()}
    facts = {name: {"pixels": "drawn at random, 8 bit"} for name in arrays.modalities}
    return Stored("eyes", images, labels, arrays.class_names, facts=facts)


def _eye_photos(spec: EyePhotosData) -> Stored:
    from modelswitch.data.eyes.photographs import PhotographReader

    found, where = find_samples(spec), shown(spec.path)
    files = PictureReader(spec.frames)
    total = sum(map(len, found.parts.values()))
    reader = PhotographReader(spec, total)
    kept: dict[str, list[tuple[Sample, dict[str, torch.Tensor]]]] = {}
    for split, samples in found.parts.items():
        kept[split] = []
        for sample in samples:
            file = sample.files["photo"]
            name = place_in(file, spec.path)
            for frame in files.read(file, reader.options):
                views = reader.read(frame, shown(str(file)), name, sample.label, split)
                if views is not None:
                    kept[split].append((sample, views))
    files.finish(spec.corrupt == "skip")
    reader.finish()
    trained = found.parts.get("train", found.parts.get(WHOLE, []))
    learnt = kept.get("train", kept.get(WHOLE, []))
    few = reader.too_few(
        dict.fromkeys(s.label for s in trained), Counter(s.label for s, _ in learnt), where
    )
    kept = {k: [pair for pair in part if pair[0].label not in few] for k, part in kept.items()}
    if "test" in kept and not kept["test"]:
        raise UserError(f"{where}: no iris was found in any photograph for testing")
    left_out = found.left_out + Counter({"corrupt photograph": len(files.corrupt)})
    facts = {"pixels": reader.pixel_facts()} | reader.facts(few)
    if +left_out:
        facts["left out"] = ", ".join(f"{n} × {why}" for why, n in sorted((+left_out).items()))
    groups = {split: [s.group for s, _ in part] for split, part in kept.items()}
    grouped = any(group is not None for part in groups.values() for group in part)
    return Stored(
        where,
        {
            name: {k: torch.stack([v[name] for _, v in part]) for k, part in kept.items() if part}
            for name in spec.datasets
        },
        {split: [s.label for s, _ in part] for split, part in kept.items() if part},
        [label for label in found.labels if label not in few],
        {k: [g or "" for g in part] for k, part in groups.items() if part} if grouped else None,
        dict.fromkeys(spec.datasets, facts),
        files_of={
            split: [[place_in(s.files["photo"], spec.path)] for s, _ in part]
            for split, part in kept.items()
            if part
        },
        irises=reader.irises,
    )


def _npz(spec: NpzData | PairedData) -> Stored:
    where = shown(spec.path)
    if isinstance(spec, PairedData) and spec.stored != "raw":
        raise UserError(
            f"data.stored: {spec.stored} is for image files, and {where} is an archive; say raw"
        )
    begins = array_names(spec)

    def stored(archive: Mapping[str, np.ndarray]) -> Stored:
        keys, unused = keys_in(archive, (*begins.values(), "y"), ("groups",), where, spec.splits)
        left_out = [key for key in unused if key != "class_names"]
        images, facts = {}, {}
        for name, begin in begins.items():
            known_as = {split: f"{where}: {key}" for split, key in keys[begin].items()}
            parts = {split: archive[key] for split, key in keys[begin].items()}
            images[name], facts[name] = pixels_of_arrays(parts, known_as, spec.pixel_options(name))
            if left_out:
                facts[name]["left out"] = f"arrays that are not used: {some(left_out)}"
        groups = {split: archive[key] for split, key in keys["groups"].items()}
        known_as = {split: f"{where}: {key}" for split, key in keys["groups"].items()}
        return Stored(
            where,
            images,
            {split: archive[key] for split, key in keys["y"].items()},
            class_names_in(archive, where),
            groups_of(groups, known_as) if groups else None,
            facts,
            names={split: f"{where}: {key}" for split, key in keys["y"].items()},
        )

    return read_npz(Path(spec.path), stored)


def _idx(spec: IdxData) -> Stored:
    files = idx_files(Path(spec.path))
    [dataset] = spec.datasets
    images, facts = pixels_of_arrays(
        {split: read_idx(pair.images) for split, pair in files.items()},
        {split: shown(pair.images) for split, pair in files.items()},
        spec.pixel_options(dataset),
    )
    return Stored(
        shown(spec.path),
        {dataset: images},
        {split: read_idx(pair.labels) for split, pair in files.items()},
        spec.class_names,
        facts={dataset: facts},
        names={split: shown(pair.labels) for split, pair in files.items()},
    )


def _files(spec: StoredSpec, room: Room | None) -> Stored:
    found, where = find_samples(spec), shown(spec.path)
    total = sum(map(len, found.parts.values()))
    streams = None
    if room is not None and to_be_streamed(spec, found):
        every = [sample for part in found.parts.values() for sample in part]
        files_of = {name: [sample.files[name] for sample in every] for name in spec.datasets}
        streams = Streams(spec, files_of, room, total)
    reader = PictureReader(spec.frames)
    kept: dict[str, list[Sample]] = {split: [] for split in found.parts}
    pictures: dict[str, dict[str, list[Picture]]] = {
        name: {split: [] for split in found.parts} for name in spec.datasets
    }
    damaged = 0
    progress = Progress(total, room.report if room is not None else None)
    for split, samples in found.parts.items():
        for sample in samples:
            count = streams.again(split, sample, reader) if streams is not None else None
            progress.step(read=count is None)
            if count is None:
                frames = {
                    name: reader.read(file, spec.pixel_options(name))
                    for name, file in sample.files.items()
                }
                count = _in_step(frames, f"{where}: {sample.name!r}")
                frames = {name: each[:count] for name, each in frames.items()}
                if streams is not None:
                    streams.add(split, sample, frames, reader)
                else:
                    for name, each in frames.items():
                        pictures[name][split] += each
            damaged += count == 0
            kept[split] += [sample] * count
    reader.finish(spec.corrupt == "skip")
    if damaged > total / 2:
        raise UserError(f"{where}: {damaged} of {total} samples are corrupt; none are skipped then")
    if sum(map(len, kept.values())) > total - damaged:
        # Pages of a document, frames of a film: as good as copies of one another.
        kept = {
            split: [replace(s, group=s.group or s.name) for s in part]
            for split, part in kept.items()
        }
    left_out = found.left_out + Counter({"corrupt sample": damaged})
    images: dict[str, Mapping[str, Rows]] = {}
    facts, files = {}, {}
    for name, parts in pictures.items():
        known_as = {split: f"{where}: {split or 'its'} images" for split in parts}
        paths = {split: [shown(str(s.files[name])) for s in part] for split, part in kept.items()}
        options = spec.pixel_options(name)
        images[name], facts[name], ranges = (
            streams.pixels(name, known_as)
            if streams is not None
            else pixels_of_pictures(parts, known_as, paths, options)
        )
        files[name] = {
            "ranges": {str(depth): list(ends) for depth, ends in ranges.items()},
            "background": options.background,
        }
        if +left_out:
            facts[name]["left out"] = ", ".join(
                f"{count} × {reason}" for reason, count in sorted((+left_out).items())
            )
    groups = {split: [s.group for s in part] for split, part in kept.items()}
    grouped = any(group is not None for part in groups.values() for group in part)
    return Stored(
        where,
        images,
        {split: [s.label for s in part] for split, part in kept.items()},
        found.labels,
        {k: [g or "" for g in part] for k, part in groups.items()} if grouped else None,
        facts,
        files,
        files_of={
            split: [[place_in(file, spec.path) for file in s.files.values()] for s in part]
            for split, part in kept.items()
        },
    )


def _in_step(frames: Mapping[str, Sequence[Picture]], where: str) -> int:
    """How many frames a sample has in every data set, none if it is corrupt in one."""
    fewest, most = (choose(map(len, frames.values())) for choose in (min, max))
    if fewest != most and fewest > 0:
        counts = ", ".join(f"{len(each)} in {name}" for name, each in frames.items())
        raise UserError(f"{where} has different frames: {counts}")
    return fewest


def _torchvision(spec: TorchvisionData) -> Stored:
    kind = torchvision_dataset(spec.dataset)
    [dataset] = spec.datasets
    options = spec.pixel_options(dataset)
    pictures: dict[str, list[Picture]] = {}
    labels: dict[str, np.ndarray] = {}
    names: list[str] | None = None
    for split in ("train", "test"):
        try:
            stored = _open_torchvision(kind, spec, split == "train")
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"data.dataset: torchvision cannot provide {spec.dataset} in {spec.root} ({reason})"
            ) from error
        names = names or [str(name) for name in getattr(stored, "classes", [])] or None
        pairs = list(stored)
        try:
            pictures[split] = [picture(image, options) for image, _ in pairs]
        except Unreadable as reason:
            raise UserError(f"data.dataset: an image of {spec.dataset} {reason}") from reason
        labels[split] = np.asarray([label for _, label in pairs])
    known_as = {split: f"{spec.dataset}: {split} images" for split in pictures}
    paths = {
        split: [f"{spec.dataset}: {split} image {n}" for n in range(len(part))]
        for split, part in pictures.items()
    }
    images, facts, _ = pixels_of_pictures(pictures, known_as, paths, options)
    return Stored(spec.dataset, {dataset: images}, dict(labels), names, facts={dataset: facts})


def torchvision_dataset(name: str) -> type:
    """The class of torchvision.datasets; raises `UserError` for what is no classification set."""
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
    if "train" in inspect.signature(kind.__init__).parameters:
        return kind(spec.root, train=train, download=True)
    return kind(spec.root, split="train" if train else "test", download=True)
