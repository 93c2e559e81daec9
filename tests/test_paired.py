"""Paired data: what is read, and what is refused with a count."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from modelswitch.config.data import NpzData, PairedData
from modelswitch.data.shapes import image_counts, shapes_of
from modelswitch.data.sources import read
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare

MODALITIES = ("face", "iris")


def paired(path, modalities=MODALITIES, **options):
    spec = PairedData(source="paired", path=str(path), modalities=modalities, **options)
    data = read(spec)
    # what is known before anything is read is what comes out
    assert shapes_of(spec) == {n: (d.image_shape, d.num_classes) for n, d in data.items()}
    return data


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


def arrays(rng=None, **changes):
    rng = rng or np.random.default_rng(0)
    values = {
        "face_train": rng.integers(0, 256, (6, 9, 9, 3), dtype=np.uint8),
        "face_test": rng.integers(0, 256, (4, 9, 9, 3), dtype=np.uint8),
        "iris_train": rng.random((6, 8, 20)).astype(np.float32),
        "iris_test": rng.random((4, 8, 20)).astype(np.float32),
        "y_train": np.array([0, 1, 0, 1, 0, 1]),
        "y_test": np.array([0, 1, 0, 1]),
    } | changes
    return {key: value for key, value in values.items() if value is not None}


def archive(path, **changes):
    np.savez(path, **arrays(**changes))
    return path


def test_a_folder_without_split_is_paired_by_class_and_name(tmp_path):
    data = paired(folder(tmp_path), test=0.25)
    assert data["face"].class_names == data["iris"].class_names == ["ann", "bob"]
    assert data["face"].image_shape == (12, 16, 3)
    assert data["iris"].image_shape == (8, 20, 1)
    assert data["iris"].test_labels.tolist() == data["face"].test_labels.tolist()
    assert set(data["iris"].test_labels.tolist()) == {0, 1}
    # the same row is the same sample in both modalities
    files = sorted((tmp_path / "face").glob("*/*.png"))
    faces = [np.asarray(Image.open(f)) for f in files]
    irises = [np.asarray(Image.open(tmp_path / "iris" / f.parent.name / f.name)) for f in files]
    for part in ("train_images", "test_images"):
        rows = zip(getattr(data["face"], part), getattr(data["iris"], part), strict=True)
        for face, iris in rows:
            row = next(i for i, other in enumerate(faces) if np.array_equal(other, face))
            assert np.array_equal(irises[row], iris[..., 0])


def test_a_folder_with_train_and_test(tmp_path):
    data = paired(folder(tmp_path, ("train", "test"), samples=3))
    assert [len(d.train_labels) for d in data.values()] == [6, 6]
    assert [len(d.test_labels) for d in data.values()] == [6, 6]
    assert (
        image_counts(PairedData(source="paired", path=str(tmp_path), modalities=MODALITIES)).train
        == 6
    )


def test_three_modalities(tmp_path):
    names = ("face", "iris", "ear")
    assert tuple(paired(folder(tmp_path, modalities=names), names)) == names


def test_npz_with_and_without_split(tmp_path):
    data = paired(archive(tmp_path / "a.npz"))
    assert data["iris"].train_images.shape == (6, 8, 20, 1)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "b.npz",
        face=rng.integers(0, 256, (8, 9, 9), dtype=np.uint8),
        iris=rng.integers(0, 256, (8, 5, 5, 3), dtype=np.uint8),
        y=np.array(["x", "y"] * 4),
    )
    data = paired(tmp_path / "b.npz", test=0.5)
    assert data["face"].class_names == ["x", "y"]
    assert sum(len(data["face"].counts()[split]) for split in ("train", "test")) == 4
    for split in ("train", "test"):
        assert data["face"].counts()[split] == data["iris"].counts()[split]


# What may be wrong or unusual about an array or its labels, and has to end alike in single and in
# paired data: changes of x (as [N, H, W, C] uint8) and y.
FORMS = {
    "as it is": {},
    "float": {"x": lambda x: x / 255},
    "float up to 255": {"x": lambda x: x.astype("f4")},
    "float from -1": {"x": lambda x: x / 127.5 - 1},
    "overshoot": {"x": lambda x: np.where(x == x.max(), 1.05, x / 255)},
    "uint16": {"x": lambda x: x.astype("u2") * 257},
    "int64": {"x": lambda x: x.astype("i8")},
    "bool": {"x": lambda x: x > 99},
    "NaN": {"x": lambda x: np.where(x == x.max(), np.nan, x / 255)},
    "channels first": {"x": lambda x: x.transpose(0, 3, 1, 2)},
    "flat": {"x": lambda x: x.reshape(len(x), -1)},
    "names": {"y": lambda y: np.array(["b", "a", "c"])[y]},
    "names as bytes": {"y": lambda y: np.array([b"b", b"a", b"c"])[y]},
    "names in latin-1": {"y": lambda y: np.array(["ä".encode("latin-1"), b"a", b"c"])[y]},
    "names with blanks": {"y": lambda y: np.array(["b ", " a", "c"])[y]},
    "an empty name": {"y": lambda y: np.array(["", "a", "c"])[y]},
    "whole floats": {"y": lambda y: y.astype(float)},
    "fractions": {"y": lambda y: y + 0.5},
    "uint64": {"y": lambda y: y.astype("u8")},
    "big endian": {"y": lambda y: y.astype(">u2")},
    "bool labels": {"y": lambda y: y > 0},
    "from 1": {"y": lambda y: y + 1},
    "with a gap": {"y": lambda y: y * 2},
    "negative": {"y": lambda y: y - 1},
    "ignore": {"y": lambda y: np.where(y == 2, 255, y)},
    "one hot": {"y": lambda y: np.eye(3, dtype=int)[y]},
    "soft": {"y": lambda y: np.eye(3)[y] * 0.7 + 0.1},
    "a column": {"y": lambda y: y[:, None]},
    "complex labels": {"y": lambda y: y + 0j},
    "class_names": {"class_names": np.array(["x", "y", "z"])},
    "class_names as bytes": {"class_names": np.array([b"x", b"y", b"z"])},
    "too few class_names": {"class_names": np.array(["x", "y"])},
    "too many class_names": {"class_names": np.array(["x", "y", "z", "w"])},
    "class_names twice": {"class_names": np.array(["x", "y", "x"])},
    "one class_name": {"class_names": np.array("xyz")},
    "names in the order of class_names": {
        "y": lambda y: np.array(["b", "a", "c"])[y],
        "class_names": np.array(["c", "b", "a"]),
    },
    "names outside of class_names": {
        "y": lambda y: np.array(["b", "a", "c"])[y],
        "class_names": np.array(["c", "b", "x"]),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_end_alike_in_single_and_in_paired_data(tmp_path, form):
    rng = np.random.default_rng(0)
    x = {n: rng.integers(0, 256, (n, 8, 9, 3), dtype=np.uint8) for n in (12, 6)}
    change = FORMS[form]
    parts = {}
    for split, count in (("train", 12), ("test", 6)):
        y = np.arange(count) % 3
        parts[f"x_{split}"] = change.get("x", lambda same: same)(x[count])
        parts[f"y_{split}"] = change.get("y", lambda same: same)(y)
    names = {"class_names": change["class_names"]} if "class_names" in change else {}
    np.savez(tmp_path / "single.npz", **parts, **names)
    other = {f"other_{split}": rng.random((count, 5, 5)) for split, count in
             (("train", 12), ("test", 6))}  # fmt: skip
    np.savez(tmp_path / "paired.npz", **parts, **names, **other)
    ends = []
    for name in ("single", "paired"):
        path = str(tmp_path / f"{name}.npz")
        try:
            if name == "single":
                data = read(NpzData(source="npz", path=path))["npz"]
            else:
                data = paired(path, ("x", "other"))["x"]
            ends.append(
                (
                    data.train_images.tolist(),
                    data.train_labels.tolist(),
                    data.test_labels.tolist(),
                    data.class_names,
                    data.reading,
                )
            )
        except UserError as error:
            ends.append(
                str(error).replace("paired.npz: x:", "single.npz:").replace("paired", "single")
            )
    assert ends[0] == ends[1]


def test_channels_first_arrays_are_never_taken_for_rows(tmp_path):
    """Three rows of sixteen channels, once."""
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 10, 16), dtype=np.uint8)
    changes = {"face_train": images, "face_test": images[:4]}
    with pytest.raises(UserError, match=r"face_train: .*looks like channels before height.*layout"):
        paired(archive(tmp_path / "a.npz", **changes))
    data = paired(tmp_path / "a.npz", layout={"face": "channels_first"})
    assert np.array_equal(data["face"].train_images, images.transpose(0, 2, 3, 1))
    assert data["iris"].image_shape == (8, 20, 1)


def test_each_modality_has_a_size_and_a_colour_of_its_own(tmp_path):
    folder(tmp_path)
    data = paired(tmp_path, size={"face": (6, 7)}, colour="grey")
    assert data["face"].image_shape == (6, 7, 1)
    assert data["iris"].image_shape == (8, 20, 1)
    assert paired(tmp_path, size=(5, 6))["iris"].image_shape == (5, 6, 1)
    assert paired(tmp_path, colour={"iris": "rgb"})["iris"].image_shape == (8, 20, 3)


def test_one_reading_of_a_folder_for_single_and_paired_data(tmp_path):
    from modelswitch.config.data import FolderData

    folder(tmp_path, ("train", "test"))
    both = paired(tmp_path)
    for split in ("train", "test"):
        (tmp_path / split / "face").rename(tmp_path / f"{split}-face")
    for split in ("train", "test"):
        (tmp_path / "single").mkdir(exist_ok=True)
        (tmp_path / f"{split}-face").rename(tmp_path / "single" / split)
    alone = read(FolderData(source="folder", path=str(tmp_path / "single")))["folder"]
    assert np.array_equal(alone.train_images, both["face"].train_images)
    assert np.array_equal(alone.test_labels, both["face"].test_labels)


def test_what_systems_leave_behind_is_no_sample(tmp_path):
    """Archives from a Mac, with a shadow of every file and of the whole tree."""
    folder(tmp_path)
    plain = paired(tmp_path)
    for modality in MODALITIES:
        (tmp_path / modality / "ann" / "._0.png").write_bytes(b"x")
        shadow = tmp_path / modality / "__MACOSX" / "ann"
        shadow.mkdir(parents=True)
        (shadow / "0.png").write_bytes((tmp_path / modality / "ann" / "0.png").read_bytes())
    data = paired(tmp_path)
    for name in MODALITIES:
        assert np.array_equal(data[name].train_images, plain[name].train_images)
        assert data[name].reading["left out"] == "2 × hidden file, 2 × hidden folder"


def test_empty_images_of_one_modality_are_no_leak(tmp_path):
    """Failed segmentations in training and in test samples, of the same and of other classes."""
    rng = np.random.default_rng(0)
    iris = rng.integers(0, 256, (60, 8, 20), dtype=np.uint8)
    iris[[0, 1, 2, 3, 40]] = 0
    face = rng.integers(0, 256, (60, 9, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", face=face, iris=iris, y=np.arange(60) % 2)
    spec = PairedData(source="paired", path=str(tmp_path / "a.npz"), modalities=MODALITIES)
    lines = prepare(spec, [str(tmp_path / f"{name}.safetensors") for name in MODALITIES])
    [told] = [line for line in lines if "empty images" in line]
    counts = [int(n) for n in re.findall(r"(\d+) of \d+ (?:training|test)", told)]
    assert told.startswith("iris: ")
    assert sum(counts) == 5


def test_unpaired_samples_are_counted(tmp_path):
    folder(tmp_path)
    (tmp_path / "face" / "ann" / "0.png").unlink()
    (tmp_path / "iris" / "bob" / "1.png").unlink()
    (tmp_path / "iris" / "bob" / "2.png").rename(tmp_path / "iris" / "bob" / "02.png")
    with pytest.raises(UserError) as error:
        paired(tmp_path)
    assert "unpaired samples (9 in all)" in str(error.value)
    assert "face lacks 2: 'ann/0', 'bob/02'" in str(error.value)
    assert "iris lacks 2: 'bob/1', 'bob/2'" in str(error.value)


@pytest.mark.parametrize("listed", [False, True])
def test_samples_that_a_modality_lacks_are_left_out_where_that_is_said(tmp_path, listed):
    root = folder(tmp_path / "data", samples=8)
    (root / "iris/ann/3.png").unlink()
    (root / "face/bob/5.png").unlink()
    options = {"test": 0.25}
    if listed:
        lines = ["face,iris,label"]
        for name in ("ann", "bob"):
            for i in range(8):
                cells = [f"{m}/{name}/{i}.png" for m in MODALITIES]
                there = [cell if (root / cell).exists() else "" for cell in cells]
                lines.append(",".join([*there, name]))
        (tmp_path / "list.csv").write_text("\n".join(lines))
        options["csv"] = str(tmp_path / "list.csv")
    said = r"line 5: has no iris; every sample needs face, iris" if listed else "iris lacks 1"
    with pytest.raises(UserError, match=rf"{said}.*data\.unpaired: skip"):
        paired(root, **options)
    data = paired(root, unpaired="skip", **options)
    for arrays_of in data.values():
        labels = torch.cat([arrays_of.train_labels, arrays_of.test_labels])
        assert labels.bincount().tolist() == [7, 7]
        left = "or of a sample that not all modalities have"
        assert (
            f"2 × image outside of {'the list' if listed else 'class folders'}, {left}"
            in (arrays_of.reading["left out"])
        )
    spec = PairedData(source="paired", path=str(root), modalities=MODALITIES)
    assert "unpaired" not in spec.canonical()


@pytest.mark.parametrize("listed", [False, True])
def test_no_class_is_left_out_with_its_samples(tmp_path, listed):
    root = folder(tmp_path / "data", samples=2)
    shutil.rmtree(root / "iris/bob")
    options = {"unpaired": "skip"}
    if listed:
        lines = [f"face/ann/{i}.png,iris/ann/{i}.png,ann" for i in range(2)]
        lines += ["face/bob/0.png,,bob"]
        (tmp_path / "list.csv").write_text("\n".join(["face,iris,label", *lines]))
        options["csv"] = str(tmp_path / "list.csv")
    with pytest.raises(UserError, match=r"would leave nothing of 1 classes, .*: 'bob'"):
        paired(root, **options)


def test_endings_may_differ_between_modalities(tmp_path):
    folder(tmp_path)
    for file in (tmp_path / "iris").glob("*/*.png"):
        Image.open(file).save(file.with_suffix(".BMP"))
        file.unlink()
    assert len(paired(tmp_path)["iris"].train_labels) > 0


def test_classes_missing_in_a_modality_are_counted(tmp_path):
    folder(tmp_path, classes=("ann", "bob", "cid "))
    for file in (tmp_path / "iris" / "cid ").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"iris: 1 class folders have no image: 'cid'"):
        paired(tmp_path)
    (tmp_path / "iris" / "cid ").rmdir()
    with pytest.raises(UserError, match=r"iris: 1 classes missing .*: 'cid'"):
        paired(tmp_path)


def test_samples_of_one_name_in_train_and_test_are_counted(tmp_path):
    folder(tmp_path, ("train", "test"))
    for modality in MODALITIES:
        (tmp_path / "test" / modality / "ann/test0.png").rename(
            tmp_path / "test" / modality / "ann/train1.png"
        )
    with pytest.raises(UserError, match="1 samples are in both train and test: 'ann/train1'"):
        paired(tmp_path)


def test_paths_out_of_the_folder_are_not_followed(tmp_path):
    folder(tmp_path / "set")
    outside = tmp_path / "secret.png"
    (tmp_path / "set/face/ann/0.png").rename(outside)
    (tmp_path / "set/face/ann/0.png").symlink_to(outside)
    with pytest.raises(UserError, match=r"leads out of the data folder.*follow_links"):
        paired(tmp_path / "set")
    assert paired(tmp_path / "set", follow_links=True)


def test_two_extensions_of_one_sample_are_refused(tmp_path):
    folder(tmp_path)
    with Image.open(tmp_path / "face/ann/0.png") as image:
        image.save(tmp_path / "face/ann/0.bmp")
    with pytest.raises(UserError, match="1 samples exist with two extensions: 'ann/0'"):
        paired(tmp_path)


def test_broken_images_and_sizes_are_named(tmp_path):
    folder(tmp_path / "a")
    (tmp_path / "a/face/ann/1.png").write_bytes(b"no image")
    (tmp_path / "a/iris/bob/2.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        paired(tmp_path / "a")
    assert "ann/1.png: corrupt" in str(caught.value)
    assert "bob/2.png: is empty" in str(caught.value)
    assert "2 of 16 files" in str(caught.value)
    data = paired(tmp_path / "a", corrupt="skip")
    assert len(data["face"].train_labels) + len(data["face"].test_labels) == 6
    assert data["iris"].reading["left out"] == "2 × corrupt sample"
    folder(tmp_path / "b")
    Image.new("L", (5, 5)).save(tmp_path / "b/iris/bob/3.png")
    with pytest.raises(UserError, match=r"bob/3.png: is 5x5, and 1 of 8 images are not 8x20"):
        paired(tmp_path / "b")


def test_pages_are_paired_with_pages(tmp_path):
    folder(tmp_path)
    pages = [Image.new("L", (8, 8), number) for number in range(40, 43)]
    for modality in MODALITIES:
        for file in (tmp_path / modality).glob("*/*.png"):
            pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"has 3 frames.*16 of 16 files"):
        paired(tmp_path)
    data = paired(tmp_path, frames="all")
    assert len(data["face"].train_labels) + len(data["face"].test_labels) == 8 * 3
    assert len(data["face"].train_labels) % 3 == 0  # pages of a file stay together
    pages[0].save(tmp_path / "iris/ann/0.png", "TIFF", save_all=True, append_images=pages[2:])
    with pytest.raises(UserError, match=r"'ann/0' has different frames: 3 in face, 2 in iris"):
        paired(tmp_path, frames="all")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iris_train": None}, "lacks iris_train; it has face_train"),
        ({"iris_train": np.zeros((5, 8, 20))}, "6 labels for 5 images of iris"),
        ({"iris_train": np.full((6, 8, 20), np.nan)}, "6 images have pixels that are NaN"),
        ({"iris_train": np.full((6, 8, 20), 7.0)}, "from 7 to 7"),
        ({"y_train": np.array([0, 0, 0, 0, 0, 0])}, "1 classes have no training image: '1'"),
        ({"y_train": np.zeros((6, 2), int)}, "expected one label an image"),
        ({"iris_test": np.zeros((4, 8, 19), np.float32)}, "must be the same"),
        ({"iris_test": np.zeros((4, 8), np.uint8)}, "has shape"),
    ],
)
def test_bad_npz(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        paired(archive(tmp_path / "a.npz", **changes))


def test_what_is_no_archive(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"corrupt, or not a .npz"):
        paired(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"no such file"):
        paired(tmp_path / "b.npz")
    np.save(tmp_path / "c.npy", np.zeros((6, 8, 20)))
    (tmp_path / "c.npy").rename(tmp_path / "c.npz")
    with pytest.raises(UserError, match=r"single array"):
        paired(tmp_path / "c.npz")
    content = archive(tmp_path / "d.npz").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "d.npz").write_bytes(content[:length])
        with pytest.raises(UserError, match=r"d\.npz: "):
            paired(tmp_path / "d.npz")
