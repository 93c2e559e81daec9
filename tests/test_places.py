"""The table of which image is in which split: complete, true, and read again as a list."""

import csv

import numpy as np
import pytest
import torch
from image_bytes import encoded
from PIL import Image
from pydantic import TypeAdapter

from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare

NAMES = [
    "0.png",
    'a, "b".png',
    "two\nlines.png",
    " blank.png",
    "ü.png",
    "#5.png",
    "-6.png",
    "7.png",
]


def picture(path, seed: int, size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    path.write_bytes(encoded(Image.fromarray(pixels), "PNG"))


def prepared(folder, spec: dict) -> tuple[list[dict[str, str]], dict[str, ImageArrays]]:
    """The rows of the table and the data sets that are written to `folder`."""
    parsed = TypeAdapter(DataSpec).validate_python(spec)
    paths = [folder / name / "data.safetensors" for name in parsed.datasets]
    prepare(parsed, paths)
    with (paths[0].parent / "splits.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return rows, {name: ImageArrays.load(p) for name, p in zip(parsed.datasets, paths, strict=True)}


def assert_same(sets: dict[str, ImageArrays], others: dict[str, ImageArrays]) -> None:
    for name, data in sets.items():
        other = others[name]
        assert data.checksum == other.checksum
        for one, two in zip(
            data.training_and_validation(0.3, 1), other.training_and_validation(0.3, 1), strict=True
        ):
            assert torch.equal(one, two)


@pytest.mark.parametrize(
    "splits", [("",), ("train", "val"), ("train", "test"), ("train", "val", "test")]
)
@pytest.mark.parametrize("groups", [None, r"[a-z]*\d/"])
def test_a_folder_is_read_again_from_the_table_of_its_splits(tmp_path, splits, groups):
    seed = 0
    for split in splits:
        for label in ("hat", "cap, red"):
            for number, name in enumerate(NAMES):
                seed += 1
                picture(tmp_path / "set" / split / label / f"{split}{number // 2}" / name, seed)
    spec = {"source": "folder", "path": str(tmp_path / "set"), "colour": "grey"}
    options = {"groups": groups} if groups else {}
    if splits == ("train", "val"):
        options["splits"] = {"train": "train", "validation": "val"}
    rows, sets = prepared(tmp_path / "first", spec | options)
    assert len(rows) == seed
    assert ("group" in rows[0]) == (groups is not None)
    [data] = sets.values()
    counted = {"train": len(data.train_labels), "test": len(data.test_labels)}
    if data.given_validation is not None:
        counted["validation"] = int(data.given_validation.sum())
        counted["train"] -= counted["validation"]
    assert {s: sum(r["split"] == s for r in rows) for s in counted} == counted
    # Each is where the table says.
    test = {image.numpy().tobytes() for image in data.test_images}
    for row in rows:
        stored = np.asarray(Image.open(tmp_path / "set" / row["path"]))
        assert (stored.tobytes() in test) == (row["split"] == "test")
    again = {"csv": str(tmp_path / "first" / "folder" / "splits.csv")}
    rows_again, sets_again = prepared(tmp_path / "second", spec | again)
    assert sorted(map(str, rows_again)) == sorted(map(str, rows))
    assert_same(sets, sets_again)


def test_modalities_have_a_column_each_and_are_read_again(tmp_path):
    for seed, modality in enumerate(("face", "iris")):
        for number in range(16):
            ending = ("PNG", "png")[seed]
            place = tmp_path / "set" / modality / "ab"[number % 2]
            picture(place / f"{number}.{ending}", 100 * seed + number, (4 + seed, 6))
    spec = {"source": "paired", "path": str(tmp_path / "set"), "modalities": ["face", "iris"]}
    rows, sets = prepared(tmp_path / "first", spec)
    assert list(rows[0]) == ["face", "iris", "label", "split"]
    assert {(row["face"], row["iris"]) for row in rows} == {
        (f"face/{'ab'[n % 2]}/{n}.PNG", f"iris/{'ab'[n % 2]}/{n}.png") for n in range(16)
    }
    again = {"csv": str(tmp_path / "first" / "face" / "splits.csv")}
    assert_same(sets, prepared(tmp_path / "second", spec | again)[1])


def test_what_is_left_out_is_not_in_the_table_and_a_file_of_pages_is_there_once(tmp_path):
    for number in range(12):
        picture(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", number)
    pages = [Image.effect_noise((5, 6), 50 + number) for number in range(3)]
    paged = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    (tmp_path / "set" / "a" / "pages.tif").write_bytes(paged)
    (tmp_path / "set" / "a" / "cut.png").write_bytes(encoded(pages[0], "PNG")[:-40])
    (tmp_path / "set" / "stray.png").write_bytes(encoded(pages[0], "PNG"))
    spec = {"source": "folder", "path": str(tmp_path / "set"), "frames": "all", "corrupt": "skip"}
    rows, sets = prepared(tmp_path / "first", spec)
    paths = [row["path"] for row in rows]
    assert sorted(paths) == sorted([*(f"{'ab'[n % 2]}/{n}.png" for n in range(12)), "a/pages.tif"])
    again = {"csv": str(tmp_path / "first" / "folder" / "splits.csv")}
    assert_same(sets, prepared(tmp_path / "second", spec | again)[1])


def test_of_an_archive_the_numbers_of_its_images_are_listed(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 6), dtype=np.uint8)
    labels = np.array([f"class {n % 3}" for n in range(40)])
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    rows, sets = prepared(tmp_path, {"source": "npz", "path": str(tmp_path / "set.npz")})
    test = [int(row["number"]) for row in rows if row["split"] == "test"]
    assert np.array_equal(sets["npz"].test_images[..., 0].numpy(), images[test])
    assert [row["label"] for row in rows] == labels.tolist()
    assert {row["part"] for row in rows} == {"all"}


def test_the_table_of_a_large_set_is_small(tmp_path):
    """It is written as text, for people; 60 bytes an image are little beside its pixels."""
    images = np.random.default_rng(0).integers(0, 256, (20_000, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", x=images, y=np.arange(20_000) % 10)
    prepared(tmp_path, {"source": "npz", "path": str(tmp_path / "set.npz")})
    assert (tmp_path / "npz" / "splits.csv").stat().st_size < 60 * 20_000


def test_a_group_in_three_splits_is_named_once(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 6), dtype=np.uint8)
    arrays = {}
    for split, part in zip(("train", "val", "test"), images, strict=True):
        arrays |= {f"x_{split}": part, f"y_{split}": np.array([0, 0, 1, 1])}
        arrays[f"groups_{split}"] = np.array(["every", f"{split} a", f"{split} b", f"{split} c"])
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(UserError, match=r"1 groups are in two splits: 'every'$"):
        prepared(tmp_path, {"source": "npz", "path": str(tmp_path / "set.npz")})
