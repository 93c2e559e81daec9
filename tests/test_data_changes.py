"""The workflow when people's data change: what is made again, and what is not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from modelswitch.config.experiment import load

ROOT = Path(__file__).parents[1]
EXPERIMENT = {
    "name": "own",
    "data": {"source": "folder", "path": "images", "validation": 0.2, "test": 0.25},
    "models": {
        "teacher": {"family": "plain", "stages": [[4], [4]]},
        "student": {"family": "plain", "stages": [[4]]},
    },
    "transfers": {"kd": {"soft": 0.5}},
    "chains": {"direct": "teacher/student@kd"},
    "seeds": [0],
    "training": {"epochs": 1, "batch": 16, "warmup": 0.1},
}
TRAINED = {"teacher", "teacher/student@kd"}


def picture(path: Path, seed: int, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 60, (8, 8, 3)) + value
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def images(root: Path, seed: int = 0) -> None:
    for row in range(60):
        name = ("cat", "dog")[row % 2]
        picture(root / name / f"{row}.png", 100 * seed + row, 100 * (row % 2))


def snakemake(folder: Path, *arguments: str, experiment=EXPERIMENT, file="own.yaml"):
    (folder / file).write_text(yaml.safe_dump(experiment))
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "snakemake",
                *arguments,
                "--snakefile",
                str(ROOT / "Snakefile"),
            ),
            *("--configfile", file),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def jobs(said: str) -> set[str]:
    """What was run or would be: lineages, `data`, `measure_models`."""
    found = re.findall(r"(?:rule|checkpoint) (\w+):(.*?)(?=\n\[\w{3} |\Z)", said, re.DOTALL)
    names = set()
    for rule, text in found:
        lineage = re.search(r"lineage=([^\s,]+)", text)
        names.add(lineage[1] if lineage else {"prepare_data": "data"}.get(rule, rule))
    return names - {"models", "all", "results"}


def run(folder: Path, *arguments: str, **how) -> set[str]:
    status, said = snakemake(folder, "models", "--cores", "2", *arguments, **how)
    assert status == 0, said
    return jobs(said)


def planned(folder: Path, **how) -> set[str]:
    return run(folder, "--dry-run", **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "finished"
    images(folder / "images")
    assert planned(folder) == {"data"} | TRAINED
    status, said = snakemake(folder, "--cores", "2")
    assert status == 0, said
    return folder


@pytest.fixture
def here(finished, tmp_path) -> Path:
    """The finished run, as if it had been made here."""
    shutil.copytree(finished, tmp_path / "here", symlinks=True)
    record = tmp_path / "here/results/own/folder/source.json"
    record.write_text(record.read_text().replace(str(finished), str(tmp_path / "here")))
    return tmp_path / "here"


def dates(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file())
    kept = (p for p in files if "metadata" not in p.parts and "log" not in p.parts)
    return {str(path): path.stat().st_mtime_ns for path in kept}


@pytest.mark.slow
def test_nothing_is_made_again_for_dates_places_and_what_is_not_read(here):
    before = dates(here / "results")
    for path in (here / "images").rglob("*.png"):
        path.touch()
    os.utime(here / "images/cat/0.png", (4 * 10**9,) * 2)
    (here / "images/notes.txt").write_text("not read")
    (here / "images/.DS_Store").write_text("nor this")
    (here / "images").rename(here / "else where")
    moved = EXPERIMENT | {"data": EXPERIMENT["data"] | {"path": "else where"}}
    assert planned(here, experiment=moved) == set()
    assert run(here, experiment=moved) == set()
    # Looking twice changes nothing, not even what is remembered.
    remembered = dates(here / ".snakemake/modelswitch")
    assert planned(here, experiment=moved) == set()
    assert dates(here / ".snakemake/modelswitch") == remembered
    assert dates(here / "results") == before


@pytest.mark.long
@pytest.mark.slow
def test_an_image_that_is_added_trains_anew_and_moves_no_other(here):
    def test_part() -> set[int]:
        frame = pd.read_parquet(here / "results/own/tables/predictions.parquet")
        return set(frame[frame["split"] == "test"]["index"])

    before = test_part()
    picture(here / "images/cat/new.png", 999)
    assert planned(here) == {"data"} | TRAINED
    status, said = snakemake(here, "--cores", "2")
    assert status == 0, said
    assert jobs(said) >= {"data", "measure_models"} | TRAINED
    assert len(before) <= len(test_part()) <= len(before) + 1
    assert planned(here) == set()


@pytest.mark.long
@pytest.mark.slow
def test_other_files_with_the_same_pixels_are_read_again_and_train_nothing(here):
    for path in (here / "images/dog").glob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    # Whether trainings follow is known only after the data were read.
    assert "data" in planned(here)
    assert run(here) == {"data"}
    assert planned(here) == set()
    # Also for arrays that were lost, and for a model that is new.
    (here / "results/own/folder/data.safetensors").unlink()
    assert planned(here) == set()
    more = EXPERIMENT | {"chains": EXPERIMENT["chains"] | {"alone": "student"}}
    assert run(here, experiment=more) == {"data", "student"}


@pytest.mark.long
@pytest.mark.slow
def test_a_file_from_the_future_is_used_like_any_other(tmp_path):
    images(tmp_path / "images")
    os.utime(tmp_path / "images/cat/0.png", (4 * 10**9,) * 2)
    assert run(tmp_path) == {"data"} | TRAINED
    assert planned(tmp_path) == set()


@pytest.mark.long
@pytest.mark.slow
def test_data_that_go_are_an_error_and_pages_are_still_made(here):
    shutil.rmtree(here / "images/dog")
    status, said = snakemake(here, "models", "--cores", "1")
    assert status == 1
    assert "1 class" in said or "one class" in said
    shutil.rmtree(here / "images")
    status, said = snakemake(here, "--dry-run")
    assert status == 1
    assert said.splitlines()[-1] == "error: data.path: images: no such folder"
    status, said = snakemake(here, "page", "--cores", "1")
    assert status == 0, said


@pytest.mark.long
@pytest.mark.slow
def test_a_second_experiment_of_the_same_name_does_not_take_the_firsts_place(here):
    before = dates(here / "results")
    images(here / "second", seed=7)
    second = EXPERIMENT | {"data": EXPERIMENT["data"] | {"path": "second"}}
    for target in ("models", "all"):
        status, said = snakemake(
            here, target, "--cores", "1", experiment=second, file="second.yaml"
        )
        assert status == 1
        assert said.splitlines()[-1] == (
            "error: name: 'own': results/own has results of images, and second holds other data; "
            "give one of the two another name, or remove that folder to train anew"
        )
    # Nor does it show the first's accuracy as its own.
    status, said = snakemake(here, "page", "--cores", "1", experiment=second, file="second.yaml")
    assert status == 1
    assert "results/own: has results of images, and the configuration's data are second" in said
    assert dates(here / "results") == before
    # The same files read in another way, by another configuration.
    small = EXPERIMENT | {"data": EXPERIMENT["data"] | {"size": [6, 6]}}
    status, said = snakemake(here, "models", "--cores", "1", experiment=small, file="small.yaml")
    assert status == 1
    assert "own.yaml reads it" in said
    # In the first's own file it is a change like any other.
    assert planned(here, experiment=small) == {"data"} | TRAINED
    assert load(EXPERIMENT).name == "own"


@pytest.mark.long
@pytest.mark.slow
def test_outputs_of_other_data_make_no_table(here):
    picture(here / "images/cat/new.png", 999)
    status, said = snakemake(here, "--until", "prepare_data", "--cores", "1")
    assert status == 0, said
    status, said = snakemake(here, "page", "--cores", "1")
    assert status == 1
    assert "outputs.safetensors: is of other data than results/own/folder/checksum.json" in said
