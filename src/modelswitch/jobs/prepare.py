"""Turning a data set, wherever it is kept, into one checked file of arrays a modality."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import PIL
import torch

from modelswitch.config.base import canonical
from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.eyes.photographs import TooFewPhotographs
from modelswitch.data.folders import shown
from modelswitch.data.images import UnreadableFiles
from modelswitch.data.leaks import leaks
from modelswitch.data.manifest import Manifest, Record, manifest
from modelswitch.data.sources import read_with_places
from modelswitch.data.splits import unrepresented
from modelswitch.data.streamed import Room
from modelswitch.errors import UserError
from modelswitch.execution.malloc import return_large_blocks
from modelswitch.lineage import (
    CHECKSUM_FILE,
    IRIS_EXAMPLES_FILE,
    IRISES_FILE,
    SOURCE_FILE,
    SPLITS_FILE,
)
from modelswitch.storage import artifacts, atomic, unfinished_rows
from modelswitch.storage.stored_rows import chosen

_MOST_LISTED = 40  # classes; the page has them all


def prepare(
    spec: DataSpec,
    paths: Sequence[str | Path],
    holds: str = "",
    configuration: Sequence[str] = (),
    code: str = "",
) -> list[str]:
    """Write the data set to ``paths``, one a modality in order; lines about each are returned.

    Beside each lie its checksum, which changes where the arrays do, and what it was made from;
    beside the first a table of which sample is in which split, in the form of ``data.csv``, and of
    photographs of eyes a table of what was found in them, with examples.
    Files that cannot be read are all listed on stderr, before the error that names the first ones.
    Images that go through the disk stay there if this is killed, and the next one goes on behind
    them.

    Args:
        holds: the identity of the data's manifest when this was planned, if it was.
        configuration: the files that ``spec`` comes from.
        code: digest of the code that does this.
    """
    return_large_blocks()
    found = manifest(spec)
    _refuse_changed(spec, holds or found.identity, found, "since the workflow was started")
    folder = Path(paths[0]).parent
    versions = {**artifacts.package_versions(), "pillow": PIL.__version__}
    room = Room(folder, canonical([found.identity, code, versions]), _say)
    try:
        lines = _prepared(spec, paths, room, found, configuration, code)
    except unfinished_rows.InUse:
        raise
    except (UserError, OSError):
        # It would end so again, or the disk is full: of use is what a kill leaves.
        unfinished_rows.remove(folder)
        raise
    unfinished_rows.remove(folder)
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _prepared(
    spec: DataSpec,
    paths: Sequence[str | Path],
    room: Room,
    found: Manifest,
    configuration: Sequence[str],
    code: str,
) -> list[str]:
    try:
        assembled = read_with_places(spec, room)
    except (UnreadableFiles, TooFewPhotographs) as error:
        print(*error.lines, sep="\n", file=sys.stderr)
        raise
    source = shown(getattr(spec, "path", spec.source))
    # All are checked before the first is written.
    sets = {
        name: _with_facts(
            arrays,
            source if len(assembled.sets) == 1 else f"{source}: {name}",
            spec.leaks == "allowed",
        )
        for name, arrays in assembled.sets.items()
    }
    _refuse_changed(spec, found.identity, manifest(spec), "while it was read")
    record = Record.of(spec, found, Path(paths[0]).parent.parent, configuration, code)
    lines = []
    for path, (name, arrays) in zip(map(Path, paths), sets.items(), strict=True):
        arrays.save(path)
        # Of what is here and nothing else, so that equal arrays have equal files.
        stored = {
            "checksum": artifacts.read_passport(path)["checksum"],
            "classes": arrays.class_names,
        }
        atomic.write_text(path.with_name(Path(CHECKSUM_FILE).name), canonical(stored) + "\n")
        record.write(path.with_name(Path(SOURCE_FILE).name))
        lines += [f"{name}: {line}" for line in _described(arrays)]
    splits = Path(paths[0]).with_name(Path(SPLITS_FILE).name)
    with atomic.replacing(splits) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([assembled.columns, *assembled.rows])
    if assembled.irises is not None:
        beside = [Path(paths[0]).with_name(Path(f).name) for f in (IRISES_FILE, IRIS_EXAMPLES_FILE)]
        assembled.irises.write(*beside)
    return lines


def _refuse_changed(spec: DataSpec, before: str, now: Manifest, when: str) -> None:
    if before != now.identity:
        raise UserError(
            f"{shown(getattr(spec, 'path', spec.source))}: changed {when}; start it again"
        )


def _with_facts(arrays: ImageArrays, where: str, leaks_allowed: bool) -> ImageArrays:
    """The data set with what a person is told of its splits; raises `UserError` for leaks."""
    given = arrays.given_validation
    held = torch.zeros(len(arrays.train_labels), dtype=torch.bool) if given is None else given
    parts = {
        "training": (chosen(arrays.train_images, ~held), arrays.train_labels[~held]),
        "validation": (chosen(arrays.train_images, held), arrays.train_labels[held]),
        "test": (arrays.test_images, arrays.test_labels),
    }
    parts = {part: pair for part, pair in parts.items() if len(pair[1])}
    facts = leaks(parts, arrays.class_names, where, leaks_allowed)
    everything = torch.cat([labels for _, labels in parts.values()])
    sizes = [len(labels) for _, labels in parts.values()]
    for part, rows in zip(parts, torch.arange(len(everything)).split(sizes), strict=True):
        for line in unrepresented(everything, rows, arrays.class_names, part):
            facts[f"{part} lacks"] = line.removeprefix(f"{part}: ")
    return replace(arrays, reading=arrays.reading | facts)


def _described(arrays: ImageArrays) -> list[str]:
    counts = arrays.counts()
    totals = {"train": "training", "validation": "validation", "test": "test"}
    images = " and ".join(f"{sum(counts[s])} {word}" for s, word in totals.items() if s in counts)
    shape = "x".join(map(str, arrays.image_shape))
    classes = [
        f"{number} {name!r} {' + '.join(str(counts[split][number]) for split in counts)}"
        for number, name in enumerate(arrays.class_names[:_MOST_LISTED])
    ]
    more = f", and {arrays.num_classes - _MOST_LISTED} more" * (arrays.num_classes > _MOST_LISTED)
    return [
        f"{images} images {shape}, {arrays.num_classes} classes",
        *(f"{heading}: {text}" for heading, text in arrays.reading.items()),
        f"classes ({' + '.join(counts)}): {', '.join(classes)}{more}",
    ]
