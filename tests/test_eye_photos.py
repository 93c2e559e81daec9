"""Photographs of eyes: whose eye it is, where the iris is, and what is made of it."""

import csv
import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from pydantic import ValidationError

from modelswitch.config.data import EyePhotosData
from modelswitch.config.verification import Verification
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.eyes.circles import Circle, Rims, find_rims, fitted_circle
from modelswitch.data.eyes.covers import find_covers
from modelswitch.data.eyes.irises import Irises
from modelswitch.data.eyes.landmarks import landmarks_finder
from modelswitch.data.eyes.photographs import PhotographReader
from modelswitch.data.eyes.render import EyeSettings, render_captures
from modelswitch.data.eyes.truth import truths
from modelswitch.data.eyes.unrolled import unrolled
from modelswitch.data.manifest import manifest
from modelswitch.data.samples import find_samples
from modelswitch.data.shapes import image_counts, shapes_of, sizes_of
from modelswitch.data.sources import read, read_strangers
from modelswitch.errors import UserError
from modelswitch.jobs.prepare import prepare
from modelswitch.report.figures.irises import iris_sheet

ROOT = Path(__file__).parents[1]
PEOPLE, CAPTURES = 2, 3


def spec(path, **options):
    return EyePhotosData(source="eye_photos", path=str(path), **options)


def rendered(settings: EyeSettings, identities: int, captures: int) -> np.ndarray:
    """[N, rows, columns, 3], uint8."""
    with torch.inference_mode():
        return np.concatenate(
            [
                pictures.numpy()
                for identity in range(identities)
                for _, pictures, _ in render_captures(settings, identity, list(range(captures)))
            ]
        )


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """<person>/<left or right>/<number>.png of two people, three of each eye."""
    settings = EyeSettings(periocular=(120, 160), variation=0.5, seed=4)
    pictures = rendered(settings, 2 * PEOPLE, CAPTURES)
    root = tmp_path_factory.mktemp("eyes") / "photos"
    for number, picture in enumerate(pictures):
        eye, capture = divmod(number, CAPTURES)
        file = root / f"p{eye // 2}" / ("left", "R")[eye % 2] / f"{capture}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    return root


@pytest.fixture
def folder(photos, tmp_path) -> Path:
    return Path(shutil.copytree(photos, tmp_path / "photos"))


def prepared(data: EyePhotosData, tmp_path: Path) -> tuple[dict[str, ImageArrays], list[str]]:
    paths = [tmp_path / "out" / name / "data.safetensors" for name in data.datasets]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = prepare(data, paths)
    return {p.parent.name: ImageArrays.load(p) for p in paths}, lines


# ------------------------------------------------------------------------------ finding irises


@pytest.mark.slow
def test_the_iris_of_synthetic_eyes_is_found_where_it_is():
    settings = EyeSettings(periocular=(240, 320), seed=11)
    pictures = rendered(settings, 12, 2)
    known = [truth for eye in range(12) for truth in truths(settings, eye, [0, 1])]
    centre, radius, pupil = [], [], []
    for picture, truth in zip(pictures, known, strict=True):
        found = find_rims(picture.astype(np.float32) / 255, (0.15, 0.95))
        if isinstance(found, str):
            continue
        true = truth.iris
        centre.append(np.hypot(found.iris.x - true.x, found.iris.y - true.y) / true.radius)
        radius.append(abs(found.iris.radius - true.radius) / true.radius)
        pupil.append(abs(found.pupil.radius - truth.pupil.radius) / true.radius)
    assert len(centre) >= 22
    assert np.median(centre) <= 0.02
    assert np.median(radius) <= 0.04
    assert np.median(pupil) <= 0.04
    # what is said to be seen is seen
    hidden = []
    for picture, truth in zip(pictures, known, strict=True):
        rims = Rims(truth.pupil, truth.iris, 0, 0, 0, 0)
        seen = find_covers(picture.astype(np.float32) / 255, rims).seen
        hidden.append((seen & ~truth.open).sum() / max(1, seen.sum()))
    assert np.median(hidden) < 0.05


