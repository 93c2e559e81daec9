"""Images that stay on disk are the ones that memory would have held, to the bit."""

import io
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import decode_jpeg

from modelswitch.config.augment import Augmentation
from modelswitch.config.data import FolderData, PairedData
from modelswitch.data import arrays as arrays_module
from modelswitch.data.arrays import ImageArrays, stays_on_disk
from modelswitch.data.pictures import contents, uniform
from modelswitch.data.views import Normaliser, Views
from modelswitch.errors import UserError
from modelswitch.execution import free_memory
from modelswitch.jobs.prepare import prepare
from modelswitch.storage import artifacts, encoded_rows
from modelswitch.storage.encoded_rows import QUALITY, EncodedRows, EncodedSpool
from modelswitch.storage.stored_rows import RowSpool, StoredRows, ValueSpool, joined, sums


def photographs(folder, per_class=6, size=(12, 10)):
    """A folder with a test split, validation images, a repeated and a one-coloured image."""
    generator = np.random.default_rng(3)
    for split, count in (("train", per_class), ("validation", 2), ("test", 3)):
        for label in ("apple", "pear", "plum"):
            place = folder / split / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    again = folder / "train" / "plum" / "again.png"
    again.write_bytes((folder / "train" / "plum" / "0.png").read_bytes())
    Image.new("RGB", size[::-1], (90, 90, 90)).save(folder / "train" / "pear" / "blank.png")
    return folder


def prepared(folder, to, **settings):
    spec = FolderData(source="folder", path=str(folder), **settings)
    path = to / "data" / "data.safetensors"
    said = prepare(spec, [path])
    return path, said


@pytest.fixture
def large(monkeypatch):
    """Sets of any size count as large."""
    monkeypatch.setattr(arrays_module, "LARGE", 0)


@pytest.mark.parametrize("settings", [{}, {"colour": "grey"}, {"size": [8, 8]}])
def test_a_set_that_goes_through_the_disk_is_the_same_set(tmp_path, large, settings):
    folder = photographs(tmp_path / "photos")
    whole, said = prepared(folder, tmp_path / "memory", keep="memory", **settings)
    apart, also = prepared(folder, tmp_path / "disk", keep="disk", **settings)
    assert said == also
    first, second = ImageArrays.load(whole), ImageArrays.load(apart)
    assert first.checksum == second.checksum
    assert torch.equal(first.train_images, second.train_images)
    assert torch.equal(first.test_images, second.test_images)
    assert torch.equal(first.train_units, second.train_units)
    assert (first.mean, first.std, first.reading) == (second.mean, second.std, second.reading)
    for name in ("splits.csv", "data.json"):
        files = [path.with_name(name) for path in (whole, apart)]
        if files[0].exists():
            assert files[0].read_bytes() == files[1].read_bytes()
    # Nothing is left of the images on their way.
    assert sorted(p.name for p in apart.parent.iterdir()) == sorted(
        p.name for p in whole.parent.iterdir()
    )


def test_a_share_for_testing_is_taken_from_images_on_disk(tmp_path):
    folder = photographs(tmp_path / "photos") / "train"
    whole, _ = prepared(folder, tmp_path / "memory", keep="memory")
    apart, _ = prepared(folder, tmp_path / "disk", keep="disk")
    assert ImageArrays.load(whole).checksum == ImageArrays.load(apart).checksum


