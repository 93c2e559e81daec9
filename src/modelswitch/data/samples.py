"""Which image files make a data set: samples with a label, a split and perhaps a group, found in
class folders or in a list. Nothing is read but names.

A folder holds ``<class>/…/<image>``, or that inside ``train``, ``test`` and perhaps
``validation``. With several modalities a class folder lies inside that of a modality, and a sample
is one name in all of them.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

from modelswitch.config.data import (
    DataSpec,
    EyePhotosData,
    FolderData,
    NpzData,
    PairedData,
)
from modelswitch.config.data_base import ShardsData
from modelswitch.data.eyes.owners import eyes_in
from modelswitch.data.folders import (
    IMAGE_ENDINGS,
    WHOLE,
    Folder,
    leads_out,
    looks_like_split,
    natural_order,
    normal,
    possible,
    scan,
    shown,
    some,
    split_named,
    together_like_splits,
)
from modelswitch.data.lists import list_rows
from modelswitch.data.members import FileOrMember, place_in
from modelswitch.data.shards import shard_samples
from modelswitch.errors import UserError

FilesSpec = FolderData | PairedData | EyePhotosData
StoredSpec = FolderData | PairedData | ShardsData
Parts = dict[str, list["Sample"]]


@dataclass(frozen=True)
class Sample:
    """One image file in every data set (modality), all of which show the same; of an eye one
    photograph, from which the modalities come."""

    label: str
    name: str
    files: dict[str, FileOrMember]
    group: str | None = None


@dataclass(frozen=True)
class Samples:
    """Samples by split, or all under `WHOLE`; what was left out, by reason; the names of all
    classes in an order of the data's own, if they have one."""

    parts: Parts
    left_out: Counter[str]
    class_names: list[str] | None = None

    @property
    def labels(self) -> list[str]:
        """The names of all classes, in their order."""
        if self.class_names is not None:
            return self.class_names
        return natural_order({s.label for part in self.parts.values() for s in part})


def is_archive(spec: DataSpec) -> TypeGuard[NpzData | PairedData]:
    """Whether a source is a .npz and no folder."""
    if isinstance(spec, PairedData):
        return spec.csv is None and not Path(spec.path).is_dir()
    return isinstance(spec, NpzData)


def find_samples(spec: FilesSpec | ShardsData) -> Samples:
    """The samples of a folder, or of files with many; raises `UserError` where it can be read in
    two ways what they are."""
    if isinstance(spec, ShardsData):
        return _of_shards(spec)
    root = Path(spec.path)
    if not root.is_dir():
        raise UserError(f"data.path: {shown(root)}: no such folder")
    if spec.csv is None:
        tree, left_out = scan(root, spec.follow_links)
        parts = _of_folders(spec, tree)
        used = _files(parts)
    else:
        parts, unused_columns = _of_list(spec, root)
        used = _files(parts)
        # A list may name what is hidden, and files of any ending.
        tree, left_out = scan(root, spec.follow_links, {f for f in used if isinstance(f, Path)})
        left_out.update(f"column {name!r} of the list" for name in unused_columns)
    if unused := sum(file not in used for file in tree.all_images()):
        listed = "class folders" if spec.csv is None else "the list"
        lacking = ", or of a sample that not all modalities have" if _skips(spec) else ""
        left_out[f"image outside of {listed}{lacking}"] = unused
    if spec.groups is not None:
        parts = {
            split: [replace(s, group=_group(s, spec.groups, root)) for s in part]
            for split, part in parts.items()
        }
    found = Samples(_ordered(parts), left_out)
    _refuse_untrained_classes(found, shown(root))
    return found


def _of_shards(spec: ShardsData) -> Samples:
    stored = shard_samples(spec)
    [dataset] = spec.datasets
    parts = {
        split: [Sample(name, place_in(m, spec.path), {dataset: m}, of) for m, name, of in part]
        for split, part in stored.parts.items()
    }
    found = Samples(_ordered(parts), stored.left_out, stored.class_names)
    _refuse_untrained_classes(found, shown(spec.path))
    return found


def _skips(spec: FilesSpec) -> bool:
    """Whether a sample that a modality lacks is left out."""
    return isinstance(spec, PairedData) and spec.unpaired == "skip"


def _files(parts: Parts) -> set[FileOrMember]:
    return {file for part in parts.values() for sample in part for file in sample.files.values()}


def _ordered(parts: Parts) -> Parts:
    """By class and name, whatever order a list or a file system has."""
    labels = natural_order({s.label for part in parts.values() for s in part})
    rank = {label: number for number, label in enumerate(labels)}
    return {
        split: sorted(part, key=lambda s: (rank[s.label], s.name)) for split, part in parts.items()
    }


def _refuse_untrained_classes(found: Samples, where: str) -> None:
    trained = {s.label for s in found.parts.get("train", found.parts.get(WHOLE, []))}
    unknown = [label for label in found.labels if label not in trained]
    if unknown:
        raise UserError(f"{where}: {len(unknown)} classes have no training image: {some(unknown)}")


