"""What folders, names and lists mean: classes, splits, groups; what is left out is counted."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelswitch.config.data import FolderData
from modelswitch.data.folders import looks_like_split, natural_order, normal, split_named
from modelswitch.data.shapes import image_counts, shapes_of
from modelswitch.data.sources import read
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare


def tree(root, *names, size=(6, 5)):
    """Images with these names below ``root``; each shows its number."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("L", size, 20 + number)
        picture.putpixel((0, 0), 0)
        picture.save(path, "PNG")
    return root


def folder(root, **options):
    spec = FolderData(source="folder", path=str(root), colour="grey", **options)
    [data] = read(spec).values()
    assert shapes_of(spec)["folder"] == (data.image_shape, data.num_classes)
    return data


def classes(*splits, count=3, names=("a", "b")):
    return [f"{split}/{name}/{i}.png" for split in splits for name in names for i in range(count)]


def by_class(data) -> dict[str, int]:
    counts = data.counts().values()
    return {n: sum(c[i] for c in counts) for i, n in enumerate(data.class_names)}


# ------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize(
    "names",
    [("train", "test"), ("Train", "Test"), ("TRAINING", "Testing"), ("train ", "test")],
)
def test_splits_are_known_in_any_case_by_their_usual_names(tmp_path, names):
    data = folder(tree(tmp_path, *classes(*names)))
    assert data.class_names == ["a", "b"]
    assert data.counts() == {"train": [3, 3], "test": [3, 3]}
    assert data.given_validation is None


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation", "dev", "VAL"])
def test_images_for_validation_are_used_for_that(tmp_path, name):
    data = folder(tree(tmp_path, *classes("train", name, "test")))
    assert data.counts() == {"train": [3, 3], "validation": [3, 3], "test": [3, 3]}
    kept, held = data.training_and_validation(0.5, seed=0)
    shown = data.train_images[..., 1, 1, 0].flatten()
    assert sorted(shown[kept].tolist()) == list(range(20, 26))
    assert sorted(shown[held].tolist()) == list(range(26, 32))


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val"),
        ("train", "test1"),
        ("train", "eval"),
        ("train", "test", "eval"),
        ("train_images", "test_images"),
        ("train", "test", "cats"),
        ("ok", "nok", "test"),
        ("train", "bus", "car"),
        ("valid", "invalid"),
        ("val", "test"),
        ("images_train", "images_test"),
        ("train", "test", "Test"),
    ],
)
def test_folders_that_may_be_splits_are_refused_unless_it_is_said_what_they_are(tmp_path, names):
    tree(tmp_path, *classes(*names))
    with pytest.raises(UserError) as caught:
        folder(tmp_path)
    assert "look like splits" in str(caught.value)
    assert "data.splits" in str(caught.value)
    data = folder(tmp_path, splits="none")
    assert data.class_names == sorted(names)
    first, second = names[:2]
    data = folder(tmp_path, splits={"train": first, "test": second})
    assert data.counts() == {"train": [3, 3], "test": [3, 3]}
    data = folder(tmp_path, splits={"train": first, "validation": second})
    assert sum(data.counts()["validation"]) == 6
    assert sum(data.counts()["train"]) + sum(data.counts()["test"]) == 6


def test_names_of_files_never_say_a_split(tmp_path):
    names = [f"{c}/{s}_{i}.png" for c in "ab" for s in ("train", "test") for i in range(5)]
    data = folder(tree(tmp_path, *names, "a/train.png", "b/test.png"))
    assert by_class(data) == {"a": 11, "b": 11}


def test_classes_that_only_begin_like_splits_are_classes(tmp_path):
    data = folder(tree(tmp_path, *classes("test tubes", "flasks", "trainers", "develop")))
    assert data.class_names == ["develop", "flasks", "test tubes", "trainers"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/0.png", "train/1.png", "test/2.png"], "no <class>/<image> below it"),
        (["0.png", "1.png"], "no <class>/<image> below it"),
        ([], "no <class>/<image> below it"),
        (classes("a/train", "a/test", "b/train", "b/test"), "splits are the outermost"),
        ([*classes("train", "test"), "test/c/0.png"], "1 classes have no training image: 'c'"),
        ([*classes("train", "val", "test"), "val/c /0.png"], "no training image: 'c'"),
        (["a/0.png", "a/1.png"], "one class only"),
    ],
)
def test_what_a_folder_lacks_is_told(tmp_path, names, said):
    with pytest.raises(UserError) as caught:
        folder(tree(tmp_path, *names))
    assert said in str(caught.value)


