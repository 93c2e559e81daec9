"""What looks like something else: refused, or said, and never taken for the one or the other."""

import numpy as np
import pytest
from image_bytes import encoded
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.folders import together_like_splits
from modelswitch.data.labels import alike_names
from modelswitch.data.sources import read
from modelswitch.errors import UserError

RANDOM = np.random.default_rng(0)


def picture(path, size=(4, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.integers(0, 256, size, dtype=np.uint8)
    path.write_bytes(encoded(Image.fromarray(pixels), "PNG"))


def read_first(**spec) -> ImageArrays:
    return next(iter(read(TypeAdapter(DataSpec).validate_python(spec)).values()))


# ------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["tr", "te"], True),
        (["TR", "VA", "TS"], True),
        (["fold1", "fold2", "fold3"], True),
        (["Fold_0", "fold 1"], True),
        (["cats_train", "cats_test"], True),
        (["bounding_box_train", "bounding_box_test"], True),
        (["hatTrain", "hatTest", "hatVal"], True),
        (["2017 training", "2017 evaluation"], True),
        (["cat_train", "cat_test", "dog_train", "dog_test"], True),
        # Some of them, or all of one kind, are no splits.
        (["tr", "te", "en"], False),
        (["blood test", "urine test"], False),
        (["contest", "detrain"], False),
        (["train tickets", "contest"], False),
        (["folder1", "folder2"], False),
        (["fold1"], False),
        (["tr"], False),
    ],
)
def test_folders_that_together_look_like_splits_are_no_classes(tmp_path, names, alike):
    assert together_like_splits(names) == alike
    for name in names:
        for number in range(6):
            picture(tmp_path / name / f"{number}.png")
    if alike:
        with pytest.raises(UserError, match="look like splits; say which is what"):
            read_first(source="folder", path=str(tmp_path))
    elif len(names) > 1:
        assert len(read_first(source="folder", path=str(tmp_path)).class_names) == len(names)
    if len(names) > 1:
        data = read_first(source="folder", path=str(tmp_path), splits="none")
        assert len(data.class_names) == len(names)


def test_names_of_nearly_one_spelling_are_told(tmp_path):
    assert alike_names(["Cat", "cat", "dog"]) == [["Cat", "cat"]]
    assert alike_names(["ｃａｔ", "cat"]) == [["ｃａｔ", "cat"]]
    assert alike_names(["01", "1", "1.0", "10"]) == [["01", "1", "1.0"]]
    assert alike_names(["sea lion", "sealion", "a\u200db", "ab"]) == [
        ["sea lion", "sealion"],
        ["a\u200db", "ab"],
    ]
    assert alike_names(["a", "b", "1", "-1", "é", "e"]) == []
    for label in ("Cat", "cat", "dog"):
        for number in range(4):
            picture(tmp_path / label / f"{number}.png")
    data = read_first(source="folder", path=str(tmp_path))
    assert data.class_names == ["Cat", "cat", "dog"]
    assert data.reading["classes of nearly the same name"] == "'Cat', 'cat'"


def test_what_cannot_be_seen_in_a_name_makes_no_class_of_its_own(tmp_path):
    for split, label in (
        ("train", "cat"),
        ("test", "ca\u00adt"),
        ("train", "dog"),
        ("test", "\u202adog"),
    ):
        for number in range(3):
            picture(tmp_path / split / label / f"{number}.png")
    assert read_first(source="folder", path=str(tmp_path)).class_names == ["cat", "dog"]


def test_a_class_of_blanks_is_named_by_its_folder(tmp_path):
    for label in (" ", "b"):
        picture(tmp_path / label / "0.png")
    with pytest.raises(UserError, match=r"/ ': a class has no name but blanks"):
        read_first(source="folder", path=str(tmp_path))


def test_groups_that_an_expression_leaves_open_are_refused(tmp_path):
    for label in "ab":
        for number in range(6):
            picture(tmp_path / label / f"p{number // 2}_{number}.png")
    spec = {"source": "folder", "path": str(tmp_path)}
    with pytest.raises(
        UserError, match=r"data.groups: '\(q\\\\d\)\?' finds nothing in 'a/p0_0.png'"
    ):
        read_first(**spec, groups=r"(q\d)?")
    # Two groups in parentheses: it is not said which of them is meant.
    with pytest.raises(ValidationError, match="has 2 pairs of parentheses"):
        read_first(**spec, groups=r"(p|s)(\d)")
    read_first(**spec, groups=r"(?:p|s)\d")
    read_first(**spec, groups=r"(?:p|s)(\d)")


# --------------------------------------------------------------------------------------- lists