def _group(sample: Sample, expression: str, root: Path) -> str:
    path = place_in(next(iter(sample.files.values())), root)
    found = re.search(expression, path)
    group = found and normal(found.group(found.re.groups) or "")
    if not group:
        raise UserError(f"data.groups: {expression!r} finds nothing in {path!r}")
    return group


# ------------------------------------------------------------------------------ class folders


def _of_folders(spec: FilesSpec, tree: Folder) -> Parts:
    modalities = spec.modalities if isinstance(spec, PairedData) else ()
    parts = {}
    for split, holder in _holders(tree, spec, modalities).items():
        if isinstance(spec, EyePhotosData):
            owned = eyes_in(holder, spec)
            parts[split] = [Sample(label, name, {"photo": file}) for label, name, file in owned]
            continue
        found = {
            name: _in_classes(_modality(holder, name) if modalities else holder, spec, split)
            for name in spec.datasets
        }
        if _skips(spec):
            found = _in_all(found, holder.path)
        _refuse_unpaired(found, holder.path)
        parts[split] = [
            Sample(
                label, f"{label}/{name}", {key: files[label, name] for key, files in found.items()}
            )
            for label, name in next(iter(found.values()))
        ]
    both = {s.name for s in parts.get("train", [])} & {s.name for s in parts.get("test", [])}
    if modalities and both:
        raise UserError(
            f"{shown(tree.path)}: {len(both)} samples are in both train and test: "
            f"{some(sorted(both))}"
        )
    return parts


def _holders(tree: Folder, spec: FilesSpec, modalities: tuple[str, ...]) -> dict[str, Folder]:
    """The folder of each split, or the whole tree."""
    folders = {folder.name: folder for folder in tree.folders}
    if spec.splits:
        for name in spec.splits.values():
            if normal(name) not in folders:
                raise UserError(f"data.splits: {shown(tree.path)} has no folder {name!r}")
        return {split: folders[normal(name)] for split, name in spec.splits.items()}
    filled = [folder for folder in tree.folders if any(folder.all_images())]
    alike = [f.name for f in filled if looks_like_split(f.name) and f.name not in modalities]
    if not alike and together_like_splits(f.name for f in filled if f.name not in modalities):
        alike = [f.name for f in filled]
    if spec.splits is not None or not alike:
        return {WHOLE: tree}
    named = {split_named(folder.name): folder for folder in filled}
    if len(named) == len(filled) and {"train", "test"} <= named.keys() and None not in named:
        return {split: folder for split, folder in named.items() if split is not None}
    others = [folder.name for folder in filled if folder.name not in alike]
    beside = f", beside {some(others)}" if others else ""
    raise UserError(
        f"{shown(tree.path)}: its folders {some(alike)} look like splits{beside}; say which is "
        "what, for instance data.splits: {train: …, test: …}, or data.splits: none if they are "
        "classes"
    )


def _modality(holder: Folder, name: str) -> Folder:
    for folder in holder.folders:
        if folder.name == name:
            return folder
    raise UserError(f"{shown(holder.path / name)}: no such folder; each modality needs one")


def _in_classes(holder: Folder, spec: FilesSpec, split: str) -> dict[tuple[str, str], Path]:
    """Files by class and name; where they have to match others, names are without endings."""
    several = len(spec.datasets) > 1
    classes: dict[str, Folder] = {}
    found: dict[tuple[str, str], Path] = {}
    twice: Counter[str] = Counter()
    for folder in holder.folders:
        label = folder.name
        if not label:
            raise UserError(f"{shown(folder.path)}: a class has no name but blanks")
        if label in classes:
            # In ASCII, for two forms of Unicode look the same.
            raise UserError(
                f"{shown(holder.path)}: one class has two folders, "
                f"{classes[label].path.name!a} and {folder.path.name!a}"
            )
        classes[label] = folder
        for path in folder.all_images():
            place = path.relative_to(folder.path)
            name = normal(place.with_suffix("").as_posix()) if several else place.as_posix()
            twice[f"{label}/{name}"] += several and (label, name) in found
            found[label, name] = path
    if +twice:
        raise UserError(
            f"{shown(holder.path)}: {len(+twice)} samples exist with two extensions: {some(+twice)}"
        )
    if not found:
        raise UserError(
            f"{shown(holder.path)}: no <class>/<image> below it; images end in "
            f"{', '.join(sorted(IMAGE_ENDINGS))}"
        )
    if spec.splits is None:
        _refuse_inner_splits(holder, several and split == WHOLE)
    empty = [label for label, folder in classes.items() if not any(folder.all_images())]
    if empty and split in ("train", WHOLE):
        raise UserError(
            f"{shown(holder.path)}: {len(empty)} class folders have no image: {some(empty)}"
        )
    return found


