"""The search of test_reading for what holds between images: groups, frames, colours, partners.

As there, pictures are drawn first and stored then, and the oracle knows them; what is read is
compared pixel by pixel, as are the sides of every split, and the table of which image is where.
"""

import csv
import json
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_bytes import encoded
from PIL import Image
from pydantic import TypeAdapter
from test_reading import COLOUR_FILES, CORRUPT_FILES, GREY_FILES, SEARCH

from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare

CASES = 800
SPLITS = [("",), ("train", "test"), ("train", "validation", "test")]
SHORT = {"": "", "train": "train", "validation": "val", "test": "test"}


class Drawn:
    """Samples that are stored, each a label, a split, pixels by data set and perhaps a group; what
    has to be refused; and the options of the configuration."""

    def __init__(self, **spec) -> None:
        self.spec = spec
        self.samples: list[dict] = []
        self.must: list[str] = []


def pixels_of(random, height=6, width=5, channels=1) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return random.integers(0, 256, shape, dtype=np.uint8)


def random_of(draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32)))


# -------------------------------------------------------------------------------------- groups


def groups_case(draw, root: Path) -> Drawn:
    """Groups that no split may part: in a file's path, in a column, in an archive."""
    random, splits = random_of(draw), draw(st.sampled_from(SPLITS))
    labels = draw(st.lists(st.sampled_from(["a", "b", "ü", "7"]), min_size=2, unique=True))
    kind = draw(st.sampled_from(["folder", "list", "npz"]))
    shared = draw(st.booleans())
    case = Drawn(source="npz" if kind == "npz" else "folder")
    for split in splits:
        for number, label in enumerate(labels):
            for n in range(draw(st.integers(6, 8))):
                group = f"{SHORT[split]}ö{0 if shared and n == 0 else number}{n // 2}"
                case.samples.append(
                    {"label": label, "split": split, "group": group, "pixels": pixels_of(random)}
                )
    odd = draw(st.integers(0, 6))
    if odd == 0 and len(splits) > 1:
        case.samples[-1]["group"] = case.samples[0]["group"]
        case.must.append("groups are in two splits")
    stored = [sample["group"] for sample in case.samples]
    if odd == 1:
        stored[draw(st.integers(0, len(stored) - 1))] = ""
        case.must.append("has no group")
    elif odd == 2 and kind == "npz":
        stored.pop()
        case.must.append("one group too few")
    else:
        forms = [unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), g) for g in stored]
        stored = [f + " " * draw(st.integers(0, 1)) if kind != "folder" else f for f in forms]
    if kind == "npz":
        for split in splits:
            end = f"_{SHORT[split]}" if split else ""
            rows = [n for n, s in enumerate(case.samples) if s["split"] == split]
            own = [case.samples[n] for n in rows]
            arrays = {
                f"x{end}": np.stack([s["pixels"] for s in own]),
                f"y{end}": np.array([s["label"] for s in own]),
                f"groups{end}": np.array([stored[n] for n in rows if n < len(stored)]),
            }
            np.savez(root / f"part{end}.npz", **arrays)
        parts = {}
        for path in sorted(root.glob("part*.npz")):
            with np.load(path) as archive:
                parts |= dict(archive)
        case.spec["path"] = str(root / "set.npz")
        np.savez(root / "set.npz", **parts)
        return case
    case.spec |= {"path": str(root / "set"), "colour": "stored"}
    rows = []
    for number, (sample, group) in enumerate(zip(case.samples, stored, strict=True)):
        place = Path(SHORT[sample["split"]], sample["label"])
        if kind == "list":
            place = Path("all")
        name = f"{number}.png" if kind == "list" or not group else f"g{group}_{number}.png"
        sample["path"] = (place / name).as_posix()
        (root / "set" / place).mkdir(parents=True, exist_ok=True)
        content = encoded(Image.fromarray(sample["pixels"]), "PNG")
        (root / "set" / place / name).write_bytes(content)
        row = {"path": sample["path"], "label": sample["label"], "group": group}
        rows.append(row | ({"split": sample["split"]} if sample["split"] else {}))
    if kind == "folder":
        case.spec["groups"] = r"g([^/]+)_\d+\.png$"
    else:
        case.spec["csv"] = str(root / "list.csv")
        with (root / "list.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(draw(st.permutations(rows)))
    return case


# -------------------------------------------------------------------------------------- frames


def film(frames: list[np.ndarray], kind: str) -> bytes:
    images = [Image.fromarray(frame) for frame in frames]
    options = {"lossless": True} if kind == "WEBP" else {}
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:]}
    return encoded(images[0], kind, **options)


