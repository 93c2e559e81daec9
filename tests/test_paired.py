"""Paired data: what is read, and what is refused with a count."""

import numpy as np
import pytest
from PIL import Image

from modelswitch.data.paired import read_paired
from modelswitch.errors import UserError

MODALITIES = ("face", "iris")


def picture(rng: np.random.Generator, size: tuple[int, int], grey: bool) -> Image.Image:
    shape = size if grey else (*size, 3)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def folder(root, splits=("",), classes=("ann", "bob"), samples=4, modalities=MODALITIES):
    rng = np.random.default_rng(0)
    for split in splits:
        for at, modality in enumerate(modalities):
            for name in classes:
                place = root / split / modality / name
                place.mkdir(parents=True)
                for i in range(samples):
                    size = (12, 16) if at == 0 else (8, 20)
                    picture(rng, size, grey=at > 0).save(place / f"{split}{i}.png")
    return root


def archive(path, rng=None, **changes):
    rng = rng or np.random.default_rng(0)
    arrays = {
        "face_train": rng.integers(0, 256, (6, 9, 9, 3), dtype=np.uint8),
        "face_test": rng.integers(0, 256, (4, 9, 9, 3), dtype=np.uint8),
        "iris_train": rng.random((6, 8, 20)).astype(np.float32),
        "iris_test": rng.random((4, 8, 20)).astype(np.float32),
        "y_train": np.array([0, 1, 0, 1, 0, 1]),
        "y_test": np.array([0, 1, 0, 1]),
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_a_folder_without_split_is_paired_by_class_and_name(tmp_path):
    data = read_paired(folder(tmp_path), MODALITIES, test_share=0.25)
    assert data.class_names == ["ann", "bob"]
    assert data.train_images["face"].shape == (6, 12, 16, 3)
    assert data.train_images["iris"].shape == (6, 8, 20, 1)
    assert data.test_labels.tolist() == [0, 1]
    # the same row is the same sample in both modalities
    files = sorted((tmp_path / "face").glob("*/*.png"))
    faces = [np.asarray(Image.open(f)) for f in files]
    irises = [np.asarray(Image.open(tmp_path / "iris" / f.parent.name / f.name)) for f in files]
    for face, iris in zip(data.train_images["face"], data.train_images["iris"], strict=True):
        row = next(i for i, other in enumerate(faces) if np.array_equal(other, face))
        assert np.array_equal(irises[row], iris[..., 0])


def test_a_folder_with_train_and_test(tmp_path):
    data = read_paired(folder(tmp_path, ("train", "test"), samples=3), MODALITIES)
    assert len(data.train_labels) == len(data.test_labels) == 6


def test_three_modalities(tmp_path):
    names = ("face", "iris", "ear")
    data = read_paired(folder(tmp_path, modalities=names), names)
    assert data.modalities == names


def test_npz_with_and_without_split(tmp_path):
    data = read_paired(archive(tmp_path / "a.npz"), MODALITIES)
    assert data.train_images["iris"].shape == (6, 8, 20, 1)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "b.npz",
        face=rng.integers(0, 256, (8, 9, 9), dtype=np.uint8),
        iris=rng.integers(0, 256, (8, 5, 5, 3), dtype=np.uint8),
        y=np.array(["x", "y"] * 4),
    )
    data = read_paired(tmp_path / "b.npz", MODALITIES, test_share=0.5)
    assert data.class_names == ["x", "y"]
    assert len(data.train_labels) == len(data.test_labels) == 4


def test_unpaired_samples_are_counted(tmp_path):
    folder(tmp_path)
    (tmp_path / "face" / "ann" / "0.png").unlink()
    (tmp_path / "iris" / "bob" / "1.png").unlink()
    (tmp_path / "iris" / "bob" / "2.png").unlink()
    with pytest.raises(UserError) as error:
        read_paired(tmp_path, MODALITIES)
    assert "unpaired samples (8 in all)" in str(error.value)
    assert "face lacks 1: ann/0" in str(error.value)
    assert "iris lacks 2: bob/1, bob/2" in str(error.value)


