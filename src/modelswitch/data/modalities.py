"""Data with several modalities: one checked array set for each, rows in the same order."""

import dataclasses
from pathlib import Path

from modelswitch.config.data import EyesData, PairedData
from modelswitch.data.arrays import ImageArrays, PairedArrays, image_arrays
from modelswitch.data.eyes.render import EyeSettings, generate
from modelswitch.data.paired import read_paired
from modelswitch.data.splits import split_units

Shape = tuple[tuple[int, int, int], int]


def _settings(spec: EyesData) -> EyeSettings:
    return EyeSettings(
        identities=spec.identities,
        train_captures=spec.train,
        test_captures=spec.test,
        periocular=spec.periocular,
        iris=spec.iris,
        variation=spec.variation,
        seed=spec.seed,
    )


def _arrays(spec: EyesData | PairedData) -> PairedArrays:
    if isinstance(spec, EyesData):
        return generate(_settings(spec))
    return read_paired(Path(spec.path), spec.modalities, spec.test)


def read_modalities(spec: EyesData | PairedData) -> dict[str, ImageArrays]:
    """The array set of every modality; raises UserError for what isn't properly paired."""
    arrays = _arrays(spec)
    where = spec.path if isinstance(spec, PairedData) else "eyes"
    # One for all modalities, so that all hold the same samples back.
    units = split_units(
        list(arrays.train_images.values()),
        [arrays.class_names[label] for label in arrays.train_labels.tolist()],
    )
    return {
        name: image_arrays(
            arrays.train_images[name],
            arrays.train_labels,
            arrays.test_images[name],
            arrays.test_labels,
            arrays.class_names,
            f"{where}: {name}",
            units,
        )
        for name in arrays.modalities
    }


def peek_modalities(spec: EyesData | PairedData) -> dict[str, Shape]:
    """Image shape (H, W, C) and number of classes of every modality.

    A paired set is read in full: whether it is paired has to be known before anything is trained.
    """
    if isinstance(spec, EyesData):
        small = dataclasses.replace(
            _settings(spec), identities=1, train_captures=1, test_captures=1
        )
        arrays, classes = generate(small), spec.identities
    else:
        arrays = _arrays(spec)
        classes = len(arrays.class_names)
    return {name: (tuple(v.shape[1:]), classes) for name, v in arrays.train_images.items()}
