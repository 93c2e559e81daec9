"""From users' files to arrays, and the messages for files that cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from modelswitch.config.data import DigitsData, FolderData, NpzData, TorchvisionData
from modelswitch.data.arrays import ImageArrays, normalisation, prepared_shape
from modelswitch.data.shapes import image_counts, shapes_of
from modelswitch.data.sources import read as read_all
from modelswitch.data.sources import torchvision_dataset
from modelswitch.errors import UserError

RANDOM = np.random.default_rng(0)


def read(spec) -> ImageArrays:
    """The data set of a source that has one."""
    [data] = read_all(spec).values()
    return data


def arrays(**changes) -> dict[str, np.ndarray]:
    values = {
        "x_train": RANDOM.integers(0, 256, (12, 5, 6, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": RANDOM.integers(0, 256, (6, 5, 6, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def npz(folder, **changes) -> NpzData:
    path = folder / "set.npz"
    np.savez(path, **arrays(**changes))
    return NpzData(source="npz", path=str(path))


def with_nan() -> np.ndarray:
    images = RANDOM.random((12, 5, 6, 3))
    images[4, 0, 0, 0] = np.nan
    return images


def test_a_npz_is_read_as_it_is(tmp_path):
    spec = npz(tmp_path, class_names=np.array(["a", "b", "c"]))
    data = read(spec)
    assert data.class_names == ["a", "b", "c"]
    assert data.image_shape == (5, 6, 3)
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.tolist() == [0, 1, 2] * 4
    assert shapes_of(spec) == {"npz": ((5, 6, 3), 3)}
    assert image_counts(spec).train == 12


def test_which_part_of_a_npz_is_for_what_can_be_said(tmp_path):
    usual = npz(tmp_path)
    other = usual.model_copy(update={"splits": {"train": "test", "test": "train"}})
    assert torch.equal(read(usual).train_images, read(other).test_images)
    assert torch.equal(read(usual).test_labels, read(other).train_labels)
    assert shapes_of(other) == shapes_of(usual)
    lacking = usual.model_copy(update={"splits": {"train": "small", "test": "test"}})
    for take in (read, shapes_of):
        with pytest.raises(UserError, match=r"lacks x_small, y_small; it has x_train"):
            take(lacking)
    for wrong in ({"train": "a", "test": "a"}, {"test": "test"}):
        with pytest.raises(ValueError, match=r"two splits|expected train with test"):
            NpzData(source="npz", path="set.npz", splits=wrong)


def test_grey_images_and_floats_are_taken(tmp_path):
    images = np.linspace(0, 1, 12 * 25).reshape(12, 5, 5)
    data = read(npz(tmp_path, x_train=images, x_test=images[:6]))
    assert data.image_shape == (5, 5, 1)
    assert data.train_images.reshape(-1).tolist() == np.rint(images.ravel() * 255).tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_test": None}, ["lacks x_test"]),
        ({"x_train": with_nan(), "x_test": with_nan()[:4]}, ["x_train", "NaN", "number 4"]),
        (dict.fromkeys(("x_train", "x_test"), RANDOM.random((12, 5, 6, 3)) * 400), ["[0, 255]"]),
        ({"x_train": RANDOM.random((12, 5, 6, 3))}, ["x_train", "differ in type", "float64"]),
        ({"x_train": np.zeros((12, 5, 6, 3), np.int32)}, ["x_train", "int32", "uint8"]),
        ({"x_train": np.zeros((12, 3, 32, 32), np.uint8)}, ["channels before height"]),
        ({"x_train": np.zeros((12, 5), np.uint8)}, ["x_train", "(12, 5)"]),
        ({"x_test": np.zeros((6, 5, 7, 3), np.uint8)}, ["(5, 6, 3)", "(5, 7, 3)"]),
        ({"y_train": np.arange(11) % 3}, ["y_train", "12 images"]),
        ({"y_train": np.arange(12) - 1}, ["y_train", "-1"]),
        ({"y_train": np.linspace(0, 1, 12)}, ["y_train", "whole numbers"]),
        ({"y_test": np.array([0, 1, 2, 3, 0, 1])}, ["no training image", "3"]),
        ({"class_names": np.array(["a", "b"])}, ["label 2", "0 to 1"]),
        ({"class_names": np.array("abc")}, ["class_names", "()", "list of names"]),
        ({"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}, ["one class"]),
        ({"x_train": np.array([object()] * 12)}, ["corrupt"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_is_wrong_with_a_npz_is_told_in_one_line(tmp_path, changes, said):
    spec = npz(tmp_path, **changes)
    with pytest.raises(UserError) as caught:
        [check(spec) for check in (shapes_of, read)]
    assert str(caught.value).startswith(spec.path)
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value)


def test_a_label_that_no_test_image_has_changes_no_number(tmp_path):
    data = read(npz(tmp_path, y_test=np.array([0, 2, 0, 2, 2, 0])))
    assert data.class_names == ["0", "1", "2"]
    assert data.test_labels.tolist() == [0, 2, 0, 2, 2, 0]


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i4", "u8", "f8", ">i2"])
def test_labels_of_any_type_of_number_are_read(tmp_path, kind):
    labels = {
        "y_train": (np.arange(12) % 3).astype(kind),
        "y_test": (np.arange(6) % 3).astype(kind),
    }
    data = read(npz(tmp_path, **labels))
    assert data.train_labels.tolist() == [0, 1, 2] * 4
    assert data.train_labels.dtype == torch.int64


def test_a_set_with_the_samples_last_is_refused(tmp_path):
    """As SVHN is published: height, width, channels, samples."""
    images = RANDOM.integers(0, 256, (32, 32, 3, 500), dtype=np.uint8)
    labels = np.arange(500) % 10 + 1
    spec = npz(tmp_path, x_train=images, x_test=images, y_train=labels, y_test=labels)
    with pytest.raises(UserError, match=r"x_train: has shape \(32, 32, 3, 500\)"):
        read(spec)
    for layout in ("channels_last", "channels_first"):
        with pytest.raises(UserError, match="500 labels for 32 images"):
            read(spec.model_copy(update={"layout": layout}))


def test_images_of_one_modality_and_group_stay_together_in_an_archive(tmp_path):
    images = RANDOM.integers(0, 256, (60, 5, 6), dtype=np.uint8)
    people = np.array([f"p{number // 3}" for number in range(60)])
    path = tmp_path / "set.npz"
    np.savez(path, x=images, y=np.arange(60) % 2, groups=people)
    data = read(NpzData(source="npz", path=str(path), test=0.3))
    person = {images[number].tobytes(): people[number] for number in range(60)}
    sides = [
        {person[image.numpy().tobytes()] for image in part[..., 0].contiguous()}
        for part in (data.train_images, data.test_images)
    ]
    assert len(sides[0] | sides[1]) == len(sides[0]) + len(sides[1]) == 20
    np.savez(path, x=images, y=np.arange(60) % 2, groups=people[:-1])
    with pytest.raises(UserError, match="59 groups for 60 labels"):
        read(NpzData(source="npz", path=str(path), test=0.3))


def test_a_npz_that_was_cut_short_is_refused(tmp_path):
    spec = npz(tmp_path)
    content = (tmp_path / "set.npz").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "set.npz").write_bytes(content[:length])
        for function in (read, shapes_of):
            with pytest.raises(UserError, match=r"set\.npz: "):
                function(spec)


def picture(path, size=(8, 6), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 10, 20)).save(path)


def image_folder(root, splits=("train", "test")):
    for split_name in splits:
        for label, name in enumerate(("cat", "dog")):
            for index in range(5):
                picture(root / split_name / name / f"{index}.png", value=100 * label + index)


def test_a_folder_of_images_is_read_by_class(tmp_path):
    image_folder(tmp_path)
    spec = FolderData(source="folder", path=str(tmp_path))
    data = read(spec)
    assert data.class_names == ["cat", "dog"]
    assert data.train_images.shape == (10, 6, 8, 3)
    assert data.train_images[7, 0, 0].tolist() == [102, 10, 20]
    assert shapes_of(spec) == {"folder": ((6, 8, 3), 2)}
    grey = read(FolderData(source="folder", path=str(tmp_path), colour="grey", size=(4, 4)))
    assert grey.image_shape == (4, 4, 1)


def test_one_folder_is_split_the_same_way_every_time(tmp_path):
    image_folder(tmp_path, splits=("",))
    spec = FolderData(source="folder", path=str(tmp_path), test=0.4)
    first, second = read(spec), read(spec)
    assert set(first.test_labels.tolist()) == {0, 1}
    assert len(first.train_labels) + len(first.test_labels) == 10
    assert torch.equal(first.test_images, second.test_images)


def test_folders_that_cannot_be_used_are_told_apart(tmp_path):
    spec = FolderData(source="folder", path=str(tmp_path / "images"))
    with pytest.raises(UserError, match="no such folder"):
        read(spec)
    image_folder(tmp_path / "images")
    picture(tmp_path / "images/train/cat/9.png", size=(9, 6))
    with pytest.raises(UserError, match=r"9\.png.*6x9.*data\.size"):
        read(spec)
    (tmp_path / "images/train/cat/9.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"9\.png: corrupt"):
        read(spec)
    (tmp_path / "images/train/cat/9.png").unlink()
    picture(tmp_path / "images/test/bird/0.png")
    with pytest.raises(UserError, match="no training image: 'bird'"):
        read(spec)


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path):
    image_folder(tmp_path / "images")
    picture(tmp_path / "secret.png")
    (tmp_path / "images/train/cat/9.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError, match=r"9\.png: leads out of the data folder"):
        read(FolderData(source="folder", path=str(tmp_path / "images")))


def test_torchvision_sets_are_known_by_name():
    assert torchvision_dataset("CIFAR10").__name__ == "CIFAR10"
    with pytest.raises(UserError, match=r"data\.dataset.*'CIFAR'.*CIFAR100"):
        torchvision_dataset("CIFAR")


class Downloaded:
    """What torchvision.datasets gives: pairs of a PIL image and a label."""

    classes = ("cat", "dog")

    def __init__(self, count: int, side: int = 6) -> None:
        self.images = [Image.new("RGB", (side, 5), (10 * i, 0, 0)) for i in range(count)]

    def __iter__(self):
        return ((image, index % 2) for index, image in enumerate(self.images))


def test_a_torchvision_set_is_turned_into_arrays(monkeypatch):
    def opened(kind, spec, train):
        return Downloaded(8 if train else 4)

    monkeypatch.setattr("modelswitch.data.sources._open_torchvision", opened)
    data = read(TorchvisionData(source="torchvision", dataset="CIFAR10", size=(4, 3)))
    assert data.class_names == ["cat", "dog"]
    assert data.train_images.shape == (8, 4, 3, 3)
    assert data.train_images[3, 0, 0].tolist() == [30, 0, 0]
    assert data.test_labels.tolist() == [0, 1, 0, 1]


def test_a_set_that_cannot_be_downloaded_is_told_in_one_line(monkeypatch, tmp_path):
    def opened(kind, spec, train):
        raise RuntimeError("Error downloading archive\nmany more lines")

    monkeypatch.setattr("modelswitch.data.sources._open_torchvision", opened)
    spec = TorchvisionData(source="torchvision", dataset="CIFAR10", root=str(tmp_path))
    with pytest.raises(UserError, match=r"^data\.dataset: .*CIFAR10.*Error downloading archive\)$"):
        read(spec)


def test_digits_and_what_is_written_of_them(tmp_path):
    data = read(DigitsData(source="digits"))
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert (data.num_classes, data.image_shape) == (10, (8, 8, 1))
    data.save(tmp_path / "data.safetensors")
    assert prepared_shape(tmp_path / "data.safetensors") == (data.image_shape, data.num_classes)
    again = ImageArrays.load(tmp_path / "data.safetensors")
    assert torch.equal(again.test_images, data.test_images)
    assert len(again.checksum) == 64
    pixels = data.train_images.double() / 255
    assert again.mean == pytest.approx([pixels.mean().item()])
    assert again.std == pytest.approx([pixels.std(unbiased=False).item()])


def test_normalisation_of_a_constant_channel_divides_by_one():
    assert normalisation(torch.full((2, 3, 3, 1), 51, dtype=torch.uint8)) == ([0.2], [1.0])