def frames_case(draw, root: Path) -> Drawn:
    """Files of one frame and of several, of which none, the first or all are to be read."""
    random, splits = random_of(draw), draw(st.sampled_from(SPLITS))
    channels = draw(st.sampled_from([1, 3]))
    kinds = ["TIFF", "PNG"] + (["WEBP"] if channels == 3 else ["GIF"])
    frames = draw(st.sampled_from(["one", "first", "all", "all"]))
    case = Drawn(source="folder", path=str(root / "set"), colour="stored", frames=frames)
    number = 0
    for split in splits:
        for label in "ab":
            for _ in range(draw(st.integers(3, 5))):
                number += 1
                count = draw(st.sampled_from([1, 1, 2, 3]))
                own = [pixels_of(random, channels=channels) for _ in range(count)]
                place = Path(SHORT[split], label)
                path = place / f"{number}{draw(st.sampled_from(['.tif', '.png', '.gif']))}"
                (root / "set" / place).mkdir(parents=True, exist_ok=True)
                (root / "set" / path).write_bytes(film(own, draw(st.sampled_from(kinds))))
                if count > 1 and frames == "one":
                    case.must.append(f"{count} frames")
                about = {
                    "label": label,
                    "split": split,
                    "path": path.as_posix(),
                    "group": str(number),
                }
                case.samples += [
                    about | {"pixels": p} for p in (own if frames == "all" else own[:1])
                ]
    return case


# ------------------------------------------------------------------------------------- colours


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """ITU-R 601-2 luma in 16-bit fixed point, as Pillow documents its conversion to L."""
    if pixels.ndim == 2:
        return pixels
    return ((pixels.astype(np.int64) @ [19595, 38470, 7471] + 0x8000) >> 16).astype(np.uint8)


def colours_case(draw, root: Path) -> Drawn:
    """Grey and coloured files, of any mode and depth, in one set."""
    random, splits = random_of(draw), draw(st.sampled_from(SPLITS))
    colour = draw(st.sampled_from(["rgb", "grey", "stored"]))
    mixed = draw(st.booleans())
    case = Drawn(source="folder", path=str(root / "set"), colour=colour)
    kinds = draw(st.lists(st.sampled_from(sorted(GREY_FILES)), min_size=1, max_size=4, unique=True))
    coloured = draw(st.lists(st.sampled_from(sorted(COLOUR_FILES)), min_size=1, max_size=3))
    for split in splits:
        for label in "ab":
            for number in range(draw(st.integers(3, 5))):
                is_grey = not (mixed and draw(st.booleans()))
                pixels = pixels_of(random, channels=1 if is_grey else 3)
                # So that the depth of each kind shows in each split.
                pixels.flat[:2] = 0, 255
                files = GREY_FILES if is_grey else COLOUR_FILES
                content = files[draw(st.sampled_from(kinds if is_grey else coloured))](pixels)
                path = Path(SHORT[split], label, f"{number}.png")
                (root / "set" / path).parent.mkdir(parents=True, exist_ok=True)
                (root / "set" / path).write_bytes(content)
                case.samples.append(
                    {"label": label, "split": split, "pixels": pixels, "path": path.as_posix()}
                )
    everything_grey = all(s["pixels"].ndim == 2 for s in case.samples)
    for sample in case.samples:
        if colour == "grey" or (colour == "stored" and everything_grey):
            sample["pixels"] = grey_of(sample["pixels"])
        elif sample["pixels"].ndim == 2:
            sample["pixels"] = np.repeat(sample["pixels"][..., None], 3, -1)
    return case


