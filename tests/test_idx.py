"""IDX files, as MNIST comes: read as torchvision reads them, or refused in one line."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from modelswitch.config.experiment import load
from modelswitch.data.idx import idx_shape, read_idx
from modelswitch.data.manifest import manifest
from modelswitch.data.shapes import sizes_of
from modelswitch.data.sources import read
from modelswitch.errors import UserError

NAMES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def packed(values: np.ndarray) -> bytes:
    code = CODES[values.dtype.str[1:]]
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    made = {}
    for split, count in (("train", 30), ("test", 12)):
        made[split, "images"] = rng.integers(0, 256, (count, 6, 5)).astype(np.uint8)
        made[split, "labels"] = (np.arange(count) % 3).astype(np.uint8)
    return made


@pytest.fixture
def folder(tmp_path, arrays):
    for key, values in arrays.items():
        (tmp_path / NAMES[key]).write_bytes(packed(values))
    return tmp_path


def spec(folder: Path, **more):
    data = {"source": "idx", "path": str(folder)} | more
    models = {"m": {"family": "plain", "stages": [[4, 1]]}}
    return load({"name": "e", "data": data, "models": models, "chains": {"m": "m"}}).data


@pytest.mark.parametrize("dtype", CODES)
def test_every_type_is_read_as_torchvision_reads_it(tmp_path, dtype):
    values = np.random.default_rng(1).normal(0, 50, (4, 3, 2)).astype(dtype)
    path = tmp_path / "some"
    path.write_bytes(packed(values))
    assert np.array_equal(read_idx(path), values)
    assert read_idx(path).dtype == values.dtype
    assert torch.equal(read_sn3_pascalvincent_tensor(str(path)), torch.from_numpy(values))
    assert idx_shape(path) == (4, 3, 2)


@pytest.mark.parametrize("form", ["plain", "gz", "dots", "both", "upper", "prefix"])
def test_the_four_files_make_a_data_set(folder, arrays, form):
    for name in NAMES.values():
        path = folder / name
        held = path.read_bytes()
        if form in ("gz", "both"):
            # Where both are there, what is not packed is read.
            noise = held if form == "gz" else packed(np.zeros((1, 1, 1), np.uint8))
            (folder / f"{name}.gz").write_bytes(gzip.compress(noise))
        if form == "gz":
            path.unlink()
        if form == "dots":
            path.rename(folder / name.replace("-idx", ".idx"))
        if form == "upper":
            path.rename(folder / name.upper())
        if form == "prefix":
            path.rename(folder / f"emnist-letters-{name}")
    (folder / "README").write_text("not one of them")
    [found] = read(spec(folder)).values()
    assert np.array_equal(found.train_images[..., 0].numpy(), arrays["train", "images"])
    assert np.array_equal(found.test_images[..., 0].numpy(), arrays["test", "images"])
    assert found.test_labels.tolist() == arrays["test", "labels"].tolist()
    assert found.class_names == ["0", "1", "2"]
    [size] = sizes_of(spec(folder)).values()
    assert (size.shape, size.classes, size.train, size.test) == ((6, 5, 1), 3, 30, 12)


def test_names_for_the_numbers(folder):
    names = ["shirt", "shoe", "bag"]
    [found] = read(spec(folder, class_names=names)).values()
    assert found.class_names == names
    with pytest.raises(UserError, match="2"):
        read(spec(folder, class_names=names[:2]))


def test_the_manifest_knows_what_they_hold(folder):
    before = manifest(spec(folder)).contents
    path = folder / NAMES["test", "labels"]
    held = path.read_bytes()
    path.write_bytes(held)
    assert manifest(spec(folder)).contents == before
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    assert manifest(spec(folder)).contents != before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9])


def broken_archive(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes())[:-20])


def altered_archive(path: Path) -> None:
    held = bytearray(gzip.compress(path.read_bytes()))
    held[len(held) // 2] ^= 0xFF
    path.write_bytes(bytes(held))


def labels_in_its_place(path: Path) -> None:
    path.write_bytes((path.parent / NAMES["train", "labels"]).read_bytes())


@pytest.mark.parametrize(
    "damage",
    [cut, longer, page, empty, header_only, broken_archive, altered_archive, labels_in_its_place,
     Path.unlink],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_the_file(folder, damage):
    damage(folder / NAMES["train", "images"])
    for look in (read, sizes_of):
        if look is sizes_of and damage not in (page, empty, header_only, labels_in_its_place):
            continue  # it reads no image
        with pytest.raises(UserError) as error:
            look(spec(folder))
        assert "\n" not in str(error.value)
        assert "train-images" in str(error.value)


def test_two_sets_in_one_folder_are_refused(folder):
    for name in NAMES.values():
        (folder / f"emnist-{name}").write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match=r"holds the sets '', 'emnist-'"):
        read(spec(folder))


@pytest.mark.parametrize("path", ["nowhere", "file"])
def test_a_folder_that_is_none(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^data\.path: .*no such folder"):
        manifest(spec(tmp_path / path))


def test_labels_for_other_images(folder):
    path = folder / NAMES["train", "labels"]
    path.write_bytes(packed(np.zeros(29, np.uint8)))
    with pytest.raises(UserError, match="29 labels for 30 images"):
        read(spec(folder))