def test_the_truth_is_what_was_drawn():
    settings = EyeSettings(periocular=(120, 160), variation=0, seed=2)
    [picture] = rendered(settings, 1, 1) / 255.0
    [truth] = truths(settings, 0, [0])
    turn = np.linspace(0, 2 * np.pi, 90)
    means = {}
    for name, circle, share in (
        ("in the pupil", truth.pupil, 0.8),
        ("around the pupil", truth.pupil, 1.25),
        ("in the iris", truth.iris, 0.9),
        ("in the white", truth.iris, 1.12),
    ):
        sides = turn[np.abs(np.sin(turn)) < 0.4] if circle is truth.iris else turn
        x, y = circle.points(sides, share)
        means[name] = np.median(picture[np.rint(y).astype(int), np.rint(x).astype(int)])
    assert means["in the pupil"] < 0.5 * means["around the pupil"]
    assert means["in the iris"] < means["in the white"]
    assert truth.open[round(truth.iris.y + 0.7 * truth.iris.radius) - 3, round(truth.iris.x)]
    assert not truth.open[0].any()
    assert not truth.open[-1].any()


def test_a_circle_is_fitted_to_the_points_that_agree():
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x, y = Circle(40, 30, 12).points(turn)
    x[:15] += 4  # a lid in place of the rim
    found = fitted_circle(x, y, Circle(41, 29, 11))
    assert (found.x, found.y, found.radius) == pytest.approx((40, 30, 12), abs=0.05)


@pytest.mark.parametrize(
    "picture",
    [
        np.random.default_rng(0).random((120, 160, 1)),
        np.linspace(0, 1, 160)[None, :, None].repeat(120, 0),
    ],
    ids=["noise", "slope"],
)
def test_no_iris_is_found_where_there_is_none(picture):
    reason = find_rims(picture.astype(np.float32), (0.15, 0.95))
    assert isinstance(reason, str)
    assert reason


def test_a_dark_small_eye_needs_an_assumed_pupil():
    y, x = np.mgrid[:120, :160]
    picture = np.full((120, 160, 1), 0.6)
    picture[((x - 80) / 60) ** 2 + ((y - 60) / 34) ** 2 < 1] = 0.95
    picture[(x - 84) ** 2 + (y - 58) ** 2 < 20**2] = 0.1
    photo = picture.astype(np.float32)
    assert find_rims(photo, (0.15, 0.95)) == "no pupil"
    found = find_rims(photo, (0.15, 0.95), assume_pupil=True)
    assert (found.iris.x, found.iris.y, found.iris.radius) == pytest.approx((84, 58, 20), abs=0.6)
    assert found.pupil.radius == pytest.approx(0.35 * found.iris.radius)


def test_the_eyes_of_the_portrait_are_found():
    """Of the astronaut that scikit-image ships; the eyes were measured by hand, in its pixels."""
    data = pytest.importorskip("skimage.data")
    portrait = data.astronaut()
    for column, row in ((204, 101), (247, 103.5)):
        left, top = round(column) - 24, round(row) - 18
        part = Image.fromarray(portrait[top : top + 36, left : left + 48])
        photo = np.asarray(part.resize((320, 240), Image.Resampling.BICUBIC), np.float32) / 255
        found = find_rims(photo, (0.15, 0.5), assume_pupil=True)
        assert not isinstance(found, str)
        scale = 48 / 320
        assert left + (found.iris.x + 0.5) * scale == pytest.approx(column + 0.5, abs=1.2)
        assert top + (found.iris.y + 0.5) * scale == pytest.approx(row + 0.5, abs=1.2)
        assert found.iris.radius * scale == pytest.approx(4.2, abs=0.8)


def test_the_ring_is_unrolled_from_rim_to_pupil_beginning_straight_down():
    """Against the angle and the depth at each place of a ring whose circles have other centres."""
    iris, pupil = Circle(80, 60, 40), Circle(84, 57, 15)
    y, x = np.mgrid[:120, :160].astype(np.float64)
    # up and right are bright, each in a picture of its own
    up, right = (60 - y) / 120 + 0.5, (x - 80) / 160 + 0.5
    seen = y > 60
    rims = Rims(pupil, iris, 0, 0, 0, 0)
    strips = {}
    for name, picture in (("up", up), ("right", right)):
        photo = picture[..., None].astype(np.float32)
        strips[name], mask = unrolled(photo, seen, rims, (10, 40))
    rows, columns = np.mgrid[:10, :40]
    depth, turn = (rows + 0.5) / 10, 2 * np.pi * (columns + 0.5) / 40 + np.pi / 2
    place_x = 80 + 40 * np.cos(turn) + depth * (84 + 15 * np.cos(turn) - 80 - 40 * np.cos(turn))
    place_y = 60 + 40 * np.sin(turn) + depth * (57 + 15 * np.sin(turn) - 60 - 40 * np.sin(turn))
    for name, expected in (("up", (60 - place_y) / 120), ("right", (place_x - 80) / 160)):
        ratio = strips[name] / (expected + 0.5)
        assert ratio.std() / ratio.mean() < 0.01
        # the part that is seen has the brightness of the synthetic irises
        assert strips[name][mask].mean() == pytest.approx(0.42, abs=0.005)
    assert strips["up"][0].argmax() in (19, 20)
    lower = place_y > 60.5
    upper = place_y < 59.5
    assert mask[lower].all()
    assert not mask[upper].any()


