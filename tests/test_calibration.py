"""Threads of trainings: what is tried, what is chosen, and cores of their own."""

import os
import subprocess
import sys

import pytest

from modelswitch.config.experiment import load
from modelswitch.data.shapes import DataSize
from modelswitch.execution import cores
from modelswitch.execution.cores import Choice
from modelswitch.planning import calibration, plan
from modelswitch.storage.cache_folder import FOLDER

VALUES = {
    "name": "threads",
    "data": {"source": "digits"},
    "models": {
        "teacher": {"family": "plain", "stages": [[8], [16]]},
        "student": {"family": "plain", "stages": [[2]]},
    },
    "chains": {"kd": "teacher/student@kd"},
    "transfers": {"kd": {}},
    "training": {"epochs": 1, "batch": 16, "warmup": 0},
}
TWO_NODES = [[0, 1, 2, 3, 8, 9], [4, 5, 6, 7]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELSWITCH_LEASES", str(tmp_path / "locks"))


def test_the_kernels_lists_of_cores_are_read():
    assert cores._cores_in("0-3,8,10-11\n") == [0, 1, 2, 3, 8, 10, 11]
    assert cores._cores_in("\n") == []


def test_nodes_hold_the_cores_that_this_process_may_use(tmp_path, monkeypatch):
    for name, listed in {"node0": "0-1", "node1": "2-3", "node10": "4-5", "has_cpu": "0"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "cpulist").write_text(listed)
    monkeypatch.setattr(cores, "_NODES", tmp_path)
    monkeypatch.setattr(cores, "available", lambda: [0, 1, 3, 4, 5])
    assert cores.nodes() == [[0, 1], [3], [4, 5]]
    monkeypatch.setattr(cores, "_NODES", tmp_path / "nowhere")
    assert cores.nodes() == [[0, 1, 3, 4, 5]]


def test_what_is_tried_fits_the_nodes():
    assert calibration.cases([[0]]) == [(1, False)]
    assert calibration.cases([[0, 1]]) == [(1, False), (1, True), (2, False)]
    counts = [threads for threads, own in calibration.cases(TWO_NODES) if own]
    assert counts == [1, 2, 4]
    for threads in (1, 2, 4, 6):
        parts = calibration.places(TWO_NODES, threads)
        assert all(len(part) == threads for part in parts)
        taken = [core for part in parts for core in part]
        assert len(taken) == len(set(taken))
        assert all(any(set(part) <= set(node) for node in TWO_NODES) for part in parts)
    assert calibration.places(TWO_NODES, 4) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_what_is_nearly_as_fast_has_fewer_threads():
    rates = [(1, False, 98.0), (1, True, 99.0), (2, False, 100.0), (4, True, 60.0)]
    assert calibration.best(rates) == Choice(1, False, rates)
    assert calibration.best([(1, False, 90.0), *rates[2:]]).threads == 2


def test_it_is_measured_and_remembered_for_this_machine(here, monkeypatch):
    monkeypatch.setattr(calibration, "SECONDS", 0.1)
    monkeypatch.setattr(calibration, "nodes", lambda: [cores.available()[:1]])
    experiment, size = load(VALUES), DataSize((8, 8, 1), 10, 1000, 400)
    name, spec, training = calibration.costliest(experiment, size)
    assert name == "teacher"
    said = []
    choice = calibration.measured(spec, size, training, said.append)
    [(threads, own, rate)] = choice.rates
    assert (threads, own) == (choice.threads, choice.pinned) == (1, False)
    assert rate > 0
    assert said == [f"1 training with 1 threads: {rate:,.0f} images a second"]
    assert cores.chosen(FOLDER) is None
    calibration.remember(choice)
    assert cores.chosen(FOLDER) == Choice(1, False, [[1, False, rate]])
    monkeypatch.setattr(cores.platform, "node", lambda: "another")
    assert cores.chosen(FOLDER) is None
    calibration.remember(Choice(3, True, [(3, True, 9.0)]))
    monkeypatch.undo()


def test_the_plan_says_it(here, monkeypatch):
    monkeypatch.setattr(cores, "available", lambda: [0, 1])
    monkeypatch.setattr(cores, "nodes", lambda: [[0, 1]])
    assert plan.threads_here(1) == []
    calibration.remember(Choice(2, True, [(1, False, 1000.0), (2, True, 1500.0)]))
    [line] = plan.threads_here(1)
    assert line == (
        "threads: 2 a training, on cores of its own: 1,500 images a second in all, measured; with "
        "1: 1,000. A profile says it: set-threads: {train: 2, hint: 2, distil: 2, respond: 2}"
    )
    [line] = plan.threads_here(2)
    assert line.endswith("with 1: 1,000")
    monkeypatch.setattr(cores, "available", lambda: list(range(16)))
    assert plan.threads_here(1) == [
        "threads: not measured on this machine; make calibrate does it once"
    ]


def test_trainings_beside_each_other_have_cores_of_their_own(here, monkeypatch):
    mine = cores.available()
    if len(mine) < 2:
        pytest.skip("one core")
    monkeypatch.setattr(cores, "nodes", lambda: [mine[:2]])
    with cores.pinned(1, FOLDER) as own:
        assert own == []  # nothing was measured
    calibration.remember(Choice(1, True))
    with cores.pinned(2, FOLDER) as own:
        assert own == []  # other threads than were measured
    with cores.pinned(1, FOLDER) as first:
        assert first == mine[:1] == cores.available()
        # Another job, and a third one beside both, each a process that may use all cores.
        code = (
            f"import os, subprocess, sys; os.sched_setaffinity(0, {mine})\n"
            "from modelswitch.execution import cores\n"
            "from modelswitch.storage.cache_folder import FOLDER\n"
            f"cores.nodes = lambda: [{mine[:2]}]\n"
            "with cores.pinned(1, FOLDER) as own:\n"
            "    print(own, flush=True)\n"
            "    if sys.argv[1:]: subprocess.run([sys.executable, *sys.argv[1:]], check=True)"
        )
        command = [sys.executable, "-c", code, "-c", code]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ran.stdout.split("\n")[:2] == [str([mine[1]]), "[]"]
    assert cores.available() == mine


def test_a_job_runs_on_the_cores_that_it_took(here):
    mine = cores.available()
    calibration.remember(Choice(1, True))
    code = (
        "import os; from modelswitch.execution import cores; "
        "from modelswitch.storage.cache_folder import FOLDER\n"
        "with cores.pinned(1, FOLDER) as own: assert own == sorted(os.sched_getaffinity(0)), own\n"
        "print(own)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert ran.stdout.strip() == str(mine[:1])