def _refuse_inner_splits(holder: Folder, of_modality: bool) -> None:
    """Raise where folders that look like splits lie inside a class, or inside a modality."""
    places = [*holder.folders, *([holder] if of_modality else [])]
    for place in places:
        inner = [f.name for f in place.folders if split_named(f.name) and any(f.all_images())]
        if inner:
            raise UserError(
                f"{shown(place.path)}: {some(inner)} look like splits; the folders of splits "
                "are the outermost, or say data.splits: none"
            )


def _in_all(
    found: dict[str, dict[tuple[str, str], Path]], holder: Path
) -> dict[str, dict[tuple[str, str], Path]]:
    """What every modality has; a class that would be gone is refused."""
    shared = set.intersection(*(set(files) for files in found.values()))
    everywhere = {label for files in found.values() for label, _ in files}
    _refuse_lost(everywhere - {label for label, _ in shared}, shown(holder))
    return {
        name: {key: file for key, file in files.items() if key in shared}
        for name, files in found.items()
    }


def _refuse_lost(labels: set[str], where: str) -> None:
    if labels:
        raise UserError(
            f"{where}: data.unpaired: skip would leave nothing of {len(labels)} classes, of "
            f"which no sample is in all modalities: {some(sorted(labels))}"
        )


def _refuse_unpaired(found: dict[str, dict[tuple[str, str], Path]], holder: Path) -> None:
    everything = set().union(*found.values())
    everywhere = {label for label, _ in everything}
    for modality, files in found.items():
        missing = everywhere - {label for label, _ in files}
        if missing:
            raise UserError(
                f"{shown(holder / modality)}: {len(missing)} classes missing that another modality "
                f"has: {some(sorted(missing))}"
            )
    unpaired = {modality: sorted(everything - files.keys()) for modality, files in found.items()}
    if any(unpaired.values()):
        counts = "; ".join(
            f"{modality} lacks {len(keys)}: {some((f'{a}/{b}' for a, b in keys), 3)}"
            for modality, keys in unpaired.items()
            if keys
        )
        raise UserError(
            f"{shown(holder)}: unpaired samples ({len(everything)} in all): {counts}; "
            "data.unpaired: skip leaves such samples out"
        )


# ------------------------------------------------------------------------------------- lists


def _of_list(spec: FilesSpec, root: Path) -> tuple[Parts, list[str]]:
    """The samples of a CSV file, and its columns that are not used; every cell is text, whatever it
    looks like."""
    assert spec.csv is not None
    columns = spec.datasets if isinstance(spec, PairedData) else ["path"]
    parts: Parts = {}
    seen: dict[str, int] = {}
    skipped: set[str] = set()
    rows, unused = list_rows(Path(spec.csv), [*columns, "label"], ["split", "group"])
    for line, row in rows:
        where = f"{shown(spec.csv)}, line {line}"
        label, split = normal(row["label"]), row.get("split", "").strip()
        if not label:
            raise UserError(f"{where}: has no label")
        part = split_named(split) if split else WHOLE
        if part is None:
            raise UserError(f"{where}: the split is {split!r}, expected train, validation or test")
        lacking = [column for column in columns if not row[column].strip()]
        if lacking and len(lacking) < len(columns):
            if _skips(spec):
                skipped.add(label)
                continue
            raise UserError(
                f"{where}: has no {lacking[0]}; every sample needs {', '.join(columns)}, or say "
                "data.unpaired: skip"
            )
        files: dict[str, FileOrMember] = {}
        names = ["photo"] if isinstance(spec, EyePhotosData) else spec.datasets
        for name, column in zip(names, columns, strict=True):
            file = Path(os.path.normpath(root / row[column]))
            if (
                not row[column].strip()
                or not possible(file)
                or (not spec.follow_links and leads_out(file, root))
            ):
                cell = row[column] if len(row[column]) < 200 else row[column][:200] + "…"
                raise UserError(f"{where}: {column} is {cell!r}, no file in {shown(root)}")
            if (before := seen.setdefault(str(file), line)) != line:
                raise UserError(f"{where}: {row[column]!r} stands in line {before}, too")
            files[name] = file
        group = normal(row.get("group", "")) or None
        parts.setdefault(part, []).append(Sample(label, row[columns[0]], files, group))
    everyone = [sample for part in parts.values() for sample in part]
    _refuse_lost(skipped - {sample.label for sample in everyone}, shown(spec.csv))
    if WHOLE in parts and len(parts) > 1:
        raise UserError(f"{shown(spec.csv)}: {len(parts[WHOLE])} of its rows have no split")
    ungrouped = sum(sample.group is None for sample in everyone)
    if 0 < ungrouped < len(everyone):
        raise UserError(f"{shown(spec.csv)}: {ungrouped} of its rows have no group")
    if not everyone or ("train" not in parts and WHOLE not in parts):
        raise UserError(f"{shown(spec.csv)}: names no image to train on")
    return parts, unused
