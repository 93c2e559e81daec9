"""Snakemake is asked to stop, started twice at once, or its clock is set back."""

import os
import signal
import subprocess
import time

import pytest
from faults_run import (
    command,
    environment,
    files,
    finish,
    leftovers,
    start,
    stop,
    trainings,
    weights,
)

DATA = "results/faults/digits/data.safetensors"
FOLDER = "results/faults/digits/seed0/teacher"
TEACHER = f"{FOLDER}/model.safetensors"
ONE_CORE = ("--cores", "1")

pytestmark = pytest.mark.slow


def until_it_trains(process, folder):
    """Wait for a training that has something to lose; returns its process id."""
    deadline = time.monotonic() + 300
    while not any(path.match("resume?.safetensors") for path in files(folder)):
        assert process.poll() is None, (folder / "snakemake.out").read_text()[-5000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [training] = trainings(folder)
    return training


@pytest.mark.parametrize(
    "asked",
    [
        signal.SIGINT,
        # A batch system's: the same way, tried in the long search.
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
    ],
    ids=lambda asked: asked.name,
)
def test_stopped_with_its_trainings_the_same_command_goes_on(uninterrupted, tmp_path, asked):
    # A terminal sends Ctrl-C to all processes of a command, a batch system SIGTERM.
    process = start(tmp_path, *ONE_CORE, target=TEACHER)
    try:
        until_it_trains(process, tmp_path)
        os.killpg(process.pid, asked)
        assert process.wait(60) != 0
    finally:
        stop(process, tmp_path)
    log = tmp_path / FOLDER / "train.log"
    assert f"{asked.name}: saved in epoch" in log.read_text()
    assert not (tmp_path / TEACHER).exists()
    # No --unlock: Snakemake took its lock away.
    said = finish(tmp_path, *ONE_CORE, target=TEACHER)
    assert "resumed after epoch" in log.read_text()
    assert weights(tmp_path) == {TEACHER: uninterrupted[TEACHER]}
    assert leftovers(tmp_path) == []
    assert "Traceback" not in said


@pytest.mark.long
def test_sigterm_to_snakemake_alone_lets_trainings_end_and_starts_none(uninterrupted, tmp_path):
    hint = "results/faults/digits/seed0/teacher/student@pretrain/hint.safetensors"
    process = start(tmp_path, *ONE_CORE, target=hint)
    try:
        until_it_trains(process, tmp_path)
        process.terminate()
        process.wait(120)
    finally:
        stop(process, tmp_path)
    assert weights(tmp_path) == {TEACHER: uninterrupted[TEACHER]}
    written = (tmp_path / TEACHER).stat().st_mtime_ns
    finish(tmp_path, *ONE_CORE, target=hint)
    assert (tmp_path / TEACHER).stat().st_mtime_ns == written
    assert weights(tmp_path) == {path: uninterrupted[path] for path in (TEACHER, hint)}


def test_a_second_snakemake_in_the_folder_is_refused_and_disturbs_nothing(uninterrupted, tmp_path):
    process = start(tmp_path, *ONE_CORE, target=TEACHER)
    try:
        training = until_it_trains(process, tmp_path)
        # The first one's training waits, so that the second surely comes while it runs.
        os.kill(training, signal.SIGSTOP)
        second = subprocess.run(
            command(tmp_path, *ONE_CORE, target=TEACHER),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert trainings(tmp_path) == [training]
        os.kill(training, signal.SIGCONT)
        assert process.wait(300) == 0
    finally:
        stop(process, tmp_path)
    said = second.stdout + second.stderr
    assert second.returncode == 1
    assert said.count("Directory cannot be locked") == 1
    assert "Traceback" not in said
    assert weights(tmp_path) == {TEACHER: uninterrupted[TEACHER]}
    assert leftovers(tmp_path) == []


@pytest.mark.long
def test_a_clock_set_back_is_named_and_repaired_in_one_command(uninterrupted, tmp_path):
    finish(tmp_path, *ONE_CORE, target=DATA)
    # The clock was an hour ahead when the data was written: Snakemake would delete whatever is made
    # from it.
    future = time.time() + 3600
    os.utime(tmp_path / DATA, (future, future))
    process = start(tmp_path, *ONE_CORE, target=TEACHER)
    try:
        assert process.wait(300) == 1
    finally:
        stop(process, tmp_path)
    said = (tmp_path / "snakemake.out").read_text()
    assert f"{DATA}: dated 60 minutes in the future" in said
    assert "--touch --forceall" in said
    assert weights(tmp_path) == {}
    finish(tmp_path, *ONE_CORE, "--touch", "--forceall", target=DATA)
    assert (tmp_path / DATA).stat().st_mtime < future - 1800
    finish(tmp_path, *ONE_CORE, target=TEACHER)
    assert weights(tmp_path) == {TEACHER: uninterrupted[TEACHER]}
    assert leftovers(tmp_path) == []
