"""Turning a data set, wherever it is kept, into one checked file of arrays a modality."""

from collections.abc import Sequence

from modelswitch.config.data import DataSpec
from modelswitch.data.modalities import read_modalities
from modelswitch.data.sources import read


def prepare(spec: DataSpec, paths: Sequence[str]) -> list[str]:
    """Write the data set to ``paths``, one a modality in order; a line about each is returned."""
    several = len(spec.datasets) > 1
    sets = read_modalities(spec) if several else {spec.datasets[0]: read(spec)}
    lines = []
    for path, (name, arrays) in zip(paths, sets.items(), strict=True):
        arrays.save(path)
        train, test = len(arrays.train_labels), len(arrays.test_labels)
        shape = "x".join(map(str, arrays.image_shape))
        lines.append(
            f"{name}: {train} training and {test} test images {shape}, {arrays.num_classes} classes"
        )
    return lines
