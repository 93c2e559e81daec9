"""Images that stay where people have them are those that a file of pixels would have."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_shards import arrow, in_arrow, in_folders, in_tars, tars

from modelswitch.config.data import FolderData
from modelswitch.data.arrays import ImageArrays, prepared_shape
from modelswitch.data.images import PictureReader
from modelswitch.data.placed import PlacedRows
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare
from modelswitch.lineage import CHECKSUM_FILE

SOURCES = {
    "folder": in_folders,
    "tars": lambda to: tars(in_tars(to)),
    "arrow": lambda to: arrow(in_arrow(to)),
    "one file": lambda to: arrow(in_arrow(to) / "train" / "data-00000-of-00001.arrow"),
}
SETTINGS = [{}, {"size": (7, 9)}, {"colour": "grey"}, {"colour": "stored", "size": (5, 5)}]


def prepared(spec, to, **settings):
    path = to / "data.safetensors"
    prepare(spec.model_copy(update=settings), [path])
    return path


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", SOURCES)
def test_pixels_in_place_are_those_of_a_prepared_file(tmp_path, kind, settings):
    spec = SOURCES[kind](tmp_path / "mine")
    raw = ImageArrays.load(prepared(spec, tmp_path / "raw", **settings))
    path = prepared(spec, tmp_path / "placed", stored="in_place", **settings)
    assert prepared_shape(path)[0] == raw.image_shape
    for on_disk in (False, True):
        found = ImageArrays.load(path, on_disk=on_disk)
        assert isinstance(found.train_images, PlacedRows) is on_disk
        for split in ("train", "test"):
            mine, theirs = (getattr(arrays, f"{split}_images") for arrays in (raw, found))
            assert torch.equal(mine, theirs[:])
            assert torch.equal(mine.flip(0), theirs[torch.arange(len(mine)).flip(0)])
            assert torch.equal(getattr(raw, f"{split}_labels"), getattr(found, f"{split}_labels"))
        assert torch.equal(raw.train_units, found.train_units)
        assert (raw.mean, raw.std, raw.class_names) == (found.mean, found.std, found.class_names)


def test_turned_transparent_and_lossless_images_are_read_alike(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(16):
        place = tmp_path / "mine" / ("ab"[number % 2])
        place.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (8, 6, 4), dtype=np.uint8)
        image = Image.fromarray(pixels if number % 4 else pixels[..., 0])
        exif = image.getexif()
        if number % 3 == 0:
            image, exif[274] = image.transpose(Image.Transpose.ROTATE_90), 6
        image.save(place / f"{number}.png", exif=exif)
    spec = FolderData(source="folder", path=str(tmp_path / "mine"), background="white")
    raw = ImageArrays.load(prepared(spec, tmp_path / "raw"))
    placed = ImageArrays.load(prepared(spec, tmp_path / "placed", stored="in_place"), on_disk=True)
    assert torch.equal(raw.train_images, placed.train_images[:])
    assert raw.reading == placed.reading


def test_where_the_data_are_changes_no_checksum(tmp_path):
    one = prepared(in_folders(tmp_path / "a"), tmp_path / "one", stored="in_place")
    other = prepared(in_folders(tmp_path / "b"), tmp_path / "other", stored="in_place")
    name = Path(CHECKSUM_FILE).name
    assert one.with_name(name).read_bytes() == other.with_name(name).read_bytes()


@pytest.mark.parametrize("kind", ["folder", "tars", "arrow"])
def test_what_was_moved_cut_or_altered_is_named_before_it_is_used(tmp_path, kind):
    spec = SOURCES[kind](tmp_path / "mine")
    path = prepared(spec, tmp_path / "to", stored="in_place")
    opened = ImageArrays.load(path, on_disk=True)
    number, begin, length = opened.train_images._index[4].tolist()
    file = opened.train_images._file_of(number)
    content = file.read_bytes()

    def refused(message, *loads):
        for load in loads:
            with pytest.raises(UserError, match=f"{file.name}: {message}.* in_place") as raised:
                load()
            assert "\n" not in str(raised.value)

    def loads():
        ImageArrays.load(path, on_disk=True)

    def uses():
        opened.train_images[torch.tensor([4, 2])]

    middle = begin + length // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    refused("was altered since it was prepared", uses, lambda: ImageArrays.load(path))
    os.truncate(file, middle)
    refused("is shorter than it was", loads)
    refused("was altered", uses)
    file.unlink()
    refused("cannot be read", loads, uses)
    file.write_bytes(content)
    uses()
    shutil.move(tmp_path / "mine", tmp_path / "yours")
    refused("cannot be read", uses)


def test_a_killed_preparation_in_place_is_gone_on_with(tmp_path, monkeypatch):
    spec = in_folders(tmp_path / "mine")
    whole = prepared(spec, tmp_path / "whole", stored="in_place").read_bytes()
    original, read = PictureReader.read, []

    def until(self, path, options):
        if len(read) == 10:
            raise KeyboardInterrupt
        read.append(path)
        return original(self, path, options)

    with monkeypatch.context() as patched:
        patched.setattr(PictureReader, "read", until)
        with pytest.raises(KeyboardInterrupt):
            prepared(spec, tmp_path / "cut", stored="in_place")
        read[:] = [None]  # so that 9 of the 8 that are left may be read
        again = prepared(spec, tmp_path / "cut", stored="in_place").read_bytes()
    assert len(read) == 1 + 8
    assert again == whole


def test_what_cannot_be_in_place_is_refused(tmp_path):
    folder = in_folders(tmp_path / "mine")
    with pytest.raises(UserError, match=r"data\.frames: all .* data\.stored: in_place"):
        prepared(folder, tmp_path / "a", stored="in_place", frames="all")
    with pytest.raises(UserError, match=r"data\.range: .* data\.stored: in_place does not read"):
        prepared(folder, tmp_path / "b", stored="in_place", range=(0, 1))
