"""Images of one split in another, under two labels, or nearly the same."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from modelswitch.config.data import FolderData, NpzData, PairedData
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.leaks import leaks
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare

NAMES = ["cat", "dog", "eel"]


def scenes(count: int, seed: int = 0, side: int = 32) -> torch.Tensor:
    """Pictures of smooth areas and edges, no two alike: uint8 [N, side, side, 3]."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        images.append(np.asarray(Image.fromarray(coarse).resize((side, side), Image.BICUBIC)))
    return torch.from_numpy(np.stack(images))


def labels(count: int) -> torch.Tensor:
    return torch.arange(count) % 3


def found(train, test, allowed=True, validation=None, train_labels=None, **more) -> dict[str, str]:
    parts = {"training": (train, labels(len(train)) if train_labels is None else train_labels)}
    if validation is not None:
        parts["validation"] = (validation, labels(len(validation)))
    return leaks(parts | {"test": (test, labels(len(test)))}, NAMES, "set", allowed, **more)


def test_test_images_that_are_training_images_are_counted_and_refused():
    train, test = scenes(90), scenes(30, seed=1)
    assert found(train, test, allowed=False) == {}
    test[7:17] = train[40:50]
    with pytest.raises(UserError) as caught:
        found(train, test, allowed=False)
    assert str(caught.value) == (
        "set: 10 of 30 test images are training images, too (test image 7 ('dog') is training "
        "image 40 ('dog')); take them out, or say data.leaks: allowed to keep them"
    )
    told = found(train, test)
    assert told["leaks, which are allowed"].startswith("10 of 30 test images are training images")


def test_an_image_in_all_three_splits_is_counted_once_a_pair():
    train, validation, test = scenes(30), scenes(20, seed=1), scenes(20, seed=2)
    validation[3] = test[4] = train[5]
    names = {"training": [f"a/{row}" for row in range(30)], "test": [f"b/{n}" for n in range(20)]}
    with pytest.raises(UserError) as caught:
        found(train, test, allowed=False, validation=validation, names=names)
    for part in (
        "1 of 20 validation images are training images, too (validation image 3 ('cat') is 'a/5')",
        "1 of 20 test images are training images, too ('b/4' is 'a/5')",
        "1 of 20 test images are validation images, too",
    ):
        assert part in str(caught.value)


def test_images_of_one_colour_are_no_leak():
    train, test = scenes(60), scenes(20, seed=1)
    for value, rows in ((0, slice(0, 12)), (255, slice(12, 15)), (127, slice(15, 18))):
        train[rows] = value
        test[rows] = value
    assert found(train, test, allowed=False) == {}


def test_images_that_repeat_within_a_split_are_counted_only():
    train, test = scenes(30), scenes(9, seed=1)
    train[[3, 6, 9]] = train[0].clone()
    test[6] = test[3]
    told = found(train, test, allowed=False)
    assert told == {
        "repeated images": "3 training images repeat another; 1 test images repeat another"
    }


def test_one_picture_under_two_labels_is_told():
    train, test = scenes(30), scenes(9, seed=1)
    train[10] = train[0]  # dog and cat
    train[5] = train[17]  # both eel
    told = found(train, test, allowed=False)["contradicting labels"]
    assert told == "1 pictures (2 images) have more than one label, one of them 'cat' and 'dog'"
    # Also where one is for training and the other for testing.
    train[10] = scenes(1, seed=9)
    test[1] = train[0]
    told = found(train, test)["contradicting labels"]
    assert told.endswith("one of them 'cat' and 'dog'")


def changed(change: str, image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    if change == "resized":
        small = picture.resize((16, 16), Image.BILINEAR)
        return np.asarray(small.resize((32, 32), Image.BILINEAR))
    if change == "compressed":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=60)
        return np.asarray(Image.open(stream))
    if change == "mirrored":
        return image[:, ::-1]
    if change == "brighter":
        return np.clip(image.astype(int) + 5, 0, 255).astype(np.uint8)
    assert change == "noisy"
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", ["resized", "compressed", "mirrored", "brighter", "noisy"])
def test_nearly_the_same_images_are_told(change):
    train, test = scenes(200), scenes(40, seed=1)
    for row in range(12):
        test[row] = torch.from_numpy(changed(change, train[5 * row].numpy()).copy())
    told = "12 of 40 test images look much like a training image without being equal"
    assert found(train, test, allowed=False) == {"near duplicates": told}


def test_patches_of_one_picture_are_alike_by_nature():
    wide = scenes(1, side=400)[0]
    patches = torch.stack([wide[top : top + 96, 2 * top : 2 * top + 96] for top in range(150)])
    told = found(patches[::2], patches[1::2], allowed=False)["near duplicates"]
    assert told.startswith("75 of 75 test images look much like a training image")
    assert "of training images among themselves" in told
    assert "data.groups" in told


def test_plain_images_do_not_flood_the_warning():
    rng = np.random.default_rng(0)
    plain = np.zeros((40, 32, 32, 3), np.uint8)
    plain[:10] = rng.integers(0, 256, (10, 1, 1, 3))
    plain[10:20] = 100 + rng.integers(-1, 2, (10, 32, 32, 3))  # nearly one tone
    for row in range(20, 40):  # two large areas
        dark, bright = sorted(rng.integers(0, 256, 2))
        plain[row, :16], plain[row, 16:] = dark, bright
    images = torch.from_numpy(plain)
    train = torch.cat([images[::2], scenes(30)])
    test = torch.cat([images[1::2], scenes(10, seed=1)])
    assert found(train, test, allowed=False) == {}


