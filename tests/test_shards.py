"""Images in tar shards and in Arrow tables are those that the same files in folders would be."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from modelswitch.config.data import ArrowData, FolderData, WebDatasetData
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.manifest import manifest
from modelswitch.data.shapes import image_counts, shapes_of
from modelswitch.data.sources import read
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare

CLASSES = ["plum", "apple"]  # not by their letters


def image_file(number, form="JPEG", size=(10, 12)):
    generator = np.random.default_rng(number)
    buffer = io.BytesIO()
    pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def some_of(split):
    """Image files and the numbers of their classes."""
    first, count = {"train": (0, 12), "test": (20, 6)}[split]
    return [(image_file(number), number % 2) for number in range(first, first + count)]


def tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pairs(files, label=lambda c: ("cls", str(c).encode()), begin=""):
    for number, (content, of) in enumerate(files):
        ending, text = label(of)
        yield f"{begin}{number:04d}.jpg", content
        yield f"{begin}{number:04d}.{ending}", text


def in_tars(folder, **how):
    for split in ("train", "test"):
        files = some_of(split)
        half = len(files) // 2
        tar(folder / f"set-{split}-000.tar", pairs(files[:half], **how))
        tar(folder / f"set-{split}-001.tar", pairs(files[half:], **how))
    return folder


def table(path, files, labels=None, names=CLASSES, image=None, more=None, **options):
    """An Arrow file as `datasets` writes it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": content, "path": None} for content, _ in files]
    label = pa.array([of for _, of in files] if labels is None else labels)
    columns = {
        "image": pa.array(cells, kind) if image is None else image,
        "label": label,
        **(more or {}),
    }
    feature = {"_type": "Value", "dtype": "int64"}
    if names:
        feature = {"names": names, "_type": "ClassLabel"}
    told = {"info": {"features": {"image": {"_type": "Image"}, "label": feature}}}
    stored = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(told)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, stored.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer,
    ):
        writer.write_table(stored, max_chunksize=5)
    return path


def in_arrow(folder, **how):
    (folder).mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for split in ("train", "test"):
        name = "data-00000-of-00001.arrow"
        table(folder / split / name, some_of(split), **how)
        told = {"_data_files": [{"filename": name}], "_indices_files": None}
        (folder / split / "state.json").write_text(json.dumps(told))
        # What `datasets` leaves there of a map, and is no part of the set.
        (folder / split / "cache-0123.arrow").write_bytes(b"no table")
    return folder


def in_folders(folder):
    for split in ("train", "test"):
        for number, (content, of) in enumerate(some_of(split)):
            place = folder / split / CLASSES[of]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:04d}.jpg").write_bytes(content)
    return FolderData(source="folder", path=str(folder))


def tars(path, **settings):
    return WebDatasetData(source="webdataset", path=str(path), **settings)


def arrow(path, **settings):
    return ArrowData(source="arrow", path=str(path), **settings)


def shown(images, labels, names):
    """Every image with the name of its class, in no order."""
    return sorted(
        (names[label], row.numpy().tobytes()) for row, label in zip(images[:], labels, strict=True)
    )


def everything(arrays):
    return [
        shown(arrays.train_images, arrays.train_labels.tolist(), arrays.class_names),
        shown(arrays.test_images, arrays.test_labels.tolist(), arrays.class_names),
    ]


def as_text(of):
    return "cls", CLASSES[of].encode()


def as_json(of):
    return "json", json.dumps({"id": 5, "kind": CLASSES[of]}).encode()


