"""What a data set is made from: noticed when it changes, and only then."""

import json
import os
import shutil
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from modelswitch.config.data import DataSpec
from modelswitch.data.manifest import (
    Manifest,
    Record,
    manifest,
    refuse_other,
    refuse_results_among,
    refuse_unlike,
)
from modelswitch.errors import UserError
from modelswitch.storage import cache_folder, contents
from modelswitch.storage.contents import file_digests

RANDOM = np.random.default_rng(0)


def spec_of(**values) -> DataSpec:
    return TypeAdapter(DataSpec).validate_python(values)


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    for row in range(8):
        picture(tmp_path / "images" / ("Übung", "hat")[row % 2] / "2023" / f"{row}.bmp", row)
    return tmp_path / "images"


def identity(path, **more) -> str:
    return manifest(spec_of(source="folder", path=str(path), **more)).identity


def replaced(path: Path) -> None:
    """Other bytes of the same size under the old date, as ``cp -p`` and ``rsync -t`` leave them."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


CHANGES = {
    "an image is added": lambda root: picture(root / "hat/9.png", 9),
    "an image is removed": lambda root: (root / "hat/2023/1.bmp").unlink(),
    "an image in a nested folder is overwritten": lambda root: picture(root / "hat/2023/1.bmp", 99),
    "other bytes have the old size and date": lambda root: replaced(root / "hat/2023/1.bmp"),
    "an image goes to another class": lambda root: (root / "hat/2023/1.bmp").rename(
        root / "Übung/1.bmp"
    ),
    "a class is renamed": lambda root: (root / "hat").rename(root / "cap"),
    "two images change places": lambda root: [
        (root / "hat/2023/1.bmp").rename(root / "x.bmp"),
        (root / "Übung/2023/2.bmp").rename(root / "hat/2023/1.bmp"),
        (root / "x.bmp").rename(root / "Übung/2023/2.bmp"),
    ],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_the_images_is_noticed(folder, change):
    before = identity(folder)
    change(folder)
    assert identity(folder) != before


def test_dates_places_and_what_is_not_read_change_nothing(folder, tmp_path):
    before = identity(folder)
    copy = tmp_path / "else where" / "copied"
    shutil.copytree(folder, copy)
    assert identity(copy) == before
    for number, path in enumerate(sorted(copy.rglob("*"))):
        os.utime(path, (10**9 + 10**7 * number,) * 2)
    os.utime(copy / "hat/2023/3.bmp", (4 * 10**9,) * 2)
    # What a system that stores names decomposed makes of them.
    (copy / "Übung").rename(copy / unicodedata.normalize("NFD", "Übung"))
    for clutter in (".DS_Store", "hat/.ipynb_checkpoints/1.bmp", "hat/__pycache__/x.pyc", "a.txt"):
        (copy / clutter).parent.mkdir(exist_ok=True)
        (copy / clutter).write_bytes(b"anything")
    assert identity(copy) == before
    (tmp_path / "link").symlink_to(copy)
    assert identity(tmp_path / "link") == before
    monkeyed = f"{tmp_path}//images/./../images/"
    assert identity(monkeyed) == before


def test_settings_count_that_say_how_data_are_read(folder):
    before = identity(folder)
    for more in ({"size": [4, 4]}, {"colour": "grey"}, {"test": 0.3}, {"groups": "[0-9]"}):
        assert identity(folder, **more) != before
    # These are no part of the arrays.
    more = {"name": "other", "validation": 0.3, "augment": {"crop": 1}}
    assert identity(folder, **more) == before


def test_a_list_counts_by_what_it_says(folder, tmp_path):
    rows = [
        [path.relative_to(folder).as_posix(), "ab"[row % 2], "train" if row < 6 else "test"]
        for row, path in enumerate(sorted(folder.rglob("*.bmp")))
    ]

    def written(rows, name="list.csv") -> str:
        lines = [",".join(row) for row in [["path", "label", "split"], *rows]]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return identity(folder, csv=str(tmp_path / name))

    before = written(rows)
    assert written(rows[::-1], "renamed.csv") == before
    relabelled = [list(row) for row in rows]
    relabelled[0][1], relabelled[1][1] = relabelled[1][1], relabelled[0][1]
    assert written(relabelled) != before
    moved = [[*row[:2], "test" if number == 0 else row[2]] for number, row in enumerate(rows)]
    assert written(moved) != before


def test_an_archive_counts_by_its_bytes(tmp_path):
    arrays = {"x_train": RANDOM.integers(0, 255, (4, 3, 3), np.uint8), "y_test": np.arange(4)}
    np.savez(tmp_path / "a.npz", **arrays, class_names=["a", "b"])
    first = spec_of(source="npz", path=str(tmp_path / "a.npz"))
    before = manifest(first)
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    assert manifest(spec_of(source="npz", path=str(tmp_path / "b.npz"))) == before
    np.savez(tmp_path / "a.npz", **arrays, class_names=["b", "a"])
    assert manifest(first) != before
    paired = {"source": "paired", "modalities": ["x", "y"]}
    assert manifest(spec_of(**paired, path=str(tmp_path / "b.npz"))).contents == before.contents


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source": "npz", "path": "gone.npz"}, "data.path: gone.npz: no such file"),
        ({"source": "folder", "path": "gone"}, "data.path: gone: no such folder"),
        (
            {"source": "paired", "path": "gone", "modalities": ["a", "b"]},
            "data.path: gone: no such folder or .npz file",
        ),
    ],
)
def test_data_that_are_not_there_are_told(values, said):
    with pytest.raises(UserError) as caught:
        manifest(spec_of(**values))
    assert str(caught.value) == said


def test_drawn_and_known_sets_have_no_files():
    for values in ({"source": "digits"}, {"source": "eyes"}):
        assert manifest(spec_of(**values)).contents == ""
    assert (
        manifest(spec_of(source="eyes", seed=1)).identity
        != manifest(spec_of(source="eyes", seed=2)).identity
    )


# -------------------------------------------------------------------------- remembered contents


@pytest.fixture
def reads(tmp_path, monkeypatch) -> list[Path]:
    """The files that were really read, in a working folder with Snakemake's."""
    monkeypatch.chdir(tmp_path)
    cache_folder.FOLDER.mkdir(parents=True)
    read = contents._digest
    found: list[Path] = []
    monkeypatch.setattr(contents, "_digest", lambda path: found.append(path) or read(path))
    return found