# ------------------------------------------------------------------------------------ partners


def partners_case(draw, root: Path) -> Drawn:
    """Samples of two modalities of which some lack a partner, or have one that cannot be read."""
    random, splits = random_of(draw), draw(st.sampled_from(SPLITS))
    skip = draw(st.booleans())
    case = Drawn(
        source="paired",
        path=str(root / "set"),
        modalities=["face", "iris"],
        colour="stored",
        corrupt="skip" if skip else "refuse",
    )
    odd = draw(st.integers(0, 7))
    damages, lost = draw(st.integers(0, 3)) == 0 or skip, 0
    paths: list[Path] = []
    for split in splits:
        for label in "ab":
            for number in range(draw(st.integers(4, 6))):
                name = f"{SHORT[split]}ä{number}"
                pair = {"face": pixels_of(random), "iris": pixels_of(random, 4, 7)}
                hit = damages and draw(st.integers(0, 7)) == 1
                damaged = draw(st.sampled_from(["face", "iris"])) if hit else ""
                for modality, pixels in pair.items():
                    form = draw(st.sampled_from(["NFC", "NFD"]))
                    ending = draw(st.sampled_from([".png", ".PNG", ".bmp"]))
                    path = root / "set" / SHORT[split] / modality / label
                    path /= unicodedata.normalize(form, name) + ending
                    path.parent.mkdir(parents=True, exist_ok=True)
                    content = GREY_FILES[draw(st.sampled_from(["L", "BMP", "TIFF", "floats"]))](
                        pixels
                    )
                    if modality == damaged:
                        content = CORRUPT_FILES[draw(st.sampled_from(sorted(CORRUPT_FILES)))](
                            pixels
                        )
                    path.write_bytes(content)
                    paths.append(path)
                if damaged:
                    lost += 1
                    if not skip:
                        case.must.append("corrupt")
                    continue
                case.samples.append({"label": label, "split": split, **pair})
    trained = {s["label"] for s in case.samples if s["split"] in ("", "train")}
    if trained != {"a", "b"} or lost > (lost + len(case.samples)) / 2:
        case.must.append("hardly anything is left")
    chosen = draw(st.sampled_from(paths))
    if odd == 0:
        chosen.unlink()
        case.must.append("a partner is missing")
    elif odd == 1:
        other = chosen.parent.parent / ("b" if chosen.parent.name == "a" else "a")
        chosen.rename(other / f"moved{chosen.suffix}")
        case.must.append("a partner is of another class")
    elif odd == 2:
        chosen.with_suffix(".ppm").write_bytes(chosen.read_bytes())
        case.must.append("two files of one name")
    elif odd == 3:
        chosen.rename(chosen.with_name(f"0{chosen.name}"))
        case.must.append("a partner of another name")
    return case


CASES_OF = {
    "groups": groups_case,
    "frames": frames_case,
    "colours": colours_case,
    "partners": partners_case,
}


# --------------------------------------------------------------------------------------- oracle


def sides(sets: dict[str, ImageArrays]) -> dict[str, Counter]:
    """Of every split the samples, as (class, pixels of all modalities) that can be counted; with
    images for validation held back where the data have none."""
    first = next(iter(sets.values()))
    kept, held = first.training_and_validation(0.3, 1)
    rows = {"train": kept, "validation": held}

    def counted(labels, images) -> Counter:
        return Counter(
            (first.class_names[label], *(image.numpy().squeeze(-1).tobytes() if image.shape[-1] == 1
                                         else image.numpy().tobytes() for image in own))
            for label, *own in zip(labels.tolist(), *images, strict=True)
        )  # fmt: skip

    found = {
        split: counted(first.train_labels[r], [data.train_images[r] for data in sets.values()])
        for split, r in rows.items()
    }
    return found | {"test": counted(first.test_labels, [d.test_images for d in sets.values()])}