SOURCES = {
    "numbers": lambda to: tars(in_tars(to), class_names=CLASSES),
    "text": lambda to: tars(in_tars(to, label=as_text)),
    "json": lambda to: tars(in_tars(to, label=as_json), label="json:kind"),
    "inner folders": lambda to: tars(in_tars(to, begin="./a/b/"), class_names=CLASSES),
    "class labels": lambda to: arrow(in_arrow(to)),
    "stated splits": lambda to: arrow(in_arrow(to), splits={"train": "train", "test": "test/d*"}),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_images_in_shards_are_those_in_folders(tmp_path, kind, keep):
    [expected] = read(in_folders(tmp_path / "folders")).values()
    spec = SOURCES[kind](tmp_path / "shards").model_copy(update={"keep": keep})
    path = tmp_path / "to" / "data.safetensors"
    said = "\n".join(prepare(spec, [path]))
    found = ImageArrays.load(path)
    assert everything(found) == everything(expected)
    assert (found.mean, found.std) == (expected.mean, expected.std)
    own_order = kind in ("numbers", "inner folders", "class labels", "stated splits")
    assert found.class_names == (CLASSES if own_order else sorted(CLASSES))
    assert shapes_of(spec) == {spec.source: ((10, 12, 3), 2)}
    assert image_counts(spec)[:2] == (12, 6)
    assert "12 training and 6 test images" in said
    rows = path.with_name("splits.csv").read_text().splitlines()
    assert len(rows) == 19


def test_shards_without_splits_give_a_share_for_testing(tmp_path):
    spec = tars(tar(tmp_path / "all.tar", pairs(some_of("train"))), test=0.25)
    [found] = read(spec).values()
    assert (len(found.train_labels), len(found.test_labels)) == (8, 4)
    assert found.class_names == ["0", "1"]
    one = in_arrow(tmp_path / "arrow") / "train"
    assert len(read(arrow(one))["arrow"].train_labels) == 10


def test_groups_of_a_column_stay_together(tmp_path):
    files = some_of("train")
    people = pa.array([f"p{number // 4}" for number in range(len(files))])
    path = table(tmp_path / "a.arrow", files, more={"person": people})
    [found] = read(arrow(path, group="person", test=0.3)).values()
    units = [set(part.tolist()) for part in (found.train_units,)]
    assert len(units[0]) == 2
    assert len(found.test_labels) == 4


def test_pixels_in_png_and_wide_columns_are_read(tmp_path):
    files = [(image_file(n, "PNG"), n % 2) for n in range(8)]
    wide = pa.array([content for content, _ in files], pa.large_binary())
    [found] = read(arrow(table(tmp_path / "a.arrow", files, image=wide))).values()
    [same] = read(arrow(table(tmp_path / "b.arrow", files))).values()
    assert torch.equal(found.train_images, same.train_images)


def test_what_shards_hold_is_what_they_are_known_by(tmp_path):
    spec = tars(in_tars(tmp_path / "a"))
    before = manifest(spec)
    in_tars(tmp_path / "b")
    assert manifest(tars(tmp_path / "b")) == before
    tar(tmp_path / "b" / "set-test-001.tar", pairs(some_of("test")[:3]))
    assert manifest(tars(tmp_path / "b")).contents != before.contents
    # An earlier list of the same file is not taken for that of another one.
    assert image_counts(tars(tmp_path / "b"))[:2] == (12, 6)
    tar(tmp_path / "b" / "set-test-001.tar", pairs(some_of("test")[:2]))
    assert image_counts(tars(tmp_path / "b"))[:2] == (12, 5)


FILES = some_of("train")[:4]
JPEG = FILES[0][0]


def odd_tar(*members):
    return lambda to: tars(tar(to / "odd.tar", members))


def packed(to):
    with tarfile.open(to / "a.tar.gz", "w:gz"):
        pass
    return tars(to)


def cut(to):
    path = tar(to / "cut.tar", pairs(FILES))
    path.write_bytes(path.read_bytes()[:2000])
    return tars(path)


def put_together(to):
    path = tar(to / "two.tar", pairs(FILES))
    path.write_bytes(2 * path.read_bytes())
    return tars(path)


def cut_arrow(to):
    path = table(to / "cut.arrow", FILES)
    path.write_bytes(path.read_bytes()[:900])
    return arrow(path)


def mixed_names(to):
    table(to / "a.arrow", FILES)
    table(to / "b.arrow", FILES, names=["x", "y"])
    return arrow(to)


def chosen_rows(to):
    folder = in_arrow(to / "a")
    state = folder / "train" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"_indices_files": ["i.arrow"]}))
    return arrow(folder)


def train_and_val(to):
    tar(to / "train-0.tar", pairs(FILES))
    tar(to / "val-0.tar", pairs(FILES))
    return tars(to)