def test_files_are_read_once_unless_they_are_touched(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(contents, "_TOO_FRESH", -10.0)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(f"content of {path.name}")
    first = file_digests(paths, "x")
    assert len(reads) == 3
    [note] = cache_folder.FOLDER.iterdir()
    written = note.stat().st_mtime_ns
    assert file_digests(paths, "x") == first
    assert len(reads) == 3
    assert note.stat().st_mtime_ns == written, "nothing new is no reason to write"
    replaced(paths[1])
    second = file_digests(paths, "x")
    assert reads[3:] == [paths[1]]
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]
    note.write_text("{torn")
    assert file_digests(paths, "x") == second


def test_a_file_that_may_still_change_within_its_date_is_read_again(tmp_path, reads, monkeypatch):
    path, now = tmp_path / "a", time.time_ns()
    # As a disk tells it whose clock ticks every two seconds.
    monkeypatch.setattr(contents, "_state", lambda path: [3, now, now, 1])
    path.write_text("one")
    before = file_digests([path], "x")
    path.write_text("two")
    assert file_digests([path], "x") != before
    assert len(reads) == 2


def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("dangling").symlink_to("nowhere")
    Path("folder").mkdir()
    names = [Path(name) for name in ("pipe", "dangling", "folder")]
    assert file_digests(names, "x") == ["no file"] * 3
    assert not Path(".snakemake").exists(), "a script called by hand leaves no folder behind"