# ------------------------------------------------------------------------------- whose eye it is


def placed(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 40)).save(root / name)
    return root


@pytest.mark.parametrize(
    ("names", "options", "labels"),
    [
        (["a/left/1.png", "a/RIGHT/x/1.png"], {}, {"a-left": 1, "a-right": 1}),
        (["a/OS/1.png", "a/od/1.png", "a/L/2.png"], {}, {"a-left": 2, "a-right": 1}),
        (["train/a/l/1.png", "test/a/l/2.png", "train/b/r/1.png"], {}, {"a-left": 2, "b-right": 1}),
        (["a/left/1.png", "b/3.png"], {"classes": "people"}, {"a": 1, "b": 1}),
        (
            ["001/01_L.png", "001/02_R.png", "002/07_L.png"],
            {"pattern": r"(?P<person>\d+)/\d+_(?P<side>[LR])"},
            {"001-left": 1, "001-right": 1, "002-left": 1},
        ),
        (
            ["C1_S1_I1.png", "C1_S2_I1.png", "C2_S1_I1.png"],
            {"pattern": r"(?P<eye>C\d+)_S\d+"},
            {"C1": 2, "C2": 1},
        ),
        (
            ["C1_S1_I1.png", "C2_S1_I1.png"],
            {"pattern": r"C(?P<person>\d+)_S\d+", "classes": "people"},
            {"1": 1, "2": 1},
        ),
    ],
)
def test_classes_are_eyes_or_people_by_folders_or_by_a_pattern(tmp_path, names, options, labels):
    found = find_samples(spec(placed(tmp_path, *names), **options))
    everyone = [sample.label for part in found.parts.values() for sample in part]
    assert {label: everyone.count(label) for label in everyone} == labels


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "has no photograph; images end in"),
        (["a/1.png"], {}, "1 photographs are not in <person>/<left or right>/<image>: 'a/1.png'"),
        (["1.png"], {"classes": "people"}, "are not in <person>/<image>: '1.png'"),
        (["a/up/1.png"], {}, "'up' names no side, in 'a/up/1.png'; known are left, l, os, right"),
        (
            ["a/left/1.png", "b.png"],
            {"pattern": "(?P<person>[a-z])/(?P<side>[a-z]+)"},
            "finds nothing in 1 of 2 photographs: 'b.png'",
        ),
    ],
)
def test_a_side_or_person_that_cannot_be_told_is_one_line(tmp_path, names, options, message):
    with pytest.raises(UserError) as error:
        find_samples(spec(placed(tmp_path, *names), **options))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": "a"}, "has the groups none; for classes: eyes write"),
        ({"pattern": "(?P<eye>a)", "classes": "people"}, "has the groups eye; for classes: people"),
        ({"pattern": "(?P<eye>a)", "csv": "list.csv"}, "the list in csv has labels"),
        ({"diameter": [0.5, 0.2]}, "expected 0.05 <= least < most"),
    ],
)
def test_settings_that_contradict_are_refused(options, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        spec("photos", **options)


# ------------------------------------------------------------------------------------- preparing


def test_photographs_become_two_modalities_and_what_is_none_is_set_aside(folder, tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (120, 160), np.uint8)
    Image.fromarray(noise).save(folder / "p0/left/noise.png")
    Image.new("RGB", (20, 20), "white").save(folder / "p0/left/small.png")
    first = Image.open(folder / "p0/R/0.png")
    first.convert("RGBA").save(folder / "p0/R/0.png")
    grey = np.asarray(Image.open(folder / "p1/R/0.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "p1/R/0.png")
    shutil.rmtree(folder / "p1/left")
    data = spec(folder, masked="channel", periocular=(24, 32), iris=(16, 48))
    sets, lines = prepared(data, tmp_path)
    for name, shape in (("periocular", (24, 32, 3)), ("iris", (16, 48, 2))):
        assert sets[name].image_shape == shape == shapes_of(data)[name][0]
        assert sets[name].class_names == ["p0-left", "p0-right", "p1-right"]
        assert len(sets[name].train_images) + len(sets[name].test_images) == 9
    assert image_counts(data).train + image_counts(data).test == 11
    iris = torch.cat([sets["iris"].train_images, sets["iris"].test_images])
    pattern, mask = iris.unbind(-1)
    assert set(mask.unique().tolist()) == {0, 255}
    assert set(pattern[mask == 0].unique().tolist()) == {107}  # 0.42 of 255
    with (tmp_path / "out/periocular/irises.csv").open(newline="") as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert len(rows) == 11
    assert rows["p0/left/small.png"]["reason"] == "no side may be shorter than 32 pixels"
    assert rows["p0/left/noise.png"]["found"] == "no"
    assert float(rows["p0/R/0.png"]["iris_radius"]) == pytest.approx(19, abs=6)
    told = "\n".join(lines)
    assert "irises: found in 9 of 11 photographs" in told
    assert "set aside: 2 photographs: " in told
    assert "one side only: 1 people: 'p1'" in told
    assert "16 bit" in told
    figure = iris_sheet(Irises.examples_in(tmp_path / "out/periocular/irises.safetensors"))
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(word.startswith("set aside: ") for word in words) == 2


def test_a_list_of_the_split_gives_the_same_data_again(folder, tmp_path):
    sets, _ = prepared(spec(folder), tmp_path / "first")
    written = tmp_path / "first/out/periocular/splits.csv"
    with written.open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "label", "split"]
    again, _ = prepared(spec(folder, csv=str(written)), tmp_path / "second")
    for name, arrays in sets.items():
        assert torch.equal(arrays.test_images, again[name].test_images)


def test_masked_places_may_be_kept_as_they_are(folder, tmp_path):
    kept, _ = prepared(spec(folder, masked="kept", colour="grey"), tmp_path / "kept")
    neutral, _ = prepared(spec(folder, colour="grey"), tmp_path / "neutral")
    assert kept["periocular"].image_shape == (48, 64, 1)
    seen = {
        name: torch.cat([sets["iris"].train_images, sets["iris"].test_images])
        for name, sets in (("kept", kept), ("neutral", neutral))
    }
    assert seen["kept"].shape == seen["neutral"].shape == (12, 32, 96, 1)
    # where the iris is hidden stands the middle brightness, 0.42 of 255
    shares = {name: float((images == 107).float().mean()) for name, images in seen.items()}
    assert shares["neutral"] > shares["kept"] + 0.02


def test_a_class_with_too_few_irises_is_one_line_or_left_out(folder, tmp_path):
    for number in (0, 1):
        Image.new("RGB", (160, 120), "grey").save(folder / f"p0/left/{number}.png")
    with pytest.raises(UserError) as error:
        prepared(spec(folder), tmp_path)
    message = str(error.value)
    assert "\n" not in message
    assert "1 classes have fewer than 2 photographs with an iris: 'p0-left (1 of 3)'" in message
    assert "2 of 12 were set aside (2 × one colour throughout)" in message
    assert "data.few: skip" in message
    assert not list((tmp_path / "out").rglob("*.*"))
    sets, lines = prepared(spec(folder, few="skip"), tmp_path)
    assert sets["iris"].class_names == ["p0-right", "p1-left", "p1-right"]
    assert "classes with too few: 1 left out: 'p0-left'" in "\n".join(lines)


def test_a_corrupt_or_transparent_photograph_is_named(folder, tmp_path):
    (folder / "p0/left/0.png").write_bytes(b"\x89PNG")
    Image.new("RGBA", (160, 120), (1, 2, 3, 9)).save(folder / "p0/left/1.png")
    with pytest.raises(UserError, match="transparent pixels; set data"):
        prepared(spec(folder), tmp_path)


def test_the_digest_holds_what_is_in_the_photographs_and_not_where_they_are(folder, tmp_path):
    before = manifest(spec(folder))
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert manifest(spec(moved)) == before
    assert manifest(spec(folder, seen=0.5)).identity != before.identity
    Image.new("L", (160, 120)).save(folder / "p0/left/0.png")
    assert manifest(spec(folder)).contents != before.contents


def test_landmarks_need_their_extra(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        prepared(spec(folder, finder="landmarks"), tmp_path)
    assert "data.finder: landmarks needs ai-edge-litert" in str(error.value)
    assert "modelswitch[landmarks]" in str(error.value)


def test_landmarks_lead_to_the_same_iris(photos):
    """MediaPipe's network and the search for circles, each followed by the same measurement."""
    if not all(map(importlib.util.find_spec, ("ai_edge_litert", "mediapipe"))):
        pytest.skip("no landmarks here")
    photo = np.asarray(Image.open(photos / "p0/left/0.png"), np.float32) / 255
    searched = find_rims(photo, (0.15, 0.95))
    proposed = find_rims(photo, (0.15, 0.95), landmarks_finder())
    for part in ("pupil", "iris"):
        one, other = getattr(searched, part), getattr(proposed, part)
        assert (other.x, other.y, other.radius) == pytest.approx((one.x, one.y, one.radius), abs=1)


@pytest.mark.long
@pytest.mark.slow
def test_photographs_in_folders_become_a_trained_selector(photos, tmp_path):
    values = yaml.safe_load((ROOT / "config/eye-photos.yaml").read_text())
    values["data"] |= {"path": str(photos), "periocular": [24, 32], "iris": [16, 48]}
    values["data"] |= {"masked": "channel", "test": 0.34, "validation": 0.34}
    values["models"] = {"recogniser": {"family": "plain", "stages": [[8], [8]]}}
    values |= {"seeds": [0], "training": {"epochs": 2, "batch": 4, "warmup": 0}}
    values["selector"]["selectors"] = {"gate": {"recognisers": "full", "decides": "weigh"}}
    values["selector"]["degradations"] |= {"seen": ["rectangle"], "levels": [1.0]}
    configuration = tmp_path / "eyes.yaml"
    configuration.write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--configfile", str(configuration), "--cores", "2", "--directory", str(tmp_path)),
            *("--workflow-profile", "none", "--quiet", "all", "--show-failed-logs", "results"),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results/eye-photos"
    table = pd.read_csv(results / "tables/selection.csv")
    assert set(table["side"]) == {"periocular", "iris", "both"}
    assert "selector" in set(table["method"])
    assert (results / "figures/iris_sheet.png").stat().st_size > 10_000
    assert "Irises found in photographs" in (results / "results.html").read_text(encoding="utf-8")
    assert len(pd.read_csv(results / "periocular/irises.csv")) == 2 * PEOPLE * CAPTURES


def test_people_are_held_back_with_both_eyes_for_verification(tmp_path, monkeypatch):
    names = [
        f"p{n}/{side}/{k}.png" for n in range(10) for side in ("left", "right") for k in "abcd"
    ]
    # One person with one eye.
    root = placed(tmp_path / "photos", *names, *(f"p10/left/{k}.png" for k in "abcd"))
    for number, file in enumerate(sorted(root.rglob("*.png"))):
        Image.new("L", (40, 40), number).save(file)

    def views(self, picture, path, name, label, split):
        grey = torch.full((8, 8, 1), int(picture.pixels.flat[0]), dtype=torch.uint8)
        self.irises.rows.append({"photo": name, "class": label, "split": split, "found": "yes"})
        return {"periocular": grey.expand(8, 8, 3), "iris": grey}

    monkeypatch.setattr(PhotographReader, "read", views)
    data = spec(root, strangers=0.75, periocular=(8, 8), iris=(8, 8), fewest=2)
    sets, strangers = read(data), read_strangers(data, Verification())
    own = strangers["iris"]
    assert len(set(own.owners)) == 8
    assert own.owners == [name.rsplit("-", 1)[0] for name in own.names]
    left = {name.rsplit("-", 1)[0] for name in sets["iris"].class_names}
    assert len(left) == 3
    assert left.isdisjoint(own.owners)
    assert len(own.labels) == 4 * len(own.names)
    assert sizes_of(data)["iris"].classes == len(sets["iris"].class_names)


def test_circles_are_values():
    circle = Circle(1, 2, 3)
    assert dataclasses.replace(circle, radius=4).inside((8, 8)).sum() > circle.inside((8, 8)).sum()
