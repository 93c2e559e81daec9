"""Memory that jobs ask for: worked out by hand, looked up by the rules, and near what is taken."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import script_runs

from modelswitch.config.experiment import load
from modelswitch.data.shapes import DataSize
from modelswitch.graph import Graph
from modelswitch.models.answers import BUDGET
from modelswitch.models.memory import Footprint
from modelswitch.planning import checks
from modelswitch.planning.memory import Needs
from modelswitch.planning.model_checks import check_models
from modelswitch.storage import artifacts, cache_folder

ROOT = Path(__file__).parents[1]
MB = 10**6
VALUES = {
    "name": "study",
    "data": {"source": "digits", "validation": 0.2, "augment": {"crop": 0}},
    "models": {
        "teacher": {"family": "plain", "stages": [[8], [16]]},
        "student": {"family": "plain", "stages": [[4]]},
        "library": {"family": "torchvision", "model": "resnet18"},
    },
    "transfers": {
        "kd": {},
        "stored": {"views": "stored"},
        "adam": {"training": {"optimizer": "adamw"}},
    },
    "seeds": [0],
    "resources": {"gpu": 0},
    "training": {"epochs": 10, "batch": 50, "warmup": 1},
}
# So few pixels that they do not count.
SIZES = {"digits": DataSize((1, 1, 1), 10, train=1000, test=300)}
PRINTS = {
    ("digits", "teacher"): Footprint(weights=50 * MB, kept=4 * MB, fixed=0, each=2 * MB),
    ("digits", "student"): Footprint(weights=100 * MB, kept=10 * MB, fixed=0, each=1 * MB),
    ("digits", "library"): Footprint(weights=100 * MB, kept=10 * MB, fixed=0, each=1 * MB),
}


def needs(chain: str, sizes=SIZES, **changes: object) -> dict[str, int]:
    loaded = load(json.loads(json.dumps(VALUES)) | {"chains": {"one": chain}} | changes)
    return Needs(loaded, sizes, PRINTS).of_lineages()["digits"]


def asked(*taken: float) -> int:
    """A fifth more, in hundreds of megabytes."""
    return 100 * math.ceil(1.2 * sum(taken) / 100)


PROCESS = 620


def test_a_training_holds_weights_moments_and_what_its_step_keeps():
    # 50 images keep 10 MB each, and the gradients are 100: half as much lies between the blocks.
    step = 1.5 * (50 * 10 + 100)
    assert needs("student") == {"student": asked(PROCESS, 2 * 100, step)} == {"student": 2100}
    assert needs("library") == {"library": asked(PROCESS, 200, 2 * 100, step)}
    # Two moments rather than one; a fifth of the batch, so that an evaluation takes more.
    training = VALUES["training"] | {"optimizer": "adamw"}
    assert needs("student", training=training) == {"student": asked(PROCESS, 3 * 100, step)}
    few = needs("teacher", training=VALUES["training"] | {"batch": 5})
    evaluation = 1.5 * min(250 * 2, BUDGET / MB)
    assert few == {"teacher": asked(PROCESS, 2 * 50, evaluation)}


def test_a_gpu_holds_what_trainings_compute_with_by_rule():
    changes = {"chains": {"one": "teacher/student@kd", "two": "student"}}
    found = Needs(load(VALUES | changes), SIZES, PRINTS).on_gpu()
    # Neither the process nor what is written; the 800 images have one pixel each.
    step = 1.5 * (50 * 10 + 100)
    assert found["train"] == pytest.approx(1.2 * (2 * 100 + step), abs=2)
    assert found["distil"] == pytest.approx(1.2 * (2 * 100 + 50 + step + 1.5 * 50 * 2), abs=2)


def test_what_is_written_is_copied_first():
    prints = {("digits", "student"): Footprint(1000 * MB, kept=MB, fixed=0, each=MB)}
    loaded = load(VALUES | {"chains": {"one": "student"}})
    found = Needs(loaded, SIZES, prints).of_lineages()["digits"]["student"]
    # In another memory format, and as one block of bytes: the weights and their moments.
    assert found == asked(PROCESS, 2000, 1.5 * 2 * 2000)


def test_a_teacher_beside_it_has_weights_and_answers():
    # Its 50 answers take 100 MB while the student's step is kept.
    step = 1.5 * (50 * 10 + 100 + 50 * 2)
    found = needs("teacher/student@kd")
    assert found["teacher/student@kd"] == asked(PROCESS, 2 * 100, 50, step)
    alone = 1.5 * max(50 * 4 + 50, 250 * 2)
    assert found["teacher"] == asked(PROCESS, 2 * 50, alone)


def test_a_front_that_takes_more_than_its_model_is_what_is_asked_for():
    hint = {"mode": "pretrain", "student_layer": 0.5, "teacher_layer": 0.5}
    found = {}
    for batch in (50, 200):
        transfers = {"fit": {"hint": hint | {"training": {"batch": batch, "warmup": 1}}}}
        found[batch] = needs("teacher/student@fit", transfers=transfers)["teacher/student@fit"]
        step = 1.5 * (batch * 10 + 100 + batch * 2)
        assert found[batch] == asked(PROCESS, 2 * 100, 50, step)
    assert found[200] > found[50]


def test_stored_responses_go_to_the_disk_and_need_no_room():
    sizes = {"digits": DataSize((1, 1, 1), 1000, train=100_000, test=300)}
    few, many = (
        needs("teacher/student@stored", sizes, responses={"views": views}) for views in (1, 400)
    )
    assert few == many
    making = asked(PROCESS, 50, 1.5 * 500)
    assert few["teacher"] == max(needs("teacher", sizes)["teacher"], making)
    answered = 4 * 1000 * 20_300 / MB
    # No teacher is there when they are used.
    step = 1.5 * (50 * 10 + 100)
    assert few["teacher/student@stored"] == asked(PROCESS, 2 * 100, step, 3 * answered)


def test_images_are_held_whole_in_part_and_with_a_border():
    sizes = {"digits": DataSize((100, 100, 3), 10, train=10_000, test=3_000)}
    data = VALUES["data"] | {"augment": {"crop": 50}}
    found = needs("student", sizes, data=data)
    pixels = 0.03 * (13_000 + 8_000) + 0.12 * 8_000
    views = 50 * 10_000 * (16 + 3 * 9) / MB
    step = 1.5 * (50 * 10 + 100 + views)
    assert found == {"student": asked(PROCESS, 2 * 100, pixels, step)}


def test_images_on_disk_take_the_room_of_batches():
    sizes = {"digits": DataSize((100, 100, 3), 10, train=10_000, test=3_000)}
    data = VALUES["data"] | {"keep": "disk"}
    found = needs("student", sizes, data=data)
    views = 50 * 10_000 * (16 + 3 * 9) / MB
    assert found == {
        "student": asked(PROCESS, 2 * 100, 4 * 0.03 * 250, 1.5 * (50 * 10 + 100 + views))
    }
    loaded = load(VALUES | {"data": data, "chains": {"one": "student"}})
    assert Needs(loaded, sizes, PRINTS).of_data() == asked(PROCESS, 200, 300, 1.5e-3 * 13_000)


def test_what_works_on_all_data_or_all_answers_holds_the_larger():
    loaded = load(VALUES | {"chains": {"one": "teacher/student@kd"}, "seeds": [0, 1]})
    prepared = {"digits": DataSize((100, 100, 3), 10, train=8_000, test=3_000, validation=2_000)}
    assert Needs(loaded, prepared, PRINTS).of_data() == asked(PROCESS, 200, 4 * 0.03 * 13_000)
    # Two models of two seeds answer 20,300 images, of which 20,000 are held back of 100,000.
    answered = {"digits": DataSize((1, 1, 1), 1000, train=100_000, test=300)}
    found = Needs(loaded, answered, PRINTS).of_data()
    assert found == asked(PROCESS, 200, 3 * 4 * 4 * 1000 * 20_300 / MB) == 2200


EYES = {
    "periocular": DataSize((100, 100, 3), 1000, train=10_000, test=3_000),
    "iris": DataSize((10, 10, 1), 1000, train=10_000, test=3_000),
}


@pytest.mark.parametrize(("target", "conditions"), [("undegraded", 4), ("right", 7)])
def test_selectors_hold_outputs_of_all_sets_and_what_they_see_of_them(target, conditions):
    prints = {(name, model): Footprint(50 * MB, kept=0, fixed=300 * MB, each=0)
              for name in EYES for model in ("teacher", "student")}  # fmt: skip
    selector = {
        "selectors": {"mms": {"recognisers": "one", "target": target}},
        "degradations": {"seen": ["lid"], "unseen": ["jpeg"], "levels": [0.5, 1.0]},
    }
    eyes = {"source": "eyes", "validation": 0.2, "augment": {"crop": 0}}
    changes = {"chains": {"one": "teacher"}, "data": eyes, "selector": selector}
    loaded = load(VALUES | changes)
    # Clean, and two degradations at two levels: five sets of 2,000 and 3,000 answers of each side.
    answers = 4 * 1000 * 5_000 / MB
    mixture = conditions * 2_000 * (4 * 1000 * 2 * 3) / MB
    tiny = dict.fromkeys(EYES, DataSize((1, 1, 1), 1000, train=10_000, test=3_000))
    found = Needs(loaded, tiny, prints).of_data()
    assert found == asked(PROCESS, 3 * 2 * answers * 5, 2 * mixture)
    by_side = Needs(loaded, EYES, prints).of_lineages()
    # What is trained on is held once more with its border, here of no width. Test images are
    # degraded as they are answered, 250 at a time, in six numbers a pixel; the answers to one set
    # are held at a time.
    held = 0.03 * (13_000 + 2 * 8_000)
    passing = 1.5 * (300 + 6 * 4 * 0.03 * 250)
    expected = asked(PROCESS, 200, held, 50, passing, 3 * answers)
    assert by_side["periocular"] == {"teacher": expected}
    few = 0.0001 * (13_000 + 2 * 8_000)
    passing = 1.5 * (300 + 6 * 4 * 0.0001 * 250)
    expected = asked(PROCESS, 200, few, 50, passing, 3 * answers)
    assert by_side["iris"] == {"teacher": expected}


def test_a_job_that_may_get_a_gpu_asks_for_what_its_libraries_take():
    assert needs("student", resources={"gpu": 1}) == {"student": 3000}


def test_the_rules_find_what_was_estimated(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "FOLDER", tmp_path)
    loaded = load(VALUES | {"chains": {"one": "teacher/student@kd"}})
    note = checks.memory_note(loaded)
    assert checks.needed_mb(note, "digits", "teacher") == 3000
    checks.check_once(loaded)
    written = json.loads(note.read_text())
    assert written == check_models(loaded)
    assert checks.needed_mb(note, "digits", "teacher") == written["models"]["digits"]["teacher"]
    assert checks.needed_mb(note) == written["data"] < 3000
    assert checks.needed_mb(note, "digits", "nobody") == 3000


@pytest.mark.slow
def test_jobs_ask_for_what_they_need_unless_they_are_told(tmp_path):
    values = json.loads(json.dumps(VALUES))
    # A wide network at full resolution: 2 MB a map and image.
    values["models"]["teacher"] = {"family": "plain", "stages": [[8192, 8]]}
    values["training"]["batch"] = 512
    values |= {"chains": {"one": "teacher", "two": "student"}}

    def asked_for(**resources: object) -> dict[str, int]:
        (tmp_path / "study.json").write_text(json.dumps(values | {"resources": resources}))
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "models", "--dry-run", "--snakefile",
             ROOT / "Snakefile", "--configfile", "study.json"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found, lineage = {}, ""
        for line in (done.stdout + done.stderr).splitlines():
            if "lineage=" in line:
                lineage = line.rpartition("lineage=")[2].strip()
            if "mem_mb=" in line and lineage:
                found[lineage] = int(line.partition("mem_mb=")[2].partition(",")[0])
        return found

    found = asked_for(gpu=0)
    assert found["student"] < 2000 < 4000 < found["teacher"]
    assert asked_for(gpu=0, mem_mb=1234) == {"teacher": 1234, "student": 1234}


@pytest.mark.slow
def test_an_estimate_is_near_what_a_training_takes(tmp_path, monkeypatch):
    """Of a training at 224 x 224 in a process of its own, wide enough for the libraries, of which
    more or less is resident on a busy machine, to be a small part of it."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (36, 224, 224, 3), dtype=np.uint8)
    labels = np.arange(36) % 3
    parts = {"x_train": images[:30], "y_train": labels[:30]}
    np.savez("d.npz", x_test=images[30:], y_test=labels[30:], **parts)
    values = json.loads(json.dumps(VALUES)) | {
        "data": {"source": "npz", "path": "d.npz", "validation": 0.2},
        "models": {"own": {"family": "plain", "stages": [[16, 16], [32, 32], [64]]}},
        "chains": {"one": "own"},
        "training": {"epochs": 1, "batch": 24, "warmup": 0, "precision": "float32"},
    }
    loaded = load(values)
    estimated = check_models(loaded)["models"]["npz"]["own"]
    assert estimated > 1300
    script_runs.run("prepare", "--spec", loaded.data.canonical(), "--data", "data.safetensors")
    [place] = Graph(loaded).places()
    script = ROOT / "workflow/scripts/train.py"
    subprocess.run(
        [sys.executable, script, "--job", Graph(loaded).train_job(place).canonical(),
         "--data", "data.safetensors", "--gpus", "0", "--model", "model.safetensors",
         "--history", "history.csv", "--outputs", "outputs.safetensors"],
        capture_output=True, check=True,
    )  # fmt: skip
    taken = artifacts.read_passport("outputs.safetensors")["peak_memory_mb"] * 2**20 / MB
    assert 0.85 < estimated / taken < 1.7
