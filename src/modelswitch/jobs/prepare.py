"""Turning a data set, wherever it is kept, into one checked file of arrays a modality."""

import sys
from collections.abc import Sequence

from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.images import UnreadableFiles
from modelswitch.data.sources import read

_MOST_LISTED = 40  # classes; the page has them all


def prepare(spec: DataSpec, paths: Sequence[str]) -> list[str]:
    """Write the data set to ``paths``, one a modality in order; lines about each are returned.

    Files that cannot be read are all listed on stderr, before the error that names the first ones.
    """
    try:
        sets = read(spec)
    except UnreadableFiles as error:
        print(*error.lines, sep="\n", file=sys.stderr)
        raise
    lines = []
    for path, (name, arrays) in zip(paths, sets.items(), strict=True):
        arrays.save(path)
        lines += [f"{name}: {line}" for line in _described(arrays)]
    return lines


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