def key_of(sample: dict, sets: dict[str, ImageArrays]) -> tuple:
    """What `sides` makes of a sample; grey ones may be stored as three equal channels."""
    pixels = [sample[key] for key in ("pixels", "face", "iris") if key in sample]
    channels = [data.image_shape[2] for data in sets.values()]
    return (
        sample["label"],
        *(
            (np.repeat(p[..., None], 3, -1) if p.ndim == 2 and count == 3 else p).tobytes()
            for p, count in zip(pixels, channels, strict=True)
        ),
    )


def judged(case: Drawn, root: Path) -> str:
    """'read' or 'refused'; fails the test on all else."""
    spec = TypeAdapter(DataSpec).validate_json(json.dumps(case.spec))
    paths = [str(root / "out" / name / "data.safetensors") for name in spec.datasets]
    refused = None
    try:
        lines = prepare(spec, paths)
    except UserError as error:
        refused = str(error)
    if refused is not None:
        assert case.must, f"refused without a reason: {refused}"
        assert "\n" not in refused
        return "refused"
    assert not case.must, f"read in spite of {case.must}: {lines}"
    sets = {name: ImageArrays.load(path) for name, path in zip(spec.datasets, paths, strict=True)}
    found = sides(sets)
    first = sets[spec.datasets[0]]
    keys = [key_of(sample, sets) for sample in case.samples]
    assert sum(found.values(), Counter()) == Counter(keys)
    if case.spec.get("colour") in ("grey", "rgb"):
        assert first.image_shape[2] == (1 if case.spec["colour"] == "grey" else 3)
    # Validation is held back from the images for training where the data have none.
    given = first.given_validation is not None
    drawn = {split: Counter() for split in found}
    for sample, key in zip(case.samples, keys, strict=True):
        drawn[sample["split"] or "train"][key] += 1
    if case.samples[0]["split"]:
        assert found["test"] == drawn["test"]
        assert given == bool(drawn["validation"])
        assert not given or found == drawn
    side_of = {key: split for split, own in found.items() for key in own}
    groups: dict[str, set[str]] = {}
    for sample, key in zip(case.samples, keys, strict=True):
        if "group" in sample:
            groups.setdefault(sample["group"], set()).add(side_of[key])
    assert all(len(own) == 1 for own in groups.values()), groups
    table = {key: "train" if s == "validation" and not given else s for key, s in side_of.items()}
    splits = [table[key] for key in keys]
    assert_table_is_true(Path(paths[0]).parent / "splits.csv", case, splits)
    return "read"


def assert_table_is_true(path: Path, case: Drawn, splits: list[str]) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # The frames of a file have one row.
    drawn = enumerate(zip(case.samples, splits, strict=True))
    expected = {(s.get("path", n), s["label"], split) for n, (s, split) in drawn}
    found = Counter((row["label"], row["split"]) for row in rows)
    assert found == Counter((label, split) for _, label, split in expected)
    split_of = {row.get("path"): row["split"] for row in rows}
    for sample, split in zip(case.samples, splits, strict=True):
        assert "path" not in sample or split_of[sample["path"]] == split


def search(kind: str, folder: Path, count: int, capsys) -> None:
    counted: Counter[str] = Counter()
    fresh = iter(range(10**9))

    @settings(SEARCH, max_examples=count)
    @given(data=st.data())
    def check(data):
        root = folder / f"{kind}{next(fresh)}"
        root.mkdir(parents=True)
        counted[judged(CASES_OF[kind](data.draw, root), root)] += 1

    check()
    with capsys.disabled():
        print(f"\n{kind}: {counted.total()} cases: {dict(counted)}")
    assert counted["read"]
    if count > 100:
        wanted = ["read"] if kind == "colours" else ["read", "refused"]
        assert all(counted[end] > count / 10 for end in wanted)


@pytest.mark.parametrize("kind", CASES_OF)
def test_a_few_drawn_sets_are_read_rightly_or_refused(tmp_path, kind, capsys):
    search(kind, tmp_path, 15, capsys)


@pytest.mark.long
@pytest.mark.parametrize("kind", CASES_OF)
def test_drawn_sets_are_read_rightly_or_refused(tmp_path, kind, capsys):
    search(kind, tmp_path, CASES // len(CASES_OF), capsys)