# ------------------------------------------------------------------ other data under one name


def record(path: str, held: str = "1", files=("a.yaml",), folder="results/study", **settings):
    found = Manifest({"source": "npz", "leaks": "refused", **settings}, held)
    return Record.of(spec_of(source="npz", path=path), found, folder, files, "code")


OWN = ("a.npz", "1")
SECOND = {
    # path, contents, configuration, settings: whether it is refused
    "the same": (*OWN, "a.yaml", {}, False),
    "the same bytes elsewhere": ("b.npz", "1", "a.yaml", {}, False),
    "the same of another file": (*OWN, "b.yaml", {}, False),
    "changed where they are": ("a.npz", "2", "a.yaml", {}, False),
    "by a copy of the file whose first is gone": ("a.npz", "2", "b.yaml", {}, "b"),
    "other data": ("b.npz", "2", "a.yaml", {}, True),
    "other data of one base name": ("y/a.npz", "2", "b.yaml", {}, True),
    "other settings": (*OWN, "a.yaml", {"size": [8, 8]}, False),
    "other settings of a second configuration": (*OWN, "b.yaml", {"size": [8, 8]}, True),
    "stricter about leaks": (*OWN, "b.yaml", {"leaks": "allowed"}, False),
}


@pytest.mark.parametrize("case", SECOND)
def test_other_data_do_not_take_the_place_of_results(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    path, held, file, settings, refused = SECOND[case]
    for name in ("a.npz", "a.yaml", "b.yaml"):
        Path(name).touch()
    if refused == "b":
        Path("a.yaml").unlink()
        refused = False
    now = record(path, held, [file], **settings)
    if not refused:
        refuse_other(record(*OWN), now, "study")
        return
    with pytest.raises(UserError, match=r"^name: 'study': results/study has results of a\.npz.*na"):
        refuse_other(record(*OWN), now, "study")


def test_one_relative_path_in_two_folders_is_other_data(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "x/data.npz").touch()
    monkeypatch.chdir(tmp_path / "x")
    first, copied = record("data.npz", "1", folder="/shared/study"), record("data.npz", "1")
    monkeypatch.chdir(tmp_path / "y")
    with pytest.raises(UserError, match="holds other data"):
        refuse_other(first, record("data.npz", "2", folder="/shared/study"), "study")
    # A project that was copied as a whole, with its results.
    refuse_other(copied, record("data.npz", "2"), "study")


def test_a_page_is_of_the_data_that_its_configuration_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        np.savez(f"{name}.npz", x=RANDOM.integers(0, 255, 9))
    shutil.copy("a.npz", "c.npz")
    a, b, c = (spec_of(source="npz", path=f"{name}.npz") for name in "abc")
    before = Record.of(a, manifest(a), "results/study", [], "code")
    before.write("source.json")
    again = Record.read("source.json")
    assert again == before
    for same in (a, c):
        refuse_unlike(again, same, "results/study")
    with pytest.raises(UserError, match=r"^results/study: has results of a\.npz.* b\.npz, .*other"):
        refuse_unlike(again, b, "results/study")
    with pytest.raises(UserError, match=r"data\.size"):
        refuse_unlike(again, spec_of(source="npz", path="a.npz", size=[3, 3]), "results/study")
    # Where the data are not, the name has to do.
    for name in "abc":
        Path(f"{name}.npz").unlink()
    refuse_unlike(again, a, "results/study")
    with pytest.raises(UserError, match="not here to compare"):
        refuse_unlike(again, b, "results/study")
    Path("source.json").write_text(json.dumps({"of": "another version"}))
    assert Record.read("source.json") is None


def test_results_are_not_read_as_images(folder):
    spec = spec_of(source="folder", path=str(folder.parent))
    with pytest.raises(UserError, match=r"^data\.path: .*: holds the folder of results"):
        refuse_results_among(spec, folder.parent / "results")
    refuse_results_among(spec_of(source="folder", path=str(folder)), folder.parent / "results")