def listed(folder, header: str, *columns) -> dict:
    """A list of twelve images, of which eight are for training, with more columns."""
    for number in range(12):
        picture(folder / "set" / f"{number}.png")
    rows = [
        ",".join([f"{n}.png", "ab"[n % 2], *(str(column(n)) for column in columns)])
        for n in range(12)
    ]
    (folder / "list.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return {"source": "folder", "path": str(folder / "set"), "csv": str(folder / "list.csv")}


def split(number: int) -> str:
    return "train" if number < 8 else "test"


@pytest.mark.parametrize(
    "header", ["path,label,split", "Path,LABEL,Split", " path , label , split "]
)
def test_columns_of_a_list_are_known_in_any_case(tmp_path, header):
    assert len(read_first(**listed(tmp_path, header, split)).test_labels) == 4


@pytest.mark.parametrize("name", ["set", "subset", "partition", "Unnamed: 3"])
def test_a_column_that_looks_like_splits_is_not_passed_over(tmp_path, name):
    with pytest.raises(UserError, match=f"column '{name}' looks like splits; call it 'split'"):
        read_first(**listed(tmp_path, f"path,label,{name}", split))
    # Beside a column of splits it may be whatever it is.
    data = read_first(**listed(tmp_path, f"path,label,{name},split", split, split))
    assert data.reading["left out"] == f"1 × column {name!r} of the list"


def test_columns_that_are_not_used_are_counted(tmp_path):
    data = read_first(**listed(tmp_path, "path,label,subject,fold", lambda n: n, lambda n: n % 3))
    assert (
        data.reading["left out"]
        == "1 × column 'fold' of the list, 1 × column 'subject' of the list"
    )


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ("\u00fc", "u\u0308", True),
        ("p1", " p1 ", True),
        ("p1", "p\u200b1", True),
        ("P1", "p1", False),
        ("1", "01", False),
        ("1", "1.0", False),
    ],
)
def test_one_group_spelt_in_two_ways_is_not_parted_unnoticed(tmp_path, one, other, refused):
    spec = listed(tmp_path, "path,label,split,Group", split, lambda n: one if n < 8 else other)
    if refused:
        with pytest.raises(UserError, match="1 groups are in two splits"):
            read_first(**spec)
    else:
        told = read_first(**spec).reading["groups of nearly the same name"]
        assert sorted(told.split(", ")) == sorted([repr(one), repr(other)])


@pytest.mark.parametrize("path", ["0\0.png", "x" * 5000 + ".png", "a/" * 3000 + "x.png"])
def test_paths_that_no_file_can_have_are_told_with_their_line(tmp_path, path):
    spec = listed(tmp_path, "path,label,split", split)
    with (tmp_path / "list.csv").open("a", encoding="utf-8") as file:
        file.write(f"{path},a,train\n")
    with pytest.raises(UserError, match="line 14: path is") as caught:
        read_first(**spec)
    assert len(str(caught.value)) < 600


def test_what_a_list_names_is_not_counted_as_left_out(tmp_path):
    spec = listed(tmp_path, "path,label,split", split)
    (tmp_path / "set" / "0.png").rename(tmp_path / "set" / ".0.png")
    (tmp_path / "set" / "1.png").rename(tmp_path / "set" / "1.dat")
    text = (
        (tmp_path / "list.csv")
        .read_text()
        .replace("\n0.png", "\n.0.png")
        .replace("\n1.png", "\n1.dat")
    )
    (tmp_path / "list.csv").write_text(text)
    picture(tmp_path / "set" / "2.dat")
    data = read_first(**spec)
    assert data.reading["left out"] == "1 × file ending in .dat"
    assert len(data.train_labels) == 8


# ------------------------------------------------------------------------------------- archives


def archive(folder, **arrays) -> dict:
    own = {
        f"{key}_{part}": value
        for part in ("train", "test")
        for key, value in (
            ("x", RANDOM.integers(0, 256, (12, 4, 5), dtype=np.uint8)),
            ("y", np.arange(12) % 2),
        )
    }
    np.savez(folder / "set.npz", **own, **arrays)
    return {"source": "npz", "path": str(folder / "set.npz")}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (np.arange(12), np.arange(12) + 0.0, "12 groups are in two splits"),
        (np.arange(12), np.arange(12).astype(">u2"), "12 groups are in two splits"),
        (np.arange(12), np.arange(12).astype(str), "text in one and numbers in another"),
        (np.array([0, np.nan] * 6), np.arange(20, 32), "groups_train: number 1 is NaN"),
        (np.arange(12) + 0.5, np.arange(20, 32), "groups_train: holds fractions"),
        (np.array(["a", ""] * 6), np.array(["b"] * 12), "groups_train: name number 1 is empty"),
        (np.array(["ä"] * 12), np.array(["a\u0308"] * 12), "1 groups are in two splits: 'ä'"),
    ],
)
def test_groups_of_an_archive_are_compared_whatever_they_are_stored_as(
    tmp_path, train, test, message
):
    with pytest.raises(UserError, match=message):
        read_first(**archive(tmp_path, groups_train=train, groups_test=test))


# -------------------------------------------------------------------------------------- pairs


def test_a_picture_in_two_modalities_is_told(tmp_path):
    for label in "ab":
        for number in range(6):
            for modality in ("face", "iris"):
                picture(tmp_path / modality / label / f"{number}.png")
    spec = {"source": "paired", "path": str(tmp_path), "modalities": ["face", "iris"]}
    assert "equal modalities" not in read_first(**spec).reading
    content = (tmp_path / "face" / "a" / "0.png").read_bytes()
    (tmp_path / "iris" / "b" / "3.png").write_bytes(content)
    told = read_first(**spec).reading["equal modalities"]
    assert told == "1 images of face are images of iris, too"