def test_a_missing_folder_or_an_empty_class_is_told(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        folder(tmp_path / "nothing")
    tree(tmp_path, *classes("train", "test"))
    (tmp_path / "train" / "c").mkdir()
    (tmp_path / "train" / "c" / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"train: 1 class folders have no image: 'c'"):
        folder(tmp_path)


def test_a_class_without_test_images_keeps_the_numbers_of_the_others(tmp_path):
    tree(tmp_path, *classes("train", names=("0", "90", "180", "270")))
    tree(tmp_path, *classes("test", names=("0", "90", "270")))
    (tmp_path / "test" / "180").mkdir()
    data = folder(tmp_path)
    assert data.class_names == ["0", "90", "180", "270"]
    assert data.counts()["test"] == [3, 3, 0, 3]
    assert set(data.test_labels.tolist()) == {0, 1, 3}


# ------------------------------------------------------------------------------ names of classes


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["0", "1", "10", "11", "2"], ["0", "1", "2", "10", "11"]),
        (["63", "7", "100"], ["7", "63", "100"]),
        (["00", "01", "10"], ["00", "01", "10"]),
        (["-10", "0", "10", "0.5"], ["-10", "0", "0.5", "10"]),
        (["class2", "class10"], ["class10", "class2"]),
        (["1", "2", "10", "b"], ["1", "10", "2", "b"]),
        (["NA", "nan", "None", "NO", "True", "1e5", "null"],
         ["1e5", "NA", "NO", "None", "True", "nan", "null"]),
        (["1", "01"], ["01", "1"]),
    ],
)  # fmt: skip
def test_classes_are_numbered_in_natural_order(tmp_path, names, order):
    assert natural_order(names) == order
    tree(tmp_path, *(f"{name}/{i}.png" for name in names for i in range(3)))
    data = folder(tmp_path)
    assert data.class_names == order
    shown = dict(zip([n for n in names for _ in range(3)], range(20, 99), strict=False))
    for image, label in zip(data.train_images, data.train_labels.tolist(), strict=True):
        first = shown[order[label]] - 2
        assert first <= image[1, 1, 0] <= first + 2


def test_one_class_in_two_forms_of_unicode_is_one_class(tmp_path):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    tree(tmp_path, *classes("train", names=(composed, "tea")))
    tree(tmp_path, *classes("test", names=(apart, "tea ")))
    data = folder(tmp_path)
    assert data.class_names == [composed, "tea"]
    assert data.counts()["test"] == [3, 3]
    tree(tmp_path, f"train/{apart}/0.png")
    with pytest.raises(UserError, match=r"one class has two folders, 'cafe\\u0301' and 'caf\\xe9'"):
        folder(tmp_path)


def test_odd_names_of_classes_are_shown_in_quotes(tmp_path):
    tree(tmp_path, *classes("train", "test"), "test/ c\u00a0/0.png")
    with pytest.raises(UserError, match="no training image: 'c'"):
        folder(tmp_path)
    tree(tmp_path, "train/c/0.png", "train/c\t/0.png")
    with pytest.raises(UserError, match=r"train: one class has two folders, 'c' and 'c\\t'"):
        folder(tmp_path)


def test_names_that_are_not_text_are_refused(tmp_path):
    tree(tmp_path, *classes("", names=("a", "b")))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).mkdir()
    with pytest.raises(UserError, match=r"'\\udcff\\udcfe': is not UTF-8"):
        folder(tmp_path)


ODD = ["{x}.png", "%s.png", "*.png", "[a].png", "'.png", '".png', "#.png", "-v.png", "é.png",
       "a b.png", "a\tb.png", "a\nb.png", "a\\b.png", "$HOME.png", "~.png", " .png"]  # fmt: skip


