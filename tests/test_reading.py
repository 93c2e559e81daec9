"""A search over what people may have on their disks: read rightly, or refused in one line.

Every case is drawn as pictures first; then it is drawn how they are stored. The oracle knows the
pictures, and what in the way of storing them has to be refused, or may be. A case fails if anything
but a `UserError` comes out, if what has to be refused is read, if what nothing is wrong with is
refused, or if one pixel, label or split differs.
"""

import csv
import io
import json
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from image_bytes import encoded, png, tiff
from PIL import Image
from pydantic import TypeAdapter

from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.folders import natural_order
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare

CASES = 600
SEARCH = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SPLITS = {
    "train": ("train", "Train", "TRAINING", "training "),
    "validation": ("val", "valid", "Validation", "dev"),
    "test": ("test", "Test", "testing", "TEST"),
}
ALIKE = ("test1", "eval", "Test_Images", "trn", "holdout", "val2")
NAMES = ("cat", "dog", "a b", "ä", "é", "NA", "None", "nan", "1e5", "'q'", "{x}", "%s", "-v",
         "x.png", "train tickets", "contest", "Ünï cödé", "0.5", "ß", "日本")  # fmt: skip
LABELS = st.one_of(
    st.lists(st.integers(0, 300).map(str), min_size=2, max_size=4, unique=True),
    st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True),
)


@dataclass
class Case:
    """Pictures by split and class, and what has to be refused in the way they are stored."""

    pictures: dict[str, list[tuple[str, np.ndarray]]]
    labels: list[str]
    must: list[str] = field(default_factory=list)
    options: dict = field(default_factory=dict)


