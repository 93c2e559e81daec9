"""The benchmarks' own arithmetic; nothing here measures a time."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside_the_programs(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").parent == FOLDER:
            del sys.modules[name]


def test_verdicts_of_both_directions_and_none():
    from measure import Figure

    assert Figure.of("rate", [3.0, 1.0, 2.0], goal=2.0).verdict == "reached"
    assert Figure("rate", 1.9, goal=2.0).verdict == "missed"
    assert Figure("memory", 1.4, goal=1.5, below=True).verdict == "reached"
    assert Figure("memory", 1.6, goal=1.5, below=True).verdict == "missed"
    assert Figure("only told", 1.0).verdict == ""


def test_ratio_is_that_of_medians_and_its_spread_that_of_turns():
    from measure import ratio

    found = ratio("gain", [10.0, 20.0, 30.0], [5.0, 5.0, 20.0])
    assert (found.value, found.low, found.high) == (4.0, 1.5, 4.0)


def test_a_part_is_stored_whole_and_the_table_fits_80_columns(tmp_path):
    from measure import Figure, Part
    from table import as_csv, markdown, table

    figures = [
        Figure.of("a long name of a figure that goes on", [101.5, 99.0, 180.2], "images/s"),
        Figure("share", 94.9, "%", 93.9, 98.6, goal=95.0),
    ]
    part = Part("loop", "A title of a part", figures, ["a note"], "CIFAR-10", "now", "abc", 3.0)
    part.save(tmp_path / "part.json")
    assert Part.load(tmp_path / "part.json") == part
    text = io.StringIO()
    Console(width=80, file=text).print(table([part]))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert "| share | 94.9 % | 93.9 – 98.6 | ≥ 95 % | missed |" in markdown([part], {})
    assert "loop,share,94.9,93.9,98.6,%,≥ 95,missed,abc,now" in as_csv([part])


def test_unknown_parts_are_refused():
    from bench import APART, PARTS, chosen

    from modelswitch.errors import UserError

    assert chosen("") == [part for part in PARTS if part not in APART]
    assert chosen("planning,step") == ["step", "planning"]
    with pytest.raises(UserError, match="unknown part 'speed'"):
        chosen("speed")


def test_cores_time_is_divided_up_without_rest():
    from workflow import Job, account, covered

    inside = {"training": 6.0, "evaluation": 1.0}
    jobs = [
        Job("preparing data", 2.0, 4.0),
        Job("training", 4.0, 13.0, inside=inside, training=(6.0, 13.0)),
        Job("training", 5.0, 14.0, inside=inside, training=(7.0, 14.0)),
    ]
    calls = [("snakemake", 0.0, 15.0), ("python", 15.5, 16.0)]
    spent = account(jobs, calls, 2)
    assert sum(spent.values()) == pytest.approx(2 * 16.0)
    assert spent["training"] == 12.0
    assert spent["training: start, imports, files"] == 4.0
    assert spent["snakemake starts and plans"] == 4.0
    assert spent["no job for a core"] == 4.0
    assert spent["printing results"] == 1.0
    assert covered(job.training for job in jobs if job.training) == 8.0


def test_slope_of_a_power_law():
    from growth import slope

    exponent, factor, straight = slope([1.0, 10.0, 100.0], [2.0, 20.0, 200.0])
    assert (exponent, factor, straight) == pytest.approx((1.0, 2.0, 1.0))


@pytest.mark.parametrize("trainings", [1_000, 10_000])
def test_planned_configuration_has_that_many_trainings(trainings):
    from planning import configuration, jobs

    from modelswitch.config.experiment import load

    experiment = load(configuration(trainings))
    ends = {end for line in experiment.lineages.values() for end in (line, *line.ancestors())}
    assert len(ends) * len(experiment.seeds) == trainings
    assert jobs("job   count\ntrain  3\ntotal  7\n") == 7


def test_windows_go_on_in_the_next_epoch_and_count_every_step(monkeypatch, capsys):
    from pacing import Turn, Windows

    settled = []
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\n3\n1\n"))
    turn, seen = Turn(lambda: settled.append(len(seen))), []

    def epochs():
        while True:
            yield from Windows([1, 2, 3], 3, turn)

    with pytest.raises(SystemExit):
        seen.extend(epochs())
    assert seen == [1, 2, 3, 1, 2, 3]
    # A window ends when its steps are done and the device has settled.
    assert settled == [2, 5, 6]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_speed_of_trainings_beside_each_other_is_that_while_all_train():
    from gpu_trainings import together

    # Ten images an epoch: one epoch a second and two, both at work from 2 to 4.
    assert together([[0, 1, 2, 3, 4], [2, 2.5, 3, 3.5, 4, 4.5]], 10) == pytest.approx(30)
    assert together([[0.0, 4.0]], 8) == pytest.approx(2)
    for apart in ([[0, 1], [1, 2]], [[0, 1], []], []):
        with pytest.raises(ValueError, match="never all"):
            together(apart, 10)


def test_parts_on_a_gpu_take_ten_minutes_at_most_and_each_can_be_asked_for():
    from gpu import BETWEEN, PARTS, limits

    assert sum(limits(list(PARTS)).values()) <= 600 - BETWEEN
    assert limits(["ranks"]) == {"ranks": PARTS["ranks"][1]}
    assert sum(limits(list(PARTS), 120).values()) <= 120 - BETWEEN + 1e-6


def test_parts_that_are_not_measured_again_stay_under_the_same_head(tmp_path):
    from gpu import stored, write
    from measure import Figure, Part

    known = {name: Part(name, name, [Figure("x", 1.0)]) for name in ("bits", "steps")}
    assert write(tmp_path, known, {}, "head") == [known["steps"], known["bits"]]
    assert stored(tmp_path, "head") == known
    assert stored(tmp_path, "another") == {}
    assert stored(tmp_path / "nowhere", "head") == {}


def test_pretended_devices_are_told_before_any_figure(monkeypatch):
    import argparse

    from gpu import card, head, pretends
    from table import markdown

    monkeypatch.delenv("MODELSWITCH_DEVICES", raising=False)
    asked = argparse.Namespace(pretend=False)
    assert not pretends(asked)
    monkeypatch.setenv("MODELSWITCH_DEVICES", "a")
    assert pretends(asked)
    assert card(True) == {"gpu": "none, devices are pretended"}
    text = markdown([], card(True), "On a GPU", head(True, True))
    assert text.index("No GPU was there") < text.index("smoke test") < text.index("- gpu:")
    assert head(False, False) == ""


def test_the_line_of_a_full_gpu_is_known_to_the_benchmark():
    import torch
    from gpu_trainings import FITS

    from modelswitch.errors import UserError
    from modelswitch.execution.out_of_memory import run_within_memory

    def attempt(images):
        if images > 200:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError) as caught:
        run_within_memory(
            lambda: attempt(800), lambda size: attempt(size), 800, "training.batch", "1/64 of it"
        )
    assert FITS.search(f"error: {caught.value}").groups() == ("800", "200")


def test_a_part_on_a_gpu_that_is_stopped_keeps_what_it_found(tmp_path):
    from gpu_setting import Told
    from measure import Figure, Part

    told = Told(Part("sharing", "title", []), tmp_path / "part.json")
    told.figures(Figure("k = 1", 10.0))
    told.line("a line")
    kept = Part.load(tmp_path / "part.json")
    assert ([figure.name for figure in kept.figures], kept.notes) == (["k = 1"], ["a line"])


def test_what_the_parts_on_a_gpu_train_is_a_job_on_data_that_is_there(tmp_path):
    from contestants import objective, session
    from gpu_setting import Setting
    from gpu_trainings import job
    from views import Steps

    from modelswitch.data.arrays import ImageArrays

    setting = Setting(tmp_path, pretended=True, quick=True)
    arrays = ImageArrays.load(str(setting.data))
    assert arrays.train_images.shape == (setting.images, 32, 32, 3)
    assert job(setting.thin, epochs=1, precision="float32").training.batch == 128
    for stored in (False, True):
        here = session(
            setting.data, setting.student, teacher=setting.teacher, batch=16, stored=stored
        )
        kind = Steps(here, objective(here, tmp_path), {})
        assert kind.steps(1) > 0


@pytest.mark.long
def test_all_parts_for_a_gpu_work_with_pretended_devices(tmp_path):
    import json
    import subprocess

    command = [sys.executable, FOLDER / "gpu.py", "--quick", "--pretend", "--to", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    figures = {figure["name"]: figure for part in kept["parts"] for figure in part["figures"]}
    same = [name for name in figures if name.endswith("tensors that differ")]
    assert len(same) == 4
    assert all(figures[name]["value"] == 0 for name in same)
    assert figures["first epoch's loss, apart"]["value"] <= 1e-4
    assert figures["k = 4: all together"]["value"] > 0
    assert (tmp_path / "README.md").read_text().count("No GPU was there") == 1
