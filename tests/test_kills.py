"""Trainings, Snakemake and what it starts them from are killed at random moments; nothing of the
result changes."""

import contextlib
import itertools
import os
import random
import signal
import time

import pytest
from faults_run import files, finish, leftovers, resumed, servers, start, stop, trainings, weights


def run_and_kill(folder, moments, killed, resumes, kills):
    """Start Snakemake once and kill until it has ended; returns its exit status."""
    if any((folder / ".snakemake" / "locks").glob("*")):
        # As Snakemake tells whoever finds it locked, and docs/faults.md.
        finish(folder, "--unlock")
    process = start(folder, "--cores", "2")
    try:
        moment = next_moment(moments)
        while process.poll() is None:
            time.sleep(0.02)
            resumes.update(resumed(folder))
            running = trainings(folder)
            if not running or sum(killed.values()) >= kills or not moment(folder):
                continue
            untried = [kind for kind, count in killed.items() if count == 0]
            victim = (untried or moments.choices(list(killed), weights=(5, 3, 2)))[0]
            with contextlib.suppress(ProcessLookupError, IndexError):
                if victim == "Snakemake":
                    process.kill()
                else:
                    found = running if victim == "training" else servers(folder)
                    os.kill(moments.choice(found), signal.SIGKILL)
                killed[victim] += 1
            moment = next_moment(moments)
        return process.wait()
    except BaseException:
        stop(process, folder)
        raise


def next_moment(moments):
    """When to kill next: any time, or, more often, once a training has something to lose."""
    due = time.monotonic() + moments.uniform(0, 3)
    if moments.random() < 0.2:
        return lambda folder: time.monotonic() >= due
    wait, begun = moments.uniform(0, 1.5), []

    def moment(folder):
        if not begun and any(path.match("resume?.safetensors") for path in files(folder)):
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() >= begun[0] + wait

    return moment


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, 20])
def test_killed_at_random_moments_the_weights_are_the_same(uninterrupted, tmp_path, capsys, kills):
    moments = random.Random(20)
    killed, resumes, compared = {"training": 0, "Snakemake": 0, "server": 0}, set(), 0
    for turn in itertools.count():
        folder = tmp_path / f"run{turn}"
        while run_and_kill(folder, moments, killed, resumes, kills) != 0:
            pass
        assert weights(folder) == uninterrupted
        assert leftovers(folder) == []
        compared += len(uninterrupted)
        if sum(killed.values()) >= kills:
            break
    assert min(killed.values()) > 0
    assert resumes
    with capsys.disabled():
        print(
            f"\n{sum(killed.values())} kills with SIGKILL ({killed['training']} of trainings, "
            f"{killed['Snakemake']} of Snakemake, {killed['server']} of servers), "
            f"{len(resumes)} resumes, "
            f"{compared} weight files compared: all the same to the bit"
        )