PATHS = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
REFUSED = {
    "several images": (
        odd_tar(("a.jpg", JPEG), ("a.png", JPEG), ("a.cls", b"0")),
        r"odd\.tar: 'a' has several images, 'a\.jpg' and 'a\.png'; say data\.image",
    ),
    "two views": (
        odd_tar(("a.left.jpg", JPEG), ("a.right.jpg", JPEG), ("a.cls", b"0")),
        r"'a' has several images, 'a\.left\.jpg'",
    ),
    "no label": (
        odd_tar(("a.jpg", JPEG), ("b.jpg", JPEG), ("b.cls", b"0")),
        r"odd\.tar: 1 of its samples have no label \(\.cls\): 'a'",
    ),
    "no image": (
        odd_tar(("a.cls", b"0"), ("b.jpg", JPEG), ("b.cls", b"0")),
        r"1 of its samples have no image: 'a'",
    ),
    "other labels": (
        odd_tar(("a.jpg", JPEG), ("a.json", b"{}")),
        r"has no \.cls files for labels; it has \.jpg \(1\), \.json \(1\); say data\.label: json:",
    ),
    "text and numbers": (
        odd_tar(("a.jpg", JPEG), ("a.cls", b"0"), ("b.jpg", JPEG), ("b.cls", b"cat")),
        r"labels are text and numbers, for instance 'cat' and 0",
    ),
    "gaps": (
        odd_tar(("a.jpg", JPEG), ("a.cls", b"0"), ("b.jpg", JPEG), ("b.cls", b"7")),
        r"labels go from 0 to 7, but 6 numbers among them have no image, .* data\.class_names",
    ),
    "packed": (packed, r"a\.tar\.gz: is packed"),
    "cut short": (cut, r"cut\.tar: cut short"),
    "two in one": (put_together, r"two\.tar: has something behind its end"),
    "no tar": (lambda to: tars(table(to / "a.arrow", FILES)), "no unpacked tar file"),
    "nothing": (lambda to: tars(to), r"has no \.tar file in it or below"),
    "train and val": (train_and_val, r"look like splits .*val-0\.tar.*say which is what"),
    "no such split": (
        lambda to: tars(in_tars(to), splits={"train": "set-train-*", "test": "held-*"}),
        r"data\.splits: 'held-\*' is no folder and no file in .*, which has 'set-test-000\.tar'",
    ),
    "no key": (
        lambda to: tars(in_tars(to, label=as_json), label="json:label"),
        r"\.json: has no 'label'; it has 'id', 'kind'",
    ),
    "unknown column": (
        lambda to: arrow(in_arrow(to / "a"), label="fine_label"),
        r"has no column 'fine_label' \(data\.label\); it has 'image', 'label'",
    ),
    "paths alone": (
        lambda to: arrow(
            table(to / "a.arrow", FILES, image=pa.array([{"path": "x.jpg"}] * 4, PATHS))
        ),
        r"a\.arrow: row 0 has no image in 'image'; where only a path stands",
    ),
    "pixels": (
        lambda to: arrow(table(to / "a.arrow", FILES, image=pa.array([[1, 2]] * 4))),
        r"column 'image' \(data\.image\) is of list<.*>, expected the bytes",
    ),
    "unlabelled": (
        lambda to: arrow(table(to / "a.arrow", FILES, labels=[-1] * 4)),
        r"has a label -1 \(-1 usually stands for images without a label\), expected 0 to 1",
    ),
    "fractions": (
        lambda to: arrow(table(to / "a.arrow", FILES, labels=[0.5] * 4)),
        r"column 'label' is of double, expected whole numbers or text",
    ),
    "an empty label": (
        lambda to: arrow(table(to / "a.arrow", FILES, labels=[0, None, 1, 0])),
        r"row 1 has nothing in 'label'",
    ),
    "compressed": (
        lambda to: arrow(
            table(to / "a.arrow", [(bytes(20_000), 0)] * 4, compression="zstd")
        ),
        r"a\.arrow: its table is compressed",
    ),
    "cut table": (cut_arrow, r"cut\.arrow: cut short"),
    "other names": (mixed_names, r"b\.arrow: names its classes otherwise than .*a\.arrow"),
    "chosen rows": (chosen_rows, r"state\.json: chooses among rows; .* flatten_indices"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_clear_is_refused_in_one_line(tmp_path, case):
    make, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as raised:
        read(make(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_corrupt_image_is_named_with_its_shard(tmp_path):
    files = [*pairs(FILES), ("x.jpg", b"\xff\xd8 no more"), ("x.cls", b"1")]
    with pytest.raises(UserError, match=r"odd\.tar/x\.jpg: corrupt"):
        read(tars(tar(tmp_path / "odd.tar", files)))
    [found] = read(tars(tmp_path / "odd.tar", corrupt="skip")).values()
    assert len(found.train_labels) + len(found.test_labels) == 4
