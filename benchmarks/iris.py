"""How well irises are found: synthetic eyes, whose circles are known, and a portrait.

    python benchmarks/iris.py --out results/reference/eye_photos

Writes a table of errors and a sheet of examples. With ai-edge-litert and MediaPipe's file the same
for places from its network, with scikit-image for the portrait that it ships; without them, not.
"""

import argparse
import csv
import importlib.util
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modelswitch.config.data import EyePhotosData
from modelswitch.data.eyes.circles import Propose, find_rims
from modelswitch.data.eyes.covers import find_covers
from modelswitch.data.eyes.landmarks import landmarks_finder
from modelswitch.data.eyes.photographs import PhotographReader
from modelswitch.data.eyes.render import EyeSettings, render_captures
from modelswitch.data.eyes.truth import Truth, truths
from modelswitch.data.images import Picture
from modelswitch.errors import UserError
from modelswitch.report.figures import style
from modelswitch.report.figures.irises import iris_sheet

DIAMETER = (0.15, 0.95)
SIZES = ((240, 320), (120, 160))
# Of the portrait's eyes, measured by hand in its pixels: column, row, radius of the iris.
PORTRAIT = ((204.0, 101.0, 4.2), (247.0, 103.5, 4.2))


def eyes(settings: EyeSettings, people: int, captures: int) -> list[tuple[np.ndarray, Truth]]:
    found = []
    numbers = list(range(captures))
    with torch.inference_mode():
        for person in range(people):
            parts = [batch.numpy() for _, batch, _ in render_captures(settings, person, numbers)]
            known = truths(settings, person, numbers)
            found += list(zip(np.concatenate(parts), known, strict=True))
    return found


def errors(drawn: list[tuple[np.ndarray, Truth]], propose: Propose | None) -> dict[str, str]:
    """Errors in percent of the iris' radius: median and 95th percentile, and the share found."""
    rows, shares = [], []
    for picture, truth in drawn:
        photo = picture.astype(np.float32) / 255
        rims = find_rims(photo, DIAMETER, propose)
        if isinstance(rims, str):
            continue
        unit, values = truth.iris.radius, []
        for got, true in ((rims.iris, truth.iris), (rims.pupil, truth.pupil)):
            values.append(np.hypot(got.x - true.x, got.y - true.y) / unit)
            values.append(abs(got.radius - true.radius) / unit)
        rows.append(values)
        seen = find_covers(photo, rims).seen
        ring = truth.iris.inside(seen.shape) & ~truth.pupil.inside(seen.shape)
        shares.append([(seen & ~(ring & truth.open)).sum() / ring.sum(), seen.sum() / ring.sum()])
    table = {"found_percent": f"{100 * len(rows) / len(drawn):.1f}"}
    names = ("centre", "radius", "pupil_centre", "pupil_radius")
    for name, column in zip(names, 100 * np.array(rows).T, strict=True):
        table[f"{name}_median"] = f"{np.median(column):.2f}"
        table[f"{name}_95th"] = f"{np.percentile(column, 95):.2f}"
    hidden, seen = 100 * np.median(np.array(shares), axis=0)
    return table | {"hidden_taken_as_seen": f"{hidden:.1f}", "seen": f"{seen:.1f}"}


def portrait_rows() -> tuple[list[dict[str, str]], list[np.ndarray]]:
    from skimage.data import astronaut

    rows, parts, whole = [], [], astronaut()
    for number, (x, y, radius) in enumerate(PORTRAIT):
        left, top = round(x) - 24, round(y) - 18
        part = Image.fromarray(whole[top : top + 36, left : left + 48])
        pixels = np.asarray(part.resize((320, 240), Image.Resampling.BICUBIC))
        parts.append(pixels)
        rims = find_rims(pixels.astype(np.float32) / 255, (0.15, 0.5), assume_pupil=True)
        row = {"eye": ("her right", "her left")[number], "hand_x": f"{x}", "hand_y": f"{y}"}
        row["hand_radius"] = f"{radius}"
        if isinstance(rims, str):
            rows.append(row | {"x": rims})
            continue
        scale = 48 / 320
        row["x"] = f"{left + (rims.iris.x + 0.5) * scale - 0.5:.1f}"
        row["y"] = f"{top + (rims.iris.y + 0.5) * scale - 0.5:.1f}"
        rows.append(row | {"radius": f"{rims.iris.radius * scale:.1f}"})
    return rows, parts


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(path, *rows, sep="\n")


def sheet(path: Path, pictures: list[np.ndarray]) -> None:
    """What was found in the pictures, step by step."""
    spec = EyePhotosData(source="eye_photos", path="", masked="channel", pupil="assumed")
    reader = PhotographReader(spec, 0)
    for number, picture in enumerate(pictures):
        reader.read(Picture(picture, 8, "RGB"), f"{number}", f"{number}", "", "")
    with style.look():
        figure = iris_sheet(reader.irises)
        figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--captures", type=int, default=3)
    parser.add_argument("--seed", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    finders: dict[str, Propose | None] = {"circles": None}
    try:
        finders["landmarks"] = landmarks_finder()
    except UserError as missing:
        print(missing)
    rows, examples = [], []
    for size in SIZES:
        settings = EyeSettings(periocular=size, seed=args.seed)
        drawn = eyes(settings, args.people, args.captures)
        about = {"photograph": f"{size[0]}x{size[1]}", "eyes": f"{len(drawn)}"}
        rows += [about | {"finder": k} | errors(drawn, finder) for k, finder in finders.items()]
        examples = examples or [picture for picture, _ in drawn[:: args.captures][:4]]
    write(args.out / "errors.csv", rows)
    if importlib.util.find_spec("skimage"):
        found, parts = portrait_rows()
        write(args.out / "portrait.csv", found)
        examples += parts
    sheet(args.out / "sheet.png", examples)


if __name__ == "__main__":
    main()
