"""Trainings on the device, each started by script as the workflow does (parts `sharing`, `ranks`,
`memory` and `bits` of `gpu.py`)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from contestants import BATCH, LARGE
from gpu_setting import Setting, Told
from measure import ROOT, Figure
from processes import trained

from modelswitch.config.data import Augmentation
from modelswitch.config.job import Job
from modelswitch.config.models import ModelSpec
from modelswitch.config.training import Training
from modelswitch.storage import artifacts

ENDLESS = 100_000
FITS = re.compile(r"training\.batch: (\d+) images at a time do not fit into .*; (\d+) do$")
# Beyond what a part may take at all, so that it ends by itself where nothing happens any more.
PATIENCE = 120.0


def job(model: ModelSpec, **training: object) -> Job:
    return Job(
        dataset="synthetic",
        branch="seed0",
        lineage="first",
        model=model,
        training=Training.model_validate(
            {"batch": BATCH, "learning_rate": 0.02, "warmup": 0.1} | training
        ),
        augmentation=Augmentation(),
        validation=0.0,
    )


class Run:
    """A training in a process of its own.

    Attributes:
        lines: what it has said, each with the time.
    """

    def __init__(self, job: Job, data: Path, folder: Path, *more: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        script = ROOT / "workflow" / "scripts" / "train.py"
        command = [sys.executable, script, "--job", job.canonical(), "--data", data, *more]
        files = ("model.safetensors", "history.csv", "outputs.safetensors")
        for name in files:
            command += [f"--{name.split('.')[0]}", folder / name]
        self.model = folder / files[0]
        self.lines: list[tuple[float, str]] = []
        self._process = subprocess.Popen(
            [*map(str, command)], stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append((time.perf_counter(), line.strip()))

    @property
    def epochs(self) -> list[float]:
        """When each epoch ended."""
        return [at for at, line in self.lines if line.startswith("epoch ")]

    @property
    def last(self) -> str:
        return self.lines[-1][1] if self.lines else "(it said nothing)"

    def said(self, start: str) -> str:
        """The first line with that beginning; '' without."""
        return next((line for _, line in self.lines if line.startswith(start)), "")

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that comes while the training runs."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if self._process.poll() is not None:
                raise RuntimeError(f"a training ended before it was to: {self.last}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"a training goes on without an end: {self.last}")
            time.sleep(0.005)

    def end(self, signum: int | None = None) -> int:
        """Send a signal, if any, and wait for the end; the exit status."""
        if signum is not None:
            self._process.send_signal(signum)
        status = self._process.wait()
        self._reader.join()
        return status

    def succeed(self) -> None:
        if status := self.end():
            raise RuntimeError(f"a training ended with status {status}: {self.last}")


def together(ends: Sequence[Sequence[float]], images: int) -> float:
    """Images a second of trainings beside each other, in the time in which all of them train.

    Args:
        ends: of each training when its epochs ended; between two ends it goes on evenly.
        images: of an epoch.

    Raises:
        ValueError: there is no such time.
    """
    start = max((own[0] for own in ends if own), default=0.0)
    end = min((own[-1] for own in ends if own), default=0.0)
    if not all(ends) or end <= start:
        raise ValueError("the trainings were never all at work at a time")
    done = sum(float(np.diff(np.interp([start, end], own, range(len(own))))[0]) for own in ends)
    return done * images / (end - start)


def beside(setting: Setting, share: int) -> tuple[float, set[str]]:
    """Images a second of so many trainings with a part of the device each, and what they said of
    what they compute on."""
    one = job(setting.thin, epochs=ENDLESS)
    runs = [
        Run(one, setting.data, setting.folder / f"share{share}-{number}", "--share", share)
        for number in range(share)
    ]
    for run in runs:
        # The first epoch is not counted: it warms up.
        run.until(lambda run=run: len(run.epochs) >= 2)
    time.sleep(setting.seconds * 4)
    now = [len(run.epochs) for run in runs]
    for run, before in zip(runs, now, strict=True):
        run.until(lambda run=run, before=before: len(run.epochs) > before)
    ends = [run.epochs[1:] for run in runs]
    for run in runs:
        run.end(signal.SIGKILL)
    return together(ends, setting.images), {run.said("computes on") for run in runs}


def sharing(setting: Setting, told: Told) -> None:
    """Part 3: trainings of a thin student with a part of one device each."""
    told.part.data = f"{setting.images} synthetic images, 32x32x3, batch {BATCH}"
    alone = 0.0
    for share in setting.shares:
        rate, words = beside(setting, share)
        alone = alone or rate
        told.figures(
            Figure(f"k = {share}: all together", rate, "images/s"),
            Figure(f"k = {share}: over k = 1", rate / alone, "×"),
        )
        told.line(f"k = {share}: {'; '.join(sorted(words))}")


def ranks(setting: Setting, told: Told) -> None:
    """Part 4: two processes of one training against one."""
    cards = 0 if setting.pretended else torch.cuda.device_count()
    if cards < 2:
        # The lease gives no device to two ranks.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        os.environ["MODELSWITCH_DEVICES"] = "a,b"
        os.environ["MODELSWITCH_LEASES"] = str(setting.folder / "ranks")
        told.line(f"gloo, two pretended devices on the processor: there are not two GPUs ({cards})")
    else:
        # TensorFloat-32 rounds more than what is to be seen.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        told.line(f"NCCL, two of {cards} GPUs, without TensorFloat-32")
    told.part.data = f"{setting.images} synthetic images, 32x32x3, batch {BATCH}, float32"
    one = job(setting.thin, epochs=1, precision="float32")
    losses = {}
    for count in (1, 2):
        folder = setting.folder / f"ranks{count}"
        _, losses[count], seconds = trained(one, setting.data, folder, count)
        kept = artifacts.read_passport(folder / "model.safetensors")["arithmetic"]
        if kept.get("processes", "1") != str(count):
            raise RuntimeError(f"{count} processes were asked for, and it was otherwise: {kept}")
        told.figures(Figure(f"{count} process{'es' * (count > 1)}: whole job", seconds, "s"))
    apart = abs(losses[2] - losses[1])
    told.figures(Figure("first epoch's loss, apart", apart, goal=1e-4, below=True))


def memory(setting: Setting, told: Told) -> None:
    """Part 5: what a training says whose batch cannot fit."""
    if setting.pretended:
        told.line("not done: pretended devices have no memory of their own that could be full")
        return
    share = 64
    tried = job(LARGE, epochs=1, batch=setting.images)
    run = Run(tried, setting.data, setting.folder / "memory", "--share", share)
    status = run.end()
    told.line(f"batch {setting.images}, 1/{share} of the GPU: status {status}, {run.last}")
    found = FITS.search(run.last)
    told.figures(Figure("one line that says which batch fits", float(bool(found)), goal=1))
    if found:
        told.figures(Figure("the batch that it says", float(found[2]), "images"))


def differing(one: Path, other: Path) -> tuple[int, str]:
    """Of how many tensors two models' bits differ, and both files' checksums in a few letters."""
    (mine, about), (theirs, also) = artifacts.load(one), artifacts.load(other)
    assert mine.keys() == theirs.keys()
    count = sum(
        artifacts.checksum({"": mine[n]}) != artifacts.checksum({"": theirs[n]}) for n in mine
    )
    return count, f"{about['checksum'][:12]} and {also['checksum'][:12]}"


def bits(setting: Setting, told: Told) -> None:
    """Parts 6 and 7: the same training again; killed, told to stop, and gone on with."""
    told.part.data = f"{setting.images} synthetic images, 32x32x3"
    # On a GPU the first goes by Python, for it draws random numbers, and the second is recorded.
    for name, model in (("with dropout", setting.random), ("without", setting.thin)):
        _bits_of(name, model, setting, told)


def _bits_of(name: str, model: ModelSpec, setting: Setting, told: Told) -> None:
    # Of few images more and smaller steps, so that there is a middle to be killed in.
    few = {"epochs": 12, "batch": 16}
    one = job(model, **(few if setting.images < 10 * BATCH else {"epochs": 8}))

    def run(folder: str) -> Run:
        path = setting.folder / name / folder
        return Run(one, setting.data, path, "--resume", path / "state")

    def compare(what: str, other: Run) -> None:
        count, sums = differing(first.model, other.model)
        told.figures(Figure(f"{name}, {what}: tensors that differ", count, goal=0, below=True))
        told.line(f"{name}, {what}: sha256 {sums}")

    first = run("first")
    first.succeed()
    again = run("again")
    again.succeed()
    compare("trained twice", again)

    state = setting.folder / name / "killed" / "state"
    killed = run("killed")
    killed.until(lambda: len(killed.epochs) >= 2 and any(state.glob("resume?.safetensors")))
    told.line(f"killed (SIGKILL) after {killed.last!r}, status {killed.end(signal.SIGKILL)}")
    stopped = run("killed")
    stopped.until(lambda: len(stopped.epochs) >= 2)
    status = stopped.end(signal.SIGTERM)
    told.line(f"{stopped.said('resumed') or 'not resumed'}; then status {status}, {stopped.last!r}")
    on = run("killed")
    on.succeed()
    told.line(on.said("resumed") or "not resumed")
    if not (stopped.said("resumed") and on.said("resumed")):
        raise RuntimeError("a training that had been stopped began anew")
    compare("killed, stopped, gone on", on)