def test_files_may_be_called_anything_and_are_shown_in_quotes_where_it_matters(tmp_path):
    tree(
        tmp_path,
        *(f"{split}/{label}/{n}" for split in ("train", "test") for label in "ab" for n in ODD),
    )
    assert folder(tmp_path).counts() == {"train": [len(ODD)] * 2, "test": [len(ODD)] * 2}
    (tmp_path / "train/a/a\nb.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"train/a/a\\nb\.png': corrupt"):
        folder(tmp_path)


@pytest.mark.parametrize("label", ["{x}", "%s", "'", '"', "#", "-v", "a\\b", "$HOME", "~", "*"])
def test_classes_may_be_called_anything(tmp_path, label):
    tree(tmp_path, *classes("train", "test", names=(label, "other")))
    assert set(folder(tmp_path).class_names) == {label, "other"}


def test_nested_folders_belong_to_their_class_and_same_last_names_stay_apart(tmp_path):
    names = ["hat/cap/0.png", "hat/cap/1.png", "hat/2.png", "bottle/cap/0.png", "bottle/x/y/0.png"]
    data = folder(tree(tmp_path, *names), test=0.4)
    assert by_class(data) == {"bottle": 2, "hat": 3}


def test_the_order_in_which_files_were_made_means_nothing(tmp_path):
    names = classes("", count=9, names=("x", "y", "z"))
    data = []
    for place, order in (("one", names), ("other", names[::-1])):
        for name in order:
            tree(tmp_path / place, name.lstrip("/"))
        for number, name in enumerate(names):
            picture = Image.new("L", (6, 5), 20 + number)
            picture.putpixel((0, 0), 0)
            picture.save(tmp_path / place / name.lstrip("/"))
        data.append(folder(tmp_path / place))
    assert np.array_equal(data[0].train_images, data[1].train_images)
    assert np.array_equal(data[0].test_labels, data[1].test_labels)


def test_normal_forms():
    assert normal(" cat\u00a0\tdog ") == "cat dog"
    assert normal("cafe\u0301\u200b") == "café"
    assert [split_named(n) for n in ("Train ", "VAL", "tests", "eval")] == [
        "train",
        "validation",
        None,
        None,
    ]
    assert looks_like_split("Test-2")
    assert not looks_like_split("contest")


# ---------------------------------------------------------------------------------- left out


def test_all_that_is_left_out_is_counted_by_reason(tmp_path):
    tree(tmp_path, *classes("train", "test"))
    tree(tmp_path, "train/a/.ipynb_checkpoints/0.png", "train/a/._0.png", ".git/0.png")
    tree(tmp_path, "__MACOSX/train/a/0.png", "0.png", "train/1.png")
    (tmp_path / "train/b/Thumbs.db").write_bytes(b"x")
    (tmp_path / "train/b/0.heic").write_bytes(b"x")
    (tmp_path / "train/b/1.HEIC").write_bytes(b"x")
    (tmp_path / "README").write_text("x")
    data = folder(tmp_path)
    assert data.counts() == {"train": [3, 3], "test": [3, 3]}
    assert data.reading["left out"] == (
        "2 × file ending in .heic, 1 × file without an ending, 2 × hidden file, "
        "3 × hidden folder, 2 × image outside of class folders"
    )


def test_the_log_says_what_was_read_and_how(tmp_path):
    names = classes("train", "val", "test", names=("1", "2", "10"))
    tree(tmp_path / "set", *names, "train/10/.x.png")
    for name in names:
        Image.effect_noise((6, 5), 90).save(tmp_path / "set" / name)
    spec = FolderData(source="folder", path=str(tmp_path / "set"), colour="grey")
    lines = prepare(spec, [str(tmp_path / "data.safetensors")])
    assert [line for line in lines if "near duplicates" not in line] == [
        "folder: 9 training and 9 validation and 9 test images 5x6x1, 3 classes",
        "folder: pixels: mode L, 8 bit, 0 to 255",
        "folder: left out: 1 × hidden file",
        "folder: classes (train + validation + test): "
        "0 '1' 3 + 3 + 3, 1 '2' 3 + 3 + 3, 2 '10' 3 + 3 + 3",
    ]


def test_empty_images_are_counted_and_a_class_of_nothing_else_is_named(tmp_path):
    tree(tmp_path, *classes("train", "test"))
    for name in (
        "train/a/0.png",
        "train/b/0.png",
        "train/b/1.png",
        "train/b/2.png",
        "test/a/0.png",
    ):
        Image.new("L", (6, 5), 127).save(tmp_path / name)
    assert folder(tmp_path).reading["empty images"] == (
        "4 of 6 training and 1 of 6 test images are of one colour; "
        "1 classes have no other training image: 'b'"
    )


# ------------------------------------------------------------------------------ links and files


def test_links_inside_are_followed_and_links_outside_on_request(tmp_path):
    tree(tmp_path / "set", *classes("train"))
    tree(tmp_path / "away", *classes("test"))
    (tmp_path / "set" / "test").symlink_to(tmp_path / "away" / "test")
    with pytest.raises(UserError, match=r"set/test: leads out of the data folder.*follow_links"):
        folder(tmp_path / "set")
    assert folder(tmp_path / "set", follow_links=True).counts()["test"] == [3, 3]
    (tmp_path / "set" / "test").unlink()
    (tmp_path / "set" / "test").symlink_to("train")
    assert folder(tmp_path / "set").counts()["test"] == [3, 3]
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert folder(tmp_path / "link").counts()["test"] == [3, 3]


@pytest.mark.parametrize("follow_links", [False, True])
def test_links_that_lead_in_circles_end(tmp_path, follow_links):
    tree(tmp_path, *classes("train", "test"))
    (tmp_path / "train/a/back").symlink_to("..")
    with pytest.raises(UserError, match=r"train/a/back: is a link that leads back to"):
        folder(tmp_path, follow_links=follow_links)
    (tmp_path / "train/a/back").unlink()
    (tmp_path / "train/a/self.png").symlink_to("self.png")
    with pytest.raises(UserError, match=r"self\.png: "):
        folder(tmp_path, follow_links=follow_links)


def broken(root):
    """Files that cannot be read, each for a reason of its own."""
    tree(root, *classes("train", "test", count=12))
    whole = (root / "train/a/0.png").read_bytes()
    contents = {
        "train/a/1.png": (b"", "is empty (0 bytes)"),
        "train/a/2.png": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        "train/b/3.png": (b"<!DOCTYPE html><html>", "is a web page"),
        "train/b/4.png": (b"junk", "corrupt, or no image"),
        "test/a/5.png": (whole[:-20], "corrupt ("),
    }
    for name, (content, _) in contents.items():
        (root / name).write_bytes(content)
    for name in ("train/a/6.png", "train/a/7.png", "test/b/8.png"):
        (root / name).unlink()
    (root / "train/a/6.png").symlink_to("nowhere")
    (root / "train/a/7.png").mkdir()
    os.mkfifo(root / "test/b/8.png")
    return {name: said for name, (_, said) in contents.items()} | {
        "train/a/6.png": "a link to nowhere",
        "train/a/7.png": "is a folder",
        "test/b/8.png": "no ordinary file",
    }


def test_all_corrupt_files_are_named_at_once_each_with_its_reason(tmp_path):
    reasons = broken(tmp_path)
    with pytest.raises(UserError) as caught:
        folder(tmp_path)
    for name, reason in reasons.items():
        assert name in str(caught.value)
        assert reason in str(caught.value)
    assert "8 of 48 files" in str(caught.value)
    assert "data.corrupt: skip" in str(caught.value)


def test_corrupt_files_are_skipped_and_counted_on_request(tmp_path):
    tree(tmp_path / "whole", *classes("train", "test", count=12))
    broken(tmp_path / "damaged")
    data = folder(tmp_path / "damaged", corrupt="skip")
    assert data.counts() == {"train": [8, 10], "test": [11, 11]}
    assert data.reading["left out"] == "8 × corrupt sample"
    whole = folder(tmp_path / "whole")
    kept = {image.numpy().tobytes() for image in data.train_images}
    assert kept < {image.numpy().tobytes() for image in whole.train_images}


def test_a_class_is_not_skipped_and_neither_is_most_of_a_folder(tmp_path):
    tree(tmp_path, *classes("train", "test", count=3, names=("a", "b", "c")))
    for number in range(3):
        (tmp_path / f"train/b/{number}.png").write_bytes(b"x")
    with pytest.raises(UserError, match="no training image: 'b'"):
        folder(tmp_path, corrupt="skip")
    for name in classes("train", "test", count=2, names=("a", "b", "c")):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match="13 of 18 samples are corrupt"):
        folder(tmp_path, corrupt="skip")