def test_small_and_grey_and_few_images_are_compared():
    from sklearn.datasets import load_digits

    digits = torch.from_numpy((load_digits().images * 15).astype(np.uint8))[..., None]
    told = found(digits[:1300], digits[1300:], allowed=False)
    share = int(told.get("near duplicates", "0 of").split(" of ")[0])
    assert share <= 10  # of 497 different digits
    one = torch.full((1, 1, 1, 2), 7, dtype=torch.uint8)
    assert found(one, one, allowed=False) == {}


def test_of_many_images_a_sample_is_compared(monkeypatch):
    monkeypatch.setattr("modelswitch.data.leaks._MOST_PAIRS", 400)
    train = scenes(300)
    test = torch.from_numpy(np.stack([changed("brighter", image) for image in train.numpy()]))
    told = found(train, test, allowed=False)["near duplicates"]
    assert told.startswith("100 of 100 test images")


# ------------------------------------------------------------------------ from people's files


def stored(folder, **arrays):
    np.savez(folder / "set.npz", **{key: np.asarray(value) for key, value in arrays.items()})
    return {"source": "npz", "path": str(folder / "set.npz")}


def test_a_set_whose_test_images_are_training_images_is_not_prepared(tmp_path):
    train = scenes(60)
    spec = stored(
        tmp_path, x_train=train, y_train=labels(60), x_test=train[:30].flip(0), y_test=labels(30)
    )
    with pytest.raises(UserError, match=r"set\.npz: 30 of 30 test images are training images"):
        prepare(NpzData(**spec), [tmp_path / "data.safetensors"])
    assert not (tmp_path / "data.safetensors").exists()
    lines = prepare(NpzData(**spec, leaks="allowed"), [tmp_path / "data.safetensors"])
    said = [line for line in lines if "30 of 30 test images are training images, too" in line]
    assert said[0].startswith("npz: leaks, which are allowed: ")
    assert len(ImageArrays.load(tmp_path / "data.safetensors").test_labels) == 30


def test_other_names_formats_and_metadata_hide_no_leak(tmp_path):
    images = scenes(16)
    for row, image in enumerate(images):
        split = "train" if row < 12 else "test"
        path = tmp_path / "images" / split / NAMES[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(path)
    copies = {"copy.bmp": images[0], "copy.tif": images[2], "again.png": images[4]}
    for name, image in copies.items():
        picture = Image.fromarray(image.numpy())
        picture.info["comment"] = name
        picture.save(tmp_path / "images/test/cat" / name, dpi=(72, 72))
    spec = {"source": "folder", "path": str(tmp_path / "images")}
    with pytest.raises(UserError, match="3 of 7 test images are training images, too"):
        prepare(FolderData(**spec), [tmp_path / "data.safetensors"])


def paired(folder, **changes):
    faces, irises = scenes(24, 1), scenes(24, 2, side=24)
    arrays = {
        "face_train": faces[:18], "face_test": faces[18:],
        "iris_train": irises[:18], "iris_test": irises[18:],
        "y_train": labels(18), "y_test": labels(6),
    } | changes  # fmt: skip
    spec = stored(folder, **arrays) | {"source": "paired", "modalities": ["face", "iris"]}
    return spec, [folder / "face.safetensors", folder / "iris.safetensors"]


def test_paired_data_are_checked_in_every_modality(tmp_path):
    irises = scenes(24, 2, side=24)
    irises[18] = irises[3]
    spec, paths = paired(tmp_path, iris_train=irises[:18], iris_test=irises[18:])
    with pytest.raises(UserError, match=r"set\.npz: iris: 1 of 6 test images are training images"):
        prepare(PairedData(**spec), paths)
    assert not any(path.exists() for path in paths)
    # A failed segmentation is no leak, in whichever splits it is.
    irises[3] = 0
    irises[[18, 20]] = 0
    spec, paths = paired(tmp_path, iris_train=irises[:18], iris_test=irises[18:])
    prepare(PairedData(**spec), paths)


def test_one_iris_of_two_people_is_told(tmp_path):
    irises = scenes(24, 2, side=24)
    irises[4] = irises[0]
    spec, paths = paired(tmp_path, iris_train=irises[:18], iris_test=irises[18:])
    lines = prepare(PairedData(**spec), paths)
    assert "iris: contradicting labels: 1 pictures (2 images)" in "\n".join(lines)
    assert "face: contradicting" not in "\n".join(lines)


def test_a_class_that_is_not_tested_is_told(tmp_path):
    spec = stored(
        tmp_path, x_train=scenes(12), y_train=labels(12), x_test=scenes(4, 1), y_test=[0, 2, 2, 0],
        class_names=["0", "90", "180"],
    )  # fmt: skip
    lines = prepare(NpzData(**spec), [tmp_path / "data.safetensors"])
    assert "npz: test lacks: no image of 1 of 3 classes: '90'" in lines