def drawn_pictures(draw, splits, labels, channels) -> Case:
    height, width = draw(st.sampled_from([(7, 5), (5, 9), (6, 6)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (height, width) if channels == 1 else (height, width, channels)
    pictures = {
        split: [
            (label, random.integers(0, 256, shape, dtype=np.uint8))
            for label in labels
            for _ in range(draw(st.integers(3, 4)))
        ]
        for split in splits
    }
    return Case(pictures, labels)


# --------------------------------------------------------------------------------- image files


def upside_down(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels[::-1, ::-1].copy())
    exif = image.getexif()
    exif[274] = 3
    return encoded(image, "PNG", exif=exif)


def opaque(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.putalpha(255)
    return encoded(image, "PNG")


def paged(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    return encoded(image, "TIFF", save_all=True, append_images=[image])


GREY_FILES = {
    "L": lambda p: encoded(Image.fromarray(p), "PNG"),
    "BMP": lambda p: encoded(Image.fromarray(p), "BMP"),
    "GIF": lambda p: encoded(Image.fromarray(p), "GIF"),
    "PGM": lambda p: encoded(Image.fromarray(p), "PPM"),
    "TIFF": lambda p: encoded(Image.fromarray(p), "TIFF", compression="tiff_lzw"),
    "white is zero": lambda p: tiff(255 - p, photometric=0),
    "16 bit": lambda p: encoded(Image.fromarray(p.astype(np.uint16) * 257), "PNG"),
    "16 bit TIFF": lambda p: tiff(p.astype(np.uint16) * 257, order=">"),
    "16 bit, white is zero": lambda p: tiff((255 - p.astype(np.uint16)) * 257, photometric=0),
    "16 bit PGM": lambda p: (
        b"P5 %d %d 65535\n" % p.shape[::-1] + (p.astype(np.uint16) * 257).astype(">u2").tobytes()
    ),
    "floats": lambda p: tiff((p / 255).astype(np.float32)),
    "LA opaque": opaque,
    "upside down": upside_down,
}
COLOUR_FILES = {
    "RGB": lambda p: encoded(Image.fromarray(p), "PNG"),
    "BMP": lambda p: encoded(Image.fromarray(p), "BMP"),
    "PPM": lambda p: encoded(Image.fromarray(p), "PPM"),
    "TIFF": lambda p: encoded(Image.fromarray(p), "TIFF"),
    "WebP": lambda p: encoded(Image.fromarray(p), "WEBP", lossless=True),
    "RGBA opaque": opaque,
    "P": lambda p: encoded(Image.fromarray(p).quantize(256), "PNG"),
    "upside down": upside_down,
}


def see_through(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.putalpha(128)
    return encoded(image, "PNG")


REFUSED_FILES = {
    "transparent": see_through,
    "CMYK": lambda p: encoded(Image.fromarray(p).convert("RGB").convert("CMYK"), "JPEG"),
    "16 bit colour": lambda p: png(np.zeros((*p.shape[:2], 3), np.uint16), 2),
    "32 bit": lambda p: tiff(np.zeros(p.shape[:2], np.int32)),
    "ten channels": lambda p: tiff(np.zeros((*p.shape[:2], 10), np.uint8)),
    "two pages": paged,
}
CORRUPT_FILES = {
    "empty": lambda p: b"",
    "pointer": lambda p: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "page": lambda p: b"<!doctype html><html></html>",
    "cut": lambda p: encoded(Image.fromarray(p), "PNG")[:-30],
    "text": lambda p: b"not an image at all",
}
ENDINGS = (".png", ".PNG", ".jpg", ".tiff", ".bmp", ".pgm")


def drawn_file(draw, case: Case, pixels: np.ndarray, normal_only: bool) -> bytes | None:
    """The bytes of a picture; None if it is left out because it is corrupt."""
    files = GREY_FILES if pixels.ndim == 2 else COLOUR_FILES
    odd = 0 if normal_only else draw(st.integers(0, 60))
    if odd == 1:
        kind = draw(st.sampled_from(sorted(REFUSED_FILES)))
        case.must.append(kind)
        return REFUSED_FILES[kind](pixels)
    if odd == 2:
        case.must.append("corrupt") if case.options.get("corrupt") != "skip" else None
        return None
    return files[draw(st.sampled_from(sorted(files)))](pixels)


def stored_as_files(draw, folder: Path, case: Case, prefixes=("",), keep=None) -> None:
    """Write class folders below each split; ``prefixes`` stand between them and the splits."""
    names = drawn_split_folders(draw, case)
    if case.options.get("colour") is None:
        case.options["colour"] = "stored"
    lost: set[tuple[str, int]] = set()
    for prefix in prefixes:
        for split, pictures in case.pictures.items():
            for number, (label, pixels) in enumerate(pictures):
                place = folder / names[split] / prefix / drawn_spelling(draw, case, label, split)
                if draw(st.integers(0, 20)) == 7:
                    place = place / "deeper"
                place.mkdir(parents=True, exist_ok=True)
                content = drawn_file(draw, case, pixels, normal_only=len(prefixes) > 1)
                if content is None:
                    lost.add((split, number))
                    broken = CORRUPT_FILES[draw(st.sampled_from(sorted(CORRUPT_FILES)))]
                    content = broken(pixels)
                (place / f"{split}{number}{draw(st.sampled_from(ENDINGS))}").write_bytes(content)
    for split, pictures in case.pictures.items():
        case.pictures[split] = [p for n, p in enumerate(pictures) if (split, n) not in lost]
    total = sum(map(len, case.pictures.values())) + len(lost)
    trained = case.pictures.get("train", case.pictures.get("", []))
    if len(lost) > total / 2 or {label for label, _ in trained} != set(case.labels):
        case.must.append("most of it is corrupt")
    left_behind(draw, folder, names)


def drawn_spelling(draw, case: Case, label: str, split: str) -> str:
    """One way to write a class's name, the same within a split."""
    key = f"spelling {label} {split}"
    if key not in case.options:
        forms = [label, f"{label} ", unicodedata.normalize("NFD", label)]
        case.options[key] = draw(st.sampled_from(forms))
    return case.options[key]


def drawn_split_folders(draw, case: Case) -> dict[str, str]:
    if "" in case.pictures:
        return {"": ""}
    names = {split: draw(st.sampled_from(SPLITS[split])) for split in case.pictures}
    how = draw(st.integers(0, 9))
    if how == 0:
        names["test"] = draw(st.sampled_from(ALIKE))
        case.must.append("a name like a split's")
    if how == 1:
        names = {split: f"part {number}" for number, split in enumerate(names)}
        case.options["splits"] = names
    if how == 2:
        names["train"] = "learn"
        case.must.append("a split beside something else")
    return names


def left_behind(draw, folder: Path, names: dict[str, str]) -> None:
    """What systems leave in folders, next to the pictures and looking like them."""
    image = encoded(Image.new("L", (3, 3), 99), "PNG")
    places = [folder, *(folder / name for name in names.values())]
    for name in draw(
        st.lists(
            st.sampled_from(
                [".x.png", "._train0.png", ".hidden/a.png", "__MACOSX/a/0.png", "Thumbs.db",
                 "notes.txt", "stray.png", "x.npy", ".ipynb_checkpoints/train0.png"]
            ),
            max_size=4,
        )
    ):  # fmt: skip
        path = draw(st.sampled_from(places)) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)


# ------------------------------------------------------------------------------------- archives

TYPES = {
    "uint8": lambda p: p,
    "uint16": lambda p: p.astype(np.uint16) * 257,
    "big endian": lambda p: p.astype(">u2") * 257,
    "float32": lambda p: (p / 255).astype(np.float32),
    "float64": lambda p: p / 255,
    "float16": lambda p: (p / 255).astype(np.float16),
    "floats up to 255": lambda p: p.astype(np.float32),
    "a trace too bright": lambda p: np.where(p == 255, 1.0000001, p / 255).astype(np.float32),
    "too bright": lambda p: np.where(p == 255, 1.05, np.where(p == 0, -0.05, p / 255)),
}
REFUSED_TYPES = {
    "int64": lambda p: p.astype(np.int64),
    "int16": lambda p: p.astype(np.int16) - 128,
    "uint32": lambda p: p.astype(np.uint32),
    "-1 to 1": lambda p: p / 127.5 - 1,
    "up to 8.5": lambda p: p / 30,
    "mean 0": lambda p: (p - 127.5) / 60,
    "NaN": lambda p: np.where(p == p.flat[0], np.nan, p / 255),
    "infinite": lambda p: np.where(p == p.flat[0], np.inf, p / 255),
    "complex": lambda p: p.astype(complex),
    "12 bits": lambda p: p.astype(np.uint16) * 16,
    "text": lambda p: p.astype(str),
    "flat": lambda p: p.reshape(len(p), -1),
    "one too many": lambda p: np.concatenate([p, p[:1]]),
}


def stored_as_array(draw, case: Case, parts: dict[str, np.ndarray], begin: str) -> dict:
    """Arrays by key, of pictures [N, H, W] or [N, H, W, C]."""
    kind = draw(st.sampled_from(sorted(TYPES)))
    stored = {split: TYPES[kind](part) for split, part in parts.items()}
    if draw(st.integers(0, 12)) == 1:
        odd = draw(st.sampled_from(sorted(REFUSED_TYPES)))
        case.must.append(odd)
        stored = {split: REFUSED_TYPES[odd](part) for split, part in parts.items()}
    elif len(stored) > 1 and draw(st.integers(0, 15)) == 1:
        case.must.append("splits in different units")
        stored["test"] = stored["test"].astype(np.float64) * 255 + 300
    channels = next(iter(parts.values())).shape[3:]
    if channels and case.must == []:
        count = channels[0]
        first = draw(st.booleans())
        if first:
            stored = {split: np.moveaxis(part, -1, 1) for split, part in stored.items()}
        plain = not first and count <= 4
        if draw(st.booleans()):
            case.options.setdefault("layout", {})[begin] = (
                "channels_first" if first else "channels_last"
            )
        elif not plain:
            case.must.append("axes that are not certain")
    how = draw(st.sampled_from(["plain", "fortran", "strided"]))
    if how == "fortran":
        stored = {split: np.asfortranarray(part) for split, part in stored.items()}
    suffixes = {"": "", "train": "_train", "validation": "_val", "test": "_test"}
    return {f"{begin}{suffixes[split]}": part for split, part in stored.items()}


def stored_labels(draw, case: Case) -> dict:
    """Labels by key, and perhaps class_names; ``case.labels`` become what they will be called."""
    numbers = {
        split: np.array([case.labels.index(label) for label, _ in pictures])
        for split, pictures in case.pictures.items()
    }
    ordered = natural_order(case.labels)
    how = draw(st.sampled_from(["text", "bytes", "numbers", "from 1", "named", "odd"]))
    names = {}
    if how in ("text", "bytes"):
        texts = np.array([drawn_form(draw, label) for label in case.labels])
        stored = {split: texts[part] for split, part in numbers.items()}
        if how == "bytes":
            stored = {s: np.array([t.encode() for t in part]) for s, part in stored.items()}
        case.labels = ordered
    elif how == "named":
        names = {"class_names": np.array(case.labels)}
        if draw(st.booleans()):
            names = {"class_names": np.array([label.encode() for label in case.labels])}
        kind = draw(st.sampled_from(["u1", "i8", "f4", ">u2"]))
        stored = {split: part.astype(kind) for split, part in numbers.items()}
    else:
        first = 1 if how == "from 1" else 0
        stored = {split: part + first for split, part in numbers.items()}
        renamed = {label: str(number + first) for number, label in enumerate(case.labels)}
        case.pictures = {
            split: [(renamed[label], p) for label, p in pictures]
            for split, pictures in case.pictures.items()
        }
        case.labels = list(renamed.values())
    if how == "odd":
        odd = {
            "negative": lambda y: y - 1,
            "gap": lambda y: y * 2 + 5,
            "fractions": lambda y: y + 0.5,
            "one hot": lambda y: np.eye(len(case.labels))[y],
            "ignore": lambda y: np.where(y == y.max(), 255, y),
            "complex": lambda y: y + 0j,
            "short": lambda y: y[:-1],
        }
        kind = draw(st.sampled_from(sorted(odd)))
        case.must.append(f"labels: {kind}")
        stored = {split: odd[kind](part) for split, part in numbers.items()}
    suffixes = {"": "", "train": "_train", "validation": "_valid", "test": "_test"}
    return {f"y{suffixes[split]}": part for split, part in stored.items()} | names


def drawn_form(draw, label: str) -> str:
    return draw(st.sampled_from([label, f" {label}", unicodedata.normalize("NFD", label)]))


# ---------------------------------------------------------------------------------------- cases


@st.composite
def splits_of(draw):
    return draw(st.sampled_from([("",), ("train", "test"), ("train", "validation", "test")]))


def folder_case(draw, root: Path) -> tuple[dict, dict[str, Case]]:
    case = drawn_pictures(draw, draw(splits_of()), draw(LABELS), draw(st.sampled_from([1, 3])))
    if draw(st.booleans()):
        case.options["corrupt"] = "skip"
    stored_as_files(draw, root, case)
    case.labels = natural_order(case.labels)
    return {"source": "folder", "path": str(root)}, {"folder": case}


def list_case(draw, root: Path) -> tuple[dict, dict[str, Case]]:
    case = drawn_pictures(draw, draw(splits_of()), draw(LABELS), draw(st.sampled_from([1, 3])))
    rows = []
    for split, pictures in case.pictures.items():
        for number, (label, pixels) in enumerate(pictures):
            name = f"{'abc'[number % 3]}/{split}{number:03d}"
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(drawn_file(draw, case, pixels, normal_only=True))
            row = {"path": name, "label": drawn_form(draw, label)}
            rows.append(row | ({"split": draw(st.sampled_from(SPLITS[split]))} if split else {}))
    odd = draw(st.integers(0, 9))
    if odd == 0:
        case.must.append("a row twice")
        rows.append(dict(rows[0]))
    if odd == 1:
        case.must.append("an unknown split")
        rows[-1]["split"] = draw(st.sampled_from(["holdout", "test1", "0"]))
    if odd == 2:
        case.must.append("no label")
        rows[-1]["label"] = " "
    if odd == 3:
        case.must.append("no such file")
        rows[-1]["path"] = "nowhere.png"
    rows = draw(st.permutations(rows))
    columns = ["label", "path", *(["split"] if any("split" in row for row in rows) else [])]
    with (root / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    case.options |= {"csv": str(root / "list.csv"), "colour": "stored"}
    case.labels = natural_order(case.labels)
    return {"source": "folder", "path": str(root)}, {"folder": case}


def archive_case(draw, root: Path) -> tuple[dict, dict[str, Case]]:
    channels = draw(st.sampled_from([1, 1, 3, 3, 2, 5]))
    case = drawn_pictures(draw, draw(splits_of()), draw(LABELS), channels)
    arrays = as_arrays(draw, case, "x") | stored_labels(draw, case)
    if draw(st.booleans()):
        arrays["extra"] = np.zeros(3)
    np.savez(root / "set.npz", **arrays)
    layout = case.options.pop("layout", {}).get("x")
    case.options["layout"] = layout
    spec = {"source": "npz", "path": str(root / "set.npz")}
    damaged(draw, root / "set.npz", case)
    return spec, {"npz": case}


def as_arrays(draw, case: Case, begin: str) -> dict:
    parts = {s: np.stack([p for _, p in pictures]) for s, pictures in case.pictures.items()}
    whole = np.concatenate(list(parts.values()))
    if whole.max() < 250 or whole.min() > 5:
        # so that what the types' values reach is as the oracle takes it
        first = next(iter(parts))
        parts[first].flat[:2] = 0, 255
        case.pictures[first][0] = case.pictures[first][0][0], parts[first][0]
    return stored_as_array(draw, case, parts, begin)


def damaged(draw, path: Path, case: Case) -> None:
    if draw(st.integers(0, 15)) == 1:
        content = path.read_bytes()
        path.write_bytes(content[: draw(st.integers(0, len(content) - 1))])
        case.must.append("a cut archive")


def paired_case(draw, root: Path) -> tuple[dict, dict[str, Case]]:
    """Two modalities of one set of samples, in an archive or in folders."""
    splits, labels = draw(splits_of()), draw(LABELS)
    face = drawn_pictures(draw, splits, labels, draw(st.sampled_from([1, 3])))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    iris = Case(
        {
            split: [(label, random.integers(0, 256, (5, 8), dtype=np.uint8)) for label, _ in p]
            for split, p in face.pictures.items()
        },
        list(labels),
    )
    spec = {"source": "paired", "modalities": ["face", "iris"]}
    if draw(st.booleans()):
        arrays = as_arrays(draw, face, "face") | as_arrays(draw, iris, "iris")
        arrays |= stored_labels(draw, face)
        # the second has the first's labels
        for split, pictures in iris.pictures.items():
            named = zip(face.pictures[split], pictures, strict=True)
            iris.pictures[split] = [(label, p) for (label, _), (_, p) in named]
        iris.labels = face.labels
        np.savez(root / "set.npz", **arrays)
        spec["path"] = str(root / "set.npz")
        damaged(draw, root / "set.npz", face)
    else:
        names = drawn_split_folders(draw, face)
        for case, modality in ((face, "face"), (iris, "iris")):
            for split, pictures in case.pictures.items():
                for number, (label, pixels) in enumerate(pictures):
                    place = root / names[split] / modality / label
                    place.mkdir(parents=True, exist_ok=True)
                    ending = draw(st.sampled_from(ENDINGS))
                    content = drawn_file(draw, case, pixels, normal_only=True)
                    (place / f"{split}{number}{ending}").write_bytes(content)
            case.labels = natural_order(case.labels)
        if draw(st.integers(0, 5)) == 0:
            face.must.append("a sample that one modality lacks")
            next(
                path
                for path in (root / names[splits[0]] / "iris").rglob(f"{splits[0]}0.*")
                if path.is_file()
            ).unlink()
        left_behind(draw, root, names)
        spec["path"] = str(root)
    face.must += iris.must
    face.options = {
        **{k: v for k, v in face.options.items() if not k.startswith("layout")},
        "layout": face.options.get("layout", {}) | iris.options.get("layout", {}),
    }
    return spec, {"face": face, "iris": iris}


CASES_OF = {"folder": folder_case, "list": list_case, "npz": archive_case, "paired": paired_case}


# --------------------------------------------------------------------------------------- oracle


def found_in(data: ImageArrays) -> dict[str, Counter]:
    """The pictures of every split, as (class, pixels) that can be counted."""
    kept, held = data.training_and_validation(0.0, 0)
    parts = {
        "train": (data.train_images[kept], data.train_labels[kept]),
        "validation": (data.train_images[held], data.train_labels[held]),
        "test": (data.test_images, data.test_labels),
    }
    return {
        split: Counter(
            (data.class_names[label], image.numpy().tobytes())
            for image, label in zip(images, labels.tolist(), strict=True)
        )
        for split, (images, labels) in parts.items()
    }


def right_for(case: Case, channels: int) -> dict[str, Counter]:
    def stored(pixels: np.ndarray) -> bytes:
        flat = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], channels, -1)
        return np.ascontiguousarray(flat).tobytes()

    return {
        split: Counter(
            (unicodedata.normalize("NFC", label), stored(pixels)) for label, pixels in pictures
        )
        for split, pictures in case.pictures.items()
    }


def judged(spec: dict, cases: dict[str, Case], root: Path) -> str:
    """'read' or 'refused'; fails the test on all else."""
    main = next(iter(cases.values()))
    options = {k: v for k, v in main.options.items() if " " not in k and v is not None}
    parsed = TypeAdapter(DataSpec).validate_json(json.dumps(spec | options))
    paths = [str(root / f"{name}.safetensors") for name in cases]
    refused = None
    try:
        lines = prepare(parsed, paths)
    except UserError as error:
        refused = str(error)
    if refused is not None:
        assert main.must, f"refused without a reason: {refused}"
        return "refused"
    assert not main.must, f"read in spite of {main.must}: {lines}"
    for (name, case), path in zip(cases.items(), paths, strict=True):
        data = ImageArrays.load(path)
        assert data.class_names == [unicodedata.normalize("NFC", label) for label in case.labels]
        found, right = found_in(data), right_for(case, data.image_shape[2])
        if "" in right:
            assert sum(found.values(), Counter()) == right[""], name
            assert found["test"]
        else:
            for split, pictures in found.items():
                assert pictures == right.get(split, Counter()), (name, split)
        said = next(line for line in lines if line.startswith(f"{name}: "))
        assert f"{sum(found['test'].values())} test images" in said
    return "read"


def search(kind: str, folder: Path, count: int, capsys) -> None:
    counted: Counter[str] = Counter()
    fresh = iter(range(10**9))

    @settings(SEARCH, max_examples=count)
    @given(data=st.data())
    def check(data):
        root = folder / f"{kind}{next(fresh)}"
        (root / "set").mkdir(parents=True)
        spec, drawn = CASES_OF[kind](data.draw, root / "set")
        counted[judged(spec, drawn, root)] += 1

    check()
    with capsys.disabled():
        print(f"\n{kind}: {counted.total()} cases: {dict(counted)}")
    assert min(counted["read"], counted["refused"]) > count / 10


@pytest.mark.parametrize("kind", CASES_OF)
def test_a_few_drawn_cases_are_read_rightly_or_refused(tmp_path, kind, capsys):
    search(kind, tmp_path, 15, capsys)


@pytest.mark.long
@pytest.mark.parametrize("kind", CASES_OF)
def test_drawn_cases_are_read_rightly_or_refused(tmp_path, kind, capsys):
    search(kind, tmp_path, CASES // len(CASES_OF), capsys)


@pytest.mark.long
def test_damaged_images_are_read_rightly_or_refused(tmp_path, capsys):
    """One byte changed or the end cut off, in every kind of file whose bytes are checked."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    kinds = {"PNG": {}, "TIFF": {"compression": "tiff_lzw"}, "GIF": {}, "BMP": {}, "JPEG": {},
             "WEBP": {"lossless": True}, "PPM": {}}  # fmt: skip
    contents = {kind: encoded(Image.fromarray(pixels), kind, **o) for kind, o in kinds.items()}
    counted: Counter[str] = Counter()
    other = encoded(Image.fromarray(255 - pixels), "PNG")

    @settings(SEARCH, max_examples=CASES)
    @given(data=st.data())
    def check(data):
        kind = data.draw(st.sampled_from(sorted(contents)))
        content = bytearray(contents[kind])
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content = content[:place]
        else:
            content[place] ^= data.draw(st.integers(1, 255))
        for name in ("train/a/0.png", "train/b/0.png", "test/a/1.png", "test/b/1.png"):
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if name == "train/a/0.png" else other)
        spec = {
            "source": "folder",
            "path": str(tmp_path / "set"),
            "size": [16, 16],
            "leaks": "allowed",
        }
        parsed = TypeAdapter(DataSpec).validate_python(spec)
        try:
            prepare(parsed, [str(tmp_path / "data.safetensors")])
        except UserError:
            counted["refused"] += 1
            return
        counted["read"] += 1
        if kind == "PNG":
            found = ImageArrays.load(tmp_path / "data.safetensors").train_images[0]
            assert np.array_equal(found, np.asarray(Image.open(io.BytesIO(contents[kind]))))

    check()
    with capsys.disabled():
        print(f"\ndamaged: {counted.total()} cases: {dict(counted)}")
    assert min(counted.values()) > 50