def test_what_needs_a_setting_is_no_corrupt_file_to_be_skipped(tmp_path):
    tree(tmp_path, *classes("train", "test"))
    Image.new("RGBA", (6, 5)).save(tmp_path / "train/a/0.png")
    with pytest.raises(UserError, match=r"train/a/0\.png: has transparent pixels"):
        folder(tmp_path, corrupt="skip")


def test_many_corrupt_files_are_counted_and_all_listed_in_the_log(tmp_path, capsys):
    names = classes("train", "test", count=20)
    tree(tmp_path / "set", *names)
    for name in names[:50]:
        (tmp_path / "set" / name).write_bytes(b"junk")
    spec = FolderData(source="folder", path=str(tmp_path / "set"))
    with pytest.raises(UserError, match=r"and 30 more \(50 of 80 files"):
        prepare(spec, [str(tmp_path / "data.safetensors")])
    assert len(capsys.readouterr().err.splitlines()) == 50


# ------------------------------------------------------------------------------ lists and groups


def listed(root, rows, header="path,label,split", **options):
    (root / "list.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder(root, csv=str(root / "list.csv"), **options)


def rows_of(count=8):
    return [
        f"{'xyz'[i % 3]}{i}.png,{'ab'[i % 2]},{'train' if i < 6 else 'test'}" for i in range(count)
    ]


def test_a_list_says_label_and_split_of_every_path(tmp_path):
    names = [row.split(",")[0] for row in rows_of()]
    tree(tmp_path, *names, "more/0.png")
    data = listed(tmp_path, rows_of())
    assert data.counts() == {"train": [3, 3], "test": [1, 1]}
    shown = data.train_images[:, 1, 1, 0] - 20
    assert (shown % 2).tolist() == data.train_labels.tolist()
    assert data.reading["left out"] == "1 × file ending in .csv, 1 × image outside of the list"
    shuffled = listed(tmp_path, rows_of()[::-1])
    assert np.array_equal(shuffled.train_images, data.train_images)
    assert np.array_equal(shuffled.train_labels, data.train_labels)
    spec = FolderData(source="folder", path=str(tmp_path), csv=str(tmp_path / "list.csv"))
    assert image_counts(spec).train == 6


def test_cells_are_text_whatever_they_look_like(tmp_path):
    labels = ["NA", "nan", "None", "01", "1", "1e5", "True"]
    names = [f"{i:04d}" for i in range(14)]
    tree(tmp_path, *names)
    rows = [
        f"{name},{labels[i % 7]},{'train' if i < 7 else 'test'}" for i, name in enumerate(names)
    ]
    data = listed(tmp_path, rows)
    assert data.class_names == sorted(labels)
    for image, label in zip(data.train_images, data.train_labels.tolist(), strict=True):
        assert labels[int(image[1, 1, 0]) - 20] == data.class_names[label]


def test_a_list_from_a_spreadsheet_is_read(tmp_path):
    tree(tmp_path, *(row.split(",")[0] for row in rows_of()))
    text = "\ufeff" + "\r\n".join(["path , label,split", *rows_of()]) + "\r\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    assert folder(tmp_path, csv=str(tmp_path / "list.csv")).counts()["train"] == [3, 3]


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (rows_of(), "file,label,split", "needs one column 'path', it has 'file', 'label', 'split'"),
        (rows_of(), "path,label,label", "needs one column 'label'"),
        ([], "path,label,split", "names no image to train on"),
        ([*rows_of(), "x9.png,,train"], "path,label,split", "line 10: has no label"),
        ([*rows_of(), "x9.png,a,holdout"], "path,label,split", "line 10: the split is 'holdout'"),
        ([*rows_of(), "x9.png,a,"], "path,label,split", "1 of its rows have no split"),
        ([*rows_of(), "x9.png,a"], "path,label,split", "line 10: has not as many cells"),
        ([*rows_of(), "x9.png,a,train,b"], "path,label,split", "line 10: has not as many cells"),
        ([*rows_of(), "x0.png,a,test"], "path,label,split", "'x0.png' stands in line 2, too"),
        ([*rows_of(), "./x0.png,a,train"], "path,label,split", "'./x0.png' stands in line 2, too"),
        ([*rows_of(), ",a,test"], "path,label,split", "line 10: path is ''"),
        ([*rows_of(), "../list.csv,a,test"], "path,label,split", "line 10: path is '../list.csv'"),
        ([*rows_of(), "gone.png,a,test"], "path,label,split", "gone.png: no such file"),
        ([*rows_of(), "x9.png,c,test"], "path,label,split", "no training image: 'c'"),
        (['"x0.png,a,train'], "path,label,split", "cannot be read"),
        ([f"{r},{'g' if i else ''}" for i, r in enumerate(rows_of())],
         "path,label,split,group", "1 of its rows have no group"),
        ([f"{r},{'same' if i > 4 else i}" for i, r in enumerate(rows_of())],
         "path,label,split,group", "1 groups are in two splits: 'same'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_told_with_its_line(tmp_path, rows, header, said):
    root = tree(tmp_path / "set", *(row.split(",")[0] for row in rows_of()))
    (tmp_path / "list.csv").write_text("outside")
    with pytest.raises(UserError) as caught:
        listed(root, rows, header)
    assert said in str(caught.value)


def test_a_list_of_names_and_a_missing_list(tmp_path):
    tree(tmp_path, *classes("train", "test"))
    with pytest.raises(UserError, match=r"data\.csv: .*none\.csv: cannot be read"):
        folder(tmp_path, csv=str(tmp_path / "none.csv"))
    (tmp_path / "list.csv").write_bytes("path,label\nä,b".encode("latin-1"))
    with pytest.raises(UserError, match=r"data\.csv: .*list\.csv: cannot be read"):
        folder(tmp_path, csv=str(tmp_path / "list.csv"))


def test_groups_are_never_parted_by_a_split(tmp_path):
    """Slices of patients, named as people name them; the groups go across classes."""
    names = [f"{'ab'[p % 2 if s else 0]}/p{p:02d}_s{s}.png" for p in range(20) for s in range(4)]
    tree(tmp_path, *names)
    patient = {20 + number: name[2:5] for number, name in enumerate(names)}
    data = folder(tmp_path, groups=r"p\d+", test=0.3)
    kept, held = data.training_and_validation(0.3, seed=0)
    sides = [data.train_images[kept], data.train_images[held], data.test_images]
    patients = [{patient[int(image[1, 1, 0])] for image in side} for side in sides]
    assert all(patients)
    assert sum(map(len, patients)) == len(set.union(*patients)) == 20
    with pytest.raises(UserError, match=r"data\.groups: 'q\\\\d' finds nothing in 'a/p00_s0\.png'"):
        folder(tmp_path, groups=r"q\d")


def test_pages_of_a_file_stay_together(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(10):
            value = 20 * number + (10 if label == "b" else 0)
            pages = [Image.new("L", (4, 4), value + page) for page in range(5)]
            for page in pages:
                page.putpixel((0, 0), 255)
            place = tmp_path / label / f"{number}.tif"
            pages[0].save(place, save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"has 5 frames.*20 of 20 files"):
        folder(tmp_path)
    assert sum(by_class(folder(tmp_path, frames="first")).values()) == 20
    data = folder(tmp_path, frames="all", test=0.3)
    assert by_class(data) == {"a": 50, "b": 50}
    of_file = [
        {int(i[1, 1, 0]) // 10 for i in part} for part in (data.train_images, data.test_images)
    ]
    assert len(of_file[0] | of_file[1]) == len(of_file[0]) + len(of_file[1]) == 20
