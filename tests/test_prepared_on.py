"""A preparation that was killed is gone on with, and ends in the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelswitch.config.data import FolderData, PairedData
from modelswitch.data.images import PictureReader
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare
from modelswitch.storage.unfinished_rows import UnfinishedRows

SETTINGS = [{"stored": "jpeg"}, {"keep": "disk", "colour": "stored"}]


def photographs(folder, count=8, seed=3):
    """Grey and coloured ones, one turned, of three classes."""
    generator = np.random.default_rng(seed)
    for label in ("apple", "pear", "plum"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            shape = (12, 10, 3) if number % 2 else (12, 10)
            image = Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8))
            exif = image.getexif()
            if number == 5:
                image = image.transpose(Image.Transpose.ROTATE_90)
                exif[274] = 6
            image.save(folder / label / f"{number}.png", exif=exif)
    return folder


def prepared(folder, to, code="", **settings):
    """What is written, by name, and what is said."""
    spec = FolderData(source="folder", path=str(folder), **settings)
    said = prepare(spec, [to / "data.safetensors"], code=code)
    return {path.name: path.read_bytes() for path in to.iterdir()}, said


@pytest.fixture
def reads(monkeypatch):
    """Files that were read, in order; one called `stop` in it ends the process's work there."""

    class Reads(list):
        stop = None

    found, original = Reads(), PictureReader.read

    def read(self, path, options):
        if len(found) == found.stop:
            # As a kill, which no part of the program answers to.
            raise KeyboardInterrupt
        found.append(path)
        return original(self, path, options)

    monkeypatch.setattr(PictureReader, "read", read)
    return found


def cut_short(folder, to, reads, after, **settings):
    reads.stop = after
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, to, **settings)
    reads.clear()
    reads.stop = None


KILLED = """
import os, signal, sys
from modelswitch.data.images import PictureReader
original, read = PictureReader.read, []
def until(self, path, options):
    if len(read) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    read.append(path)
    return original(self, path, options)
PictureReader.read = until
from tests.test_prepared_on import prepared
from pathlib import Path
prepared(Path(sys.argv[1]), Path(sys.argv[2]), stored="jpeg")
"""


@pytest.mark.slow
def test_a_killed_preparation_is_gone_on_with(tmp_path, reads, capsys):
    folder = photographs(tmp_path / "photos")
    whole, said = prepared(folder, tmp_path / "whole", stored="jpeg")
    assert len(reads) == 24
    command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "killed")]
    child = subprocess.run(command, cwd=Path(__file__).parents[1], check=False)
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "data.safetensors").exists()
    reads.clear()
    capsys.readouterr()
    again, also = prepared(folder, tmp_path / "killed", stored="jpeg")
    assert len(reads) == 24 - 13
    assert "goes on behind 13 of 24 samples" in capsys.readouterr().err
    assert (again, also) == (whole, said)


@pytest.mark.parametrize("settings", SETTINGS, ids=["jpeg", "raw"])
@pytest.mark.parametrize("after", [0, 1, 23])
def test_it_ends_in_the_same_bytes_wherever_it_was_cut(tmp_path, reads, settings, after):
    folder = photographs(tmp_path / "photos")
    whole, said = prepared(folder, tmp_path / "whole", **settings)
    reads.clear()
    cut_short(folder, tmp_path / "cut", reads, after, **settings)
    assert prepared(folder, tmp_path / "cut", **settings) == (whole, said)
    assert len(reads) == 24 - after