def views_of(data, **changes):
    chosen = torch.arange(len(data.train_labels)).flip(0)[2:]
    images = data.train_images
    return Views(
        images.rows(chosen) if isinstance(images, StoredRows) else images[chosen],
        data.train_labels[chosen],
        Normaliser(data.mean, data.std),
        batch=4,
        order_seed=lambda epoch: 100 + epoch,
        bank_seed=9,
        **{"augmentation": Augmentation(crop=2), **changes},
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augmentation": Augmentation(crop=1, mixup=0.4, cutmix=1.0)},
        {"augmentation": Augmentation(crop=0, rand_augment={})},
        {"bank": 3},
        {"balanced": True},
    ],
    ids=["crops", "mixed", "rand_augment", "bank", "balanced"],
)
def test_batches_are_the_same_from_disk(tmp_path, large, changes):
    path, _ = prepared(photographs(tmp_path / "photos"), tmp_path, keep="disk")
    here, there = ImageArrays.load(path), ImageArrays.load(path, on_disk=True)
    assert isinstance(there.train_images, StoredRows)
    one, other = views_of(here, **changes), views_of(there, **changes)
    for epoch in range(2):
        for skip in (0, 2):
            pairs = list(zip(one.epoch(epoch, skip), other.epoch(epoch, skip), strict=True))
            assert len(pairs) == one.steps - skip
            for mine, theirs in pairs:
                assert torch.equal(mine.images, theirs.images)
                assert torch.equal(mine.labels, theirs.labels)
                assert torch.equal(mine.positions, theirs.positions)
    if one._bank:
        for mine, theirs in zip(one.bank_view(1, 5), other.bank_view(1, 5), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("sums_of_rows", [True, False])
def test_an_altered_image_is_named_before_it_is_used(tmp_path, monkeypatch, sums_of_rows):
    if sums_of_rows:
        monkeypatch.setattr(arrays_module, "LARGE", 0)
    path, _ = prepared(photographs(tmp_path / "photos"), tmp_path, keep="disk")
    data = ImageArrays.load(path, on_disk=True)
    content, image = path.read_bytes(), data.train_images[5].numpy().tobytes()
    place = content.index(image) + 17
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(UserError, match=r"data\.safetensors: .*altered since it was written"):
        list(views_of(ImageArrays.load(path, on_disk=True), bank=0).epoch(0))


def test_altered_labels_are_named(tmp_path, large):
    path, _ = prepared(photographs(tmp_path / "photos"), tmp_path, keep="disk")
    labels = ImageArrays.load(path).train_labels
    content = path.read_bytes()
    place = content.index(labels.numpy().tobytes())
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(UserError, match="altered since it was written"):
        ImageArrays.load(path, on_disk=True)


@pytest.mark.parametrize("keep", [1, 30])
def test_a_file_that_is_cut_short_is_named(tmp_path, large, keep):
    path, _ = prepared(photographs(tmp_path / "photos"), tmp_path, keep="disk")
    data = ImageArrays.load(path, on_disk=True)
    os.truncate(path, path.stat().st_size * keep // 100)
    # Also under a training that has opened it.
    with pytest.raises(UserError, match="cut short"):
        list(data.train_images.chunks())
    with pytest.raises(UserError, match="cut short"):
        ImageArrays.load(path, on_disk=True)


def test_deep_images_and_ranges_are_refused_on_disk(tmp_path):
    folder = photographs(tmp_path / "photos")
    deep = folder / "train" / "plum" / "deep.png"
    Image.fromarray(np.full((12, 10), 40000, np.uint16)).save(deep)
    with pytest.raises(UserError, match=r"deep\.png: has more than 8 bits .* data\.keep: memory"):
        prepared(folder, tmp_path / "a", keep="disk")
    with pytest.raises(UserError, match=r"data\.range: .* data\.keep: memory"):
        prepared(folder, tmp_path / "b", keep="disk", range=(0, 1))
    deep.unlink()
    Image.new("RGB", (3, 4), (1, 2, 3)).save(deep)
    with pytest.raises(UserError, match=r"deep\.png: is 4x3, .* 12x10 .* data\.size"):
        prepared(folder, tmp_path / "c", keep="disk")
    assert not list(tmp_path.glob("*/data/*"))


def test_auto_is_memory_while_there_is_enough(tmp_path, monkeypatch):
    path, _ = prepared(photographs(tmp_path / "photos"), tmp_path)
    assert not stays_on_disk("auto", path)
    assert stays_on_disk("disk", path)
    monkeypatch.setattr(arrays_module, "LARGE", 0)
    images = sum(len(getattr(ImageArrays.load(path), f"{s}_images")) for s in ("train", "test"))
    enough = 4 * images * 12 * 10 * 3
    for free, on_disk in ((enough, False), (enough - 1, True)):
        monkeypatch.setattr(arrays_module, "available_memory", lambda free=free: free)
        assert stays_on_disk("auto", path) is on_disk
    assert not stays_on_disk("memory", path)


def test_available_memory_heeds_limits_of_control_groups(tmp_path, monkeypatch):
    files = {
        "meminfo": "MemTotal: 100 kB\nMemAvailable:  50 kB\n",
        "own": "0::/jobs/one\n",
        "groups/jobs/one/memory.max": "max\n",
        "groups/jobs/one/memory.current": "5\n",
        "groups/jobs/memory.max": "30000\n",
        "groups/jobs/memory.current": "10000\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(free_memory, "_SYSTEM", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "_CONTROL_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(free_memory, "_OWN_GROUP", tmp_path / "own")
    assert free_memory.available_memory() == 20_000
    (tmp_path / "groups/jobs/memory.max").write_text("max")
    assert free_memory.available_memory() == 51_200


def test_rows_are_read_by_any_index(tmp_path):
    rows = torch.randint(0, 256, (9, 3, 2), dtype=torch.uint8)
    spool = RowSpool(tmp_path)
    for row in rows:
        spool.add(row.numpy())
    stored = spool.stored()
    del spool
    assert not list(tmp_path.iterdir())
    order = torch.tensor([4, 5, 6, 1, 1, 8])
    assert torch.equal(stored[order], rows[order])
    assert torch.equal(stored[2:5], rows[2:5])
    assert torch.equal(stored[3], rows[3])
    assert torch.equal(stored[torch.tensor([], dtype=torch.long)], rows[:0])
    marked = torch.arange(9) % 2 == 0
    assert torch.equal(stored.rows(marked)[:], rows[marked])
    assert torch.equal(stored.rows(marked).rows(torch.tensor([3, 0]))[:], rows[[6, 0]])
    assert torch.equal(joined([stored.rows(marked), stored.rows(~marked)])[:2], rows[[0, 2]])
    assert torch.equal(sums(stored.rows(order)), sums(rows[order]))
    assert torch.equal(torch.cat(list(stored.chunks())), rows)


def smooth(count, height=40, width=32, channels=3):
    """Images as photographs are, which JPEG keeps nearly."""
    rows, columns = np.mgrid[0:height, 0:width]
    shades = [
        128 + 90 * np.sin(rows / (5 + number) + channel) * np.cos(columns / 6 + number)
        for number in range(count)
        for channel in range(channels)
    ]
    stack = np.stack(shades).reshape(count, channels, height, width)
    return torch.from_numpy(stack.astype(np.uint8)).permute(0, 2, 3, 1).contiguous()


def torchvisions(row):
    """What Pillow's JPEG image of uint8 [H, W, C] is to torchvision's decoder."""
    buffer = io.BytesIO()
    image = Image.fromarray(row.squeeze(-1).numpy() if row.shape[2] == 1 else row.numpy())
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    data = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return decode_jpeg(data).permute(1, 2, 0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_encoded_rows_are_read_as_another_decoder_reads_them(tmp_path, channels, threads):
    rows = smooth(150, channels=channels)
    spool = EncodedSpool(tmp_path)
    for row in rows:
        spool.add(row.numpy())
    stored, before = spool.stored(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = stored[torch.arange(150).flip(0)].flip(0)
    finally:
        torch.set_num_threads(before)
    expected = torch.stack([torchvisions(row) for row in rows])
    # Both use libjpeg-turbo, of versions that may round otherwise.
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found.int() - rows.int()).abs().float().mean() < 2
    assert int(stored.lengths.sum()) < rows.numel() / 2
    marked = torch.arange(150) % 3 == 0
    assert torch.equal(stored.rows(marked)[5:7], found[marked][5:7])
    assert torch.equal(torch.cat(list(stored.chunks())), found)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("there", [True, False])
def test_pixels_do_not_depend_on_the_decoder_that_is_there(monkeypatch, channels, there):
    if not there:
        monkeypatch.setitem(sys.modules, "torchvision.io", None)
    encoded_rows._decoder.cache_clear()
    try:
        decode = encoded_rows._decoder()
        assert (decode is encoded_rows.by_pillow) is not there
        for row in smooth(20, channels=channels).numpy():
            content = encoded_rows.encoded(row)
            assert np.array_equal(decode(content), encoded_rows.by_pillow(content))
    finally:
        encoded_rows._decoder.cache_clear()


def test_what_is_no_jpeg_image_is_named(tmp_path):
    spool = EncodedSpool(tmp_path)
    for row in smooth(3).numpy():
        spool.add(row)
    spool.add(smooth(1)[0].numpy(), b"no image")
    with pytest.raises(UserError, match="row 3 is no JPEG image"):
        spool.stored()[:]


@pytest.fixture
def jpeg(tmp_path):
    """A prepared set of JPEG images, of photographs of 12 x 10 pixels."""
    return prepared(photographs(tmp_path / "photos"), tmp_path, stored="jpeg")[0]


def test_a_set_of_jpeg_images_is_one_set_in_memory_and_on_disk(jpeg):
    here, there = ImageArrays.load(jpeg), ImageArrays.load(jpeg, on_disk=True)
    assert isinstance(there.train_images, EncodedRows)
    assert isinstance(here.train_images, torch.Tensor)
    assert here.image_shape == there.image_shape == (12, 10, 3)
    assert arrays_module.prepared_shape(jpeg) == ((12, 10, 3), 3)
    assert torch.equal(here.train_images, there.train_images[:])
    assert torch.equal(here.test_images, there.test_images[:])
    assert here.checksum == there.checksum
    for mixing in ({}, {"mixup": 0.4}):
        changes = {"augmentation": Augmentation(crop=1, **mixing)}
        pairs = zip(views_of(here, **changes).epoch(1), views_of(there, **changes).epoch(1),
                    strict=True)  # fmt: skip
        assert all(torch.equal(one.images, other.images) for one, other in pairs)


def test_prepared_twice_jpeg_images_are_one_file_and_raw_ones_another(tmp_path, jpeg):
    again, _ = prepared(tmp_path / "photos", tmp_path / "again", stored="jpeg")
    assert again.read_bytes() == jpeg.read_bytes()
    raw, _ = prepared(tmp_path / "photos", tmp_path / "raw")
    assert ImageArrays.load(raw).checksum != ImageArrays.load(jpeg).checksum
    # The images are the same ones in the same order.
    assert torch.equal(ImageArrays.load(raw).train_labels, ImageArrays.load(jpeg).train_labels)


def test_an_altered_or_cut_jpeg_image_is_named(jpeg):
    images = ImageArrays.load(jpeg, on_disk=True).train_images
    content = jpeg.read_bytes()
    place = content.index(images._image(4)) + 30
    jpeg.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    for on_disk in (True, False):
        with pytest.raises(UserError, match=r"data\.safetensors: row 4 was altered since"):
            ImageArrays.load(jpeg, on_disk=on_disk).train_images[:]
    jpeg.write_bytes(content)
    opened = ImageArrays.load(jpeg, on_disk=True)
    os.truncate(jpeg, len(content) - 200)
    with pytest.raises(UserError, match="cut short"):
        torch.cat([opened.train_images[:], opened.test_images[:]])


def test_what_cannot_be_jpeg_images_is_refused(tmp_path):
    folder = photographs(tmp_path / "photos")
    Image.fromarray(np.full((12, 10), 40000, np.uint16)).save(folder / "train/plum/deep.png")
    with pytest.raises(UserError, match=r"data\.stored: jpeg does not read; .* data\.stored: raw"):
        prepared(folder, tmp_path / "a", stored="jpeg")
    np.savez(tmp_path / "pairs.npz", a_train=np.zeros(1))
    spec = PairedData(
        source="paired", path=str(tmp_path / "pairs.npz"), modalities=("a", "b"), stored="jpeg"
    )
    with pytest.raises(UserError, match=r"data\.stored: jpeg is for image files, .*pairs\.npz"):
        prepare(spec, [tmp_path / "b" / "data" / "data.safetensors"])


def test_values_that_never_were_in_memory_as_a_whole_are_saved_as_others_are(tmp_path):
    values = torch.randn(3, 70, 5, generator=torch.Generator().manual_seed(0)).half()
    spool = ValueSpool(tmp_path / "there", torch.float16)
    for view in values:
        for part in view.split(16):
            spool.add(part)
    passport = {"kind": "responses"}
    artifacts.save(tmp_path / "spooled", {"logits": spool.stored(values.shape)}, passport)
    artifacts.save(tmp_path / "whole", {"logits": values}, passport)
    found, about = artifacts.load(tmp_path / "spooled", kind="responses")
    assert torch.equal(found["logits"], values)
    assert about == artifacts.read_passport(tmp_path / "whole")
    mapped = artifacts.MappedTensor(tmp_path / "spooled", "logits")
    assert torch.equal(torch.stack([mapped[view] for view in range(3)]), values)
    assert list((tmp_path / "there").iterdir()) == []


def test_what_images_show_is_looked_at_once_whoever_asks(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 3, 3), dtype=np.uint8)
    images[[2, 7]] = 5
    spool = RowSpool(tmp_path)
    for image in images:
        spool.add(image)
    read = []
    monkeypatch.setattr(
        StoredRows, "_read", lambda rows, places, to, before=StoredRows._read: (
            read.extend(places.tolist()), before(rows, places, to)
        ),
    )  # fmt: skip
    rows = spool.stored()
    held = torch.from_numpy(images)
    index = torch.tensor([7, 1, 1, 0])
    for chosen in (rows, rows.rows(index), joined([rows.rows(index), rows])):
        pixels = held[chosen._places]
        assert np.array_equal(contents(chosen), contents(pixels))
        assert np.array_equal(uniform(chosen), uniform(pixels))
    assert uniform(rows).sum() == 2
    assert read == list(range(9))


def test_preparing_decodes_an_image_once_for_each_thing_that_it_asks(tmp_path, monkeypatch):
    decoded = Counter()
    monkeypatch.setattr(
        EncodedRows, "_pixels", lambda rows, place, before=EncodedRows._pixels: (
            decoded.update([place]), before(rows, place)
        )[1],
    )  # fmt: skip
    folder = tmp_path / "drawn"
    for number, image in enumerate(smooth(40)):
        (folder / f"class{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(folder / f"class{number % 2}" / f"{number}.png")
    path, _ = prepared(folder, tmp_path, stored="jpeg", test=0.2)
    counts = Counter(decoded.values())
    kept = len(ImageArrays.load(path, on_disk=True).train_images)
    assert counts.total() == 40, counts
    # For what it shows, for the mean of all and for what looks like it. Of those for training some
    # are compared among themselves; of those for testing there is no mean, and all are compared.
    assert counts == {4: kept, 3: 40 - kept}


# Begins a program that tells how many megabytes it holds.
HELD = """
import sys
from pathlib import Path

import numpy as np
import torch


def held():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("Anonymous:")]
    return int(line.split()[1]) / 1024


torch.set_num_threads(1)
"""


def printed(program: str, *arguments: object) -> list[float]:
    """The numbers that a program prints, which has a process of its own."""
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("Linux tells what is held")
    command = [sys.executable, "-c", HELD + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [float(number) for number in done.stdout.split()]


GOING_THROUGH = """
from modelswitch.data.leaks import _plain
from modelswitch.data.pictures import contents, uniform
from modelswitch.execution.malloc import return_large_blocks
from modelswitch.storage.encoded_rows import EncodedSpool


return_large_blocks()
spool = EncodedSpool(sys.argv[1])
draw = np.random.default_rng(0)
for _ in range(3):
    spool.add(draw.integers(0, 256, (224, 224, 3), dtype=np.uint8))
rows = spool.stored().rows(torch.arange(3).repeat(400))
contents(rows[:3])
before = held()
for function in (uniform, _plain):
    assert len(function(rows)) == len(rows)
print(held() - before)
"""


@pytest.mark.slow
def test_going_through_images_on_disk_holds_few_of_them(tmp_path):
    [more] = printed(GOING_THROUGH, tmp_path)
    # Of 180 MB; each part of 32 MB left a gap that the next did not fit.
    assert more < 30


ANSWERING = """
from torch import nn

from modelswitch.data.views import Normaliser
from modelswitch.execution.malloc import keep_freed_memory
from modelswitch.models.answers import logits_on


model = nn.Sequential(nn.Conv2d(3, 2, 1, stride=8), nn.Flatten(), nn.LazyLinear(3))
images = torch.zeros(40, 400, 400, 3, dtype=torch.uint8)
model(torch.zeros(1, 3, 400, 400))
keep_freed_memory()
before = held()
blocks = [torch.ones(100_000) for _ in range(1_000)]
stays = blocks[::100]
del blocks
kept = held() - before
logits_on(model, images, Normaliser([0.5] * 3, [0.5] * 3))
print(kept, held() - before)
"""


def test_what_a_training_freed_is_not_held_beside_large_images():
    kept, left = printed(ANSWERING)
    assert kept > 350
    # Of 400 MB that were freed before; what is left are the blocks of the answers.
    assert left < 200
