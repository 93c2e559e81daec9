"""What is known of a data set before its images are read, and what is not."""

import numpy as np
import pytest
import torchvision

from modelswitch.config.data import EyesData, PairedData, TorchvisionData
from modelswitch.config.verification import Verification
from modelswitch.data.published import PUBLISHED
from modelswitch.data.shapes import image_counts, shapes_of, sizes_of
from modelswitch.data.sources import read, read_strangers


@pytest.mark.parametrize(
    ("dataset", "size", "shape", "images"),
    [
        ("CIFAR10", None, ((32, 32, 3), 10), 50_000),
        ("CIFAR100", None, ((32, 32, 3), 100), 50_000),
        ("CIFAR100", (64, 48), ((64, 48, 3), 100), 50_000),
        ("MNIST", None, ((28, 28, 1), 10), 60_000),
        ("STL10", None, ((96, 96, 3), 10), 5_000),
        # Its pictures differ in size.
        ("Food101", None, None, 75_750),
        ("Food101", (224, 224), ((224, 224, 3), 101), 75_750),
        # Nothing is known of it, and nothing is put in its place.
        ("CelebA", (32, 32), None, None),
    ],
)
def test_a_torchvision_set_is_as_published_or_unknown(dataset, size, shape, images):
    spec = TorchvisionData(source="torchvision", dataset=dataset, size=size)

    assert shapes_of(spec) == {"torchvision": shape}
    assert (image_counts(spec) or (None,))[0] == images


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_agrees_with_torchvisions_classes(name):
    kind = getattr(torchvision.datasets, name)
    classes = getattr(kind, "classes", None)
    if isinstance(classes, list | tuple):
        assert len(classes) == PUBLISHED[name].classes


def test_every_modality_has_a_shape_of_its_own():
    spec = EyesData(source="eyes", identities=5, train=7, periocular=(24, 32), iris=(16, 48))
    assert shapes_of(spec) == {"periocular": ((24, 32, 3), 5), "iris": ((16, 48, 1), 5)}
    assert image_counts(spec) == (5 * 7, 5 * 10, None, 0)


def test_people_held_back_are_neither_classes_nor_images_to_train_on(tmp_path):
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(20), 6)
    names = ("face", "ear")
    images = {name: rng.integers(0, 256, (120, 10, 8, 3), dtype=np.uint8) for name in names}
    np.savez(tmp_path / "people.npz", y=labels, **images)
    spec = PairedData(
        source="paired", path=str(tmp_path / "people.npz"), modalities=names, strangers=0.4
    )
    sets, strangers = read(spec), read_strangers(spec, Verification())
    for name, size in sizes_of(spec).items():
        arrays = sets[name]
        assert size.classes == len(arrays.class_names) == 12
        assert size.train + size.test == len(arrays.train_labels) + len(arrays.test_labels)
        assert size.test == pytest.approx(len(arrays.test_labels), abs=12)
        assert size.strangers == len(strangers[name].labels) == 8 * 6