def test_one_that_was_killed_while_it_wrote_reads_no_image_again(tmp_path, reads, monkeypatch):
    folder = photographs(tmp_path / "photos")
    whole, _ = prepared(folder, tmp_path / "whole", stored="jpeg")
    reads.clear()
    with monkeypatch.context() as patched:
        patched.setattr("modelswitch.jobs.prepare._described", lambda arrays: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepared(folder, tmp_path / "cut", stored="jpeg")
    assert len(reads) == 24
    assert prepared(folder, tmp_path / "cut", stored="jpeg")[0] == whole
    assert len(reads) == 24


def halve_rows(to):
    rows = to / ".unfinished-rows-0"
    os.truncate(rows, rows.stat().st_size // 2)


def alter_row(to):
    rows = to / ".unfinished-rows-0"
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)


def cut_line(to):
    journal = to / ".unfinished-journal"
    os.truncate(journal, journal.stat().st_size - 3)


def garble_line(to):
    lines = (to / ".unfinished-journal").read_bytes().split(b"\n")
    lines[7] = bytes(len(lines[7]))
    (to / ".unfinished-journal").write_bytes(b"\n".join(lines))


@pytest.mark.parametrize("damage", [halve_rows, alter_row, cut_line, garble_line])
def test_nothing_half_written_is_taken_for_whole(tmp_path, reads, damage):
    folder = photographs(tmp_path / "photos")
    whole, _ = prepared(folder, tmp_path / "whole", stored="jpeg")
    reads.clear()
    cut_short(folder, tmp_path / "cut", reads, 17, stored="jpeg")
    damage(tmp_path / "cut")
    assert prepared(folder, tmp_path / "cut", stored="jpeg")[0] == whole
    # All that is behind the damage is read, and not more.
    assert {cut_line: 8}.get(damage, 9) <= len(reads) < 24
    assert (len(reads) == 8) is (damage is cut_line)


def other_data(folder):
    Image.new("RGB", (10, 12), (1, 2, 3)).save(folder / "plum" / "0.png")
    return {}


@pytest.mark.parametrize(
    "change",
    [other_data, lambda f: {"size": [6, 6]}, lambda f: {"code": "other"}],
    ids=["data", "settings", "code"],
)
def test_of_other_data_settings_or_code_nothing_is_kept(tmp_path, reads, capsys, change):
    folder = photographs(tmp_path / "photos")
    cut_short(folder, tmp_path / "cut", reads, 9, stored="jpeg")
    changed = change(folder)
    again, _ = prepared(folder, tmp_path / "cut", stored="jpeg", **changed)
    assert len(reads) == 24
    assert capsys.readouterr().err.count("begins anew: what a preparation left") == 1
    assert prepared(folder, tmp_path / "whole", stored="jpeg", **changed)[0] == again


def test_skipped_files_and_modalities_are_gone_on_with(tmp_path, reads):
    for name in ("face", "hand"):
        photographs(tmp_path / "photos" / name, seed=len(name) + ord(name[0]))
    (tmp_path / "photos" / "hand" / "apple" / "2.png").write_bytes(b"\x89PNG no more")
    spec = PairedData(
        source="paired",
        path=str(tmp_path / "photos"),
        modalities=("face", "hand"),
        corrupt="skip",
        stored="jpeg",
    )

    def both(to):
        paths = [tmp_path / to / name / "data.safetensors" for name in spec.modalities]
        said = prepare(spec, paths)
        return [path.read_bytes() for path in paths], said

    whole = both("whole")
    reads.clear()
    reads.stop = 21
    with pytest.raises(KeyboardInterrupt):
        both("cut")
    reads.clear()
    reads.stop = None
    assert both("cut") == whole
    # Of the sample in the middle of which it ended both are read.
    assert len(reads) == 48 - 20
    assert "1 × corrupt sample" in "".join(whole[1])


def test_an_error_leaves_nothing_and_two_at_once_are_refused(tmp_path, reads):
    folder = photographs(tmp_path / "photos")
    Image.new("RGB", (3, 3)).save(folder / "plum" / "odd.png")
    with pytest.raises(UserError, match=r"odd\.png: is 3x3"):
        prepared(folder, tmp_path / "cut", stored="jpeg")
    assert not list((tmp_path / "cut").iterdir())
    other = UnfinishedRows(tmp_path / "cut", "another", {})
    with pytest.raises(UserError, match="another process prepares data there"):
        prepared(folder, tmp_path / "cut", stored="jpeg")
    assert list((tmp_path / "cut").iterdir())
    del other
