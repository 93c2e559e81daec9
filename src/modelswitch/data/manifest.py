"""What a data set is made from: its files, and what they hold.

Light to import: Snakemake asks while it plans.

Prepared arrays depend on what is in the files and on the settings that say how to read it; not on
where the files are, on their dates, or on how images are split and altered later.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelswitch.config.base import canonical, digest
from modelswitch.config.data import (
    DataSpec,
    EyePhotosData,
    FolderData,
    IdxData,
    NpzData,
    PairedData,
)
from modelswitch.config.data_base import ShardsData
from modelswitch.data.folders import shown
from modelswitch.data.idx import idx_files
from modelswitch.data.samples import find_samples, is_archive
from modelswitch.data.shards import shard_files
from modelswitch.errors import UserError
from modelswitch.storage import atomic
from modelswitch.storage.contents import file_digests
from modelswitch.storage.letters import refuse_others

# Where the data are, and what is done with them after they are read.
_ELSEWHERE = {"path", "root", "csv", "name", "augment", "validation", "keep"}
# What refuses data and changes nothing in them.
_STRICTNESS = {"leaks"}


@dataclass(frozen=True)
class Manifest:
    """What arrays are made from: settings, and a digest of what all files hold ('' for none)."""

    settings: dict[str, Any]
    contents: str

    @property
    def identity(self) -> str:
        """One JSON string for all of it."""
        return canonical(asdict(self))

    @property
    def makes(self) -> tuple[str, str]:
        """What decides over the arrays, if there are any."""
        settings = {key: value for key, value in self.settings.items() if key not in _STRICTNESS}
        return canonical(settings), self.contents


def settings_of(spec: DataSpec) -> dict[str, Any]:
    """What a configuration says about how the data are read."""
    return spec.model_dump(mode="json", exclude=_ELSEWHERE)


def manifest(spec: DataSpec) -> Manifest:
    """The manifest of a data set; its files are read once and then remembered.

    Raises `UserError` where they are not there, or their names can be read in two ways.
    """
    return Manifest(settings_of(spec), _contents(spec))


def _contents(spec: DataSpec) -> str:
    known = NpzData | IdxData | FolderData | EyePhotosData | PairedData | ShardsData
    if not isinstance(spec, known):
        return ""
    path = Path(spec.path)
    if isinstance(spec, ShardsData):
        return _of_shards(spec, path)
    if isinstance(spec, IdxData):
        files = [file for pair in idx_files(path).values() for file in pair]
        return digest(canonical(file_digests(files, str(path))))
    if is_archive(spec):
        if not path.is_file():
            wanted = "file" if isinstance(spec, NpzData) else "folder or .npz file"
            raise UserError(f"data.path: {shown(path)}: no such {wanted}")
        return file_digests([path], str(path))[0]
    assert not isinstance(spec, NpzData)
    parts = sorted(find_samples(spec).parts.items())
    samples = [(split, sample) for split, part in parts for sample in part]
    images = [file for _, sample in samples for file in sample.files.values()]
    files = [file for file in images if isinstance(file, Path)]
    refuse_others(f"data.path: {shown(path)}", map(str, files))
    digests = iter(file_digests(files, str(path)))
    lines = [
        [split, sample.label, sample.name, sample.group, [next(digests) for _ in sample.files]]
        for split, sample in samples
    ]
    return hashlib.sha256(json.dumps(lines, ensure_ascii=False).encode()).hexdigest()


def _of_shards(spec: ShardsData, path: Path) -> str:
    """Which images they hold, and where, is what their bytes say."""
    files = [(split, file) for split, part in shard_files(spec)[0].items() for file in part]
    paths = [file for _, file in files]
    refuse_others(f"data.path: {shown(path)}", map(str, paths))
    digests = file_digests(paths, str(path))
    lines = [
        [split, "" if file == path else file.relative_to(path).as_posix(), held]
        for (split, file), held in zip(files, digests, strict=True)
    ]
    return digest(canonical(sorted(lines)))


@dataclass(frozen=True)
class Record:
    """What prepared arrays were made from, as it lies beside them.

    Attributes:
        path: the file or folder as the configuration named it, '' for none.
        place: where that was.
        folder: where the results of the experiment are.
        configuration: the files that the configuration came from.
        manifest: of the data.
        code: digest of the code that made the arrays.
    """

    path: str
    place: str
    folder: str
    configuration: list[str]
    manifest: Manifest
    code: str

    @classmethod
    def of(
        cls,
        spec: DataSpec,
        found: Manifest,
        folder: str | Path,
        configuration: Sequence[str | Path] = (),
        code: str = "",
    ) -> "Record":
        path = getattr(spec, "path", "")
        files = [os.path.realpath(file) for file in configuration]
        # Links are kept: one that is set to newer data is the same place.
        place = os.path.abspath(path) if path else ""  # noqa: PTH100
        return cls(path, place, os.path.realpath(folder), files, found, code)

    @classmethod
    def read(cls, path: str | Path) -> "Record | None":
        """The record in a file; None where there is none, or one of another version."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**values | {"manifest": Manifest(**values["manifest"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, path: str | Path) -> None:
        atomic.write_text(path, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @property
    def name(self) -> str:
        """What a person knows the data by."""
        return shown(self.path) if self.path else str(self.manifest.settings.get("source"))

    def made_as(self, other: "Record") -> bool:
        """Whether both are made from the same by the same code."""
        return (self.manifest, self.code) == (other.manifest, other.code)


def refuse_results_among(spec: DataSpec, results: str | Path) -> None:
    """Raise `UserError` where a folder of data holds the folder of results: every picture drawn in
    there would be an image more."""
    path = getattr(spec, "path", "")
    inside = os.path.realpath(results)
    if path and Path(path).is_dir() and Path(inside).is_relative_to(os.path.realpath(path)):
        raise UserError(
            f"data.path: {shown(path)}: holds the folder of results, {shown(results)}; put the "
            "images into a folder of their own"
        )


def refuse_other(before: Record, now: Record, experiment: str) -> None:
    """Raise `UserError` where results of other data lie in a folder under the same name.

    Data that change where they are, or are read by other settings, are the same experiment as
    before, made anew. Other files are not, nor is another configuration whose file is still there.
    """
    if before.manifest.makes == now.manifest.makes:
        return
    # Of a project that was moved or copied as a whole, results and all, only names are the same.
    copied = before.folder != now.folder
    there = not copied and Path(before.place).exists()
    moved = before.place != now.place and (before.path != now.path or there)
    others = [file for file in before.configuration if file not in now.configuration and not copied]
    if moved and before.manifest.contents != now.manifest.contents:
        reason = f"of {before.name}, and {now.name} holds other data"
    elif others and now.configuration and all(Path(file).exists() for file in others):
        reason = f"of {before.name} as {shown(others[0])} reads it"
    else:
        return
    raise UserError(
        f"name: {experiment!r}: {shown(os.path.relpath(now.folder))} has results {reason}; give "
        "one of the two another name, or remove that folder to train anew"
    )


def refuse_unlike(record: Record, spec: DataSpec, folder: str | Path) -> None:
    """Raise `UserError` where results in ``folder`` are of other data than a configuration says.

    Works where the data are not: then their name has to be the same.
    """
    before, now = record.manifest, Manifest(settings_of(spec), record.manifest.contents)
    if before.makes[0] != now.makes[0]:
        keys = sorted(before.settings.keys() | now.settings.keys())
        other = [key for key in keys if before.settings.get(key) != now.settings.get(key)]
        raise UserError(
            f"{shown(folder)}: has results of {record.name} with other settings than the "
            f"configuration's data.{', data.'.join(other)}; run Snakemake with it to make them anew"
        )
    given = Record.of(spec, now, folder)
    if given.place == record.place:
        return
    there = Path(given.path).exists()
    if manifest(spec).contents != before.contents if there else given.path != record.path:
        raise UserError(
            f"{shown(folder)}: has results of {record.name}, and the configuration's data are "
            f"{given.name}, which {'holds other data' if there else 'is not here to compare'}"
        )