def test_classes_missing_in_a_modality_are_counted(tmp_path):
    folder(tmp_path, classes=("ann", "bob", "cid"))
    for file in (tmp_path / "iris" / "cid").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"iris: 1 classes missing .*: cid"):
        read_paired(tmp_path, MODALITIES)


def test_duplicates_across_train_and_test_are_counted(tmp_path):
    folder(tmp_path / "names", ("train", "test"))
    for modality in MODALITIES:
        (tmp_path / "names/test" / modality / "ann/test0.png").rename(
            tmp_path / "names/test" / modality / "ann/train1.png"
        )
    with pytest.raises(UserError, match="1 samples are in both train and test: ann/train1"):
        read_paired(tmp_path / "names", MODALITIES)
    folder(tmp_path / "content", ("train", "test"))
    content = (tmp_path / "content/train/iris/bob/train2.png").read_bytes()
    (tmp_path / "content/test/iris/bob/test3.png").write_bytes(content)
    with pytest.raises(UserError, match="1 of 8 iris test images are training images"):
        read_paired(tmp_path / "content", MODALITIES)


def test_paths_out_of_the_folder_are_not_followed(tmp_path):
    folder(tmp_path / "set")
    outside = tmp_path / "secret.png"
    (tmp_path / "set/face/ann/0.png").rename(outside)
    (tmp_path / "set/face/ann/0.png").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of the data folder"):
        read_paired(tmp_path / "set", MODALITIES)
    with pytest.raises(UserError, match=r"no such folder|leads out"):
        read_paired(tmp_path / "set", ("face", "../../set/iris"))


def test_two_extensions_of_one_sample_are_refused(tmp_path):
    folder(tmp_path)
    with Image.open(tmp_path / "face/ann/0.png") as image:
        image.save(tmp_path / "face/ann/0.bmp")
    with pytest.raises(UserError, match="1 samples exist with two extensions: ann/0"):
        read_paired(tmp_path, MODALITIES)


def test_broken_images_and_sizes_are_named(tmp_path):
    folder(tmp_path / "a")
    (tmp_path / "a/face/ann/1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"ann/1.png: not a readable image"):
        read_paired(tmp_path / "a", MODALITIES)
    folder(tmp_path / "b")
    Image.new("L", (5, 5)).save(tmp_path / "b/iris/bob/3.png")
    with pytest.raises(UserError, match=r"bob/3.png: iris images differ in size: 1 of 8"):
        read_paired(tmp_path / "b", MODALITIES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iris_train": None}, "no array 'iris_train'; found are face_train"),
        ({"iris_train": np.zeros((5, 8, 20), np.uint8)}, "iris has 5 images for 6 labels"),
        ({"iris_train": np.full((6, 8, 20), np.nan)}, "iris has 960 values that are NaN"),
        ({"iris_train": np.full((6, 8, 20), 7.0)}, "from 7.0 to 7.0"),
        ({"y_train": np.array([0, 0, 0, 0, 0, 0])}, "1 classes without a training sample: 1"),
        ({"y_train": np.zeros((6, 2), int)}, "labels have type"),
        ({"iris_test": np.zeros((4, 8, 19), np.uint8)}, "one shape is needed"),
        ({"iris_test": np.zeros((4, 8), np.uint8)}, "has shape"),
    ],
)
def test_bad_npz(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_paired(archive(tmp_path / "a.npz", **changes), MODALITIES)


def test_what_is_no_archive(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"not a readable .npz"):
        read_paired(tmp_path / "a.npz", MODALITIES)
    with pytest.raises(UserError, match=r"no such folder or .npz"):
        read_paired(tmp_path / "b.npz", MODALITIES)
    with pytest.raises(UserError, match="two or more different names"):
        read_paired(archive(tmp_path / "c.npz"), ("face", "face"))
