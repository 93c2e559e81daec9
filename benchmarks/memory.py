"""Peak resident memory of the training jobs on CIFAR-10.

The workflow's own scripts by their command line, on all of the data, each in a process of its own.
Epochs are cut to a dozen steps: memory does not grow with their number.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from contestants import BATCH, LARGE, SMALL, VIEWS
from measure import ROOT, Figure, Part, arguments, finish, note, prepared

from modelswitch.config.data import Augmentation
from modelswitch.config.job import Job, Teacher
from modelswitch.config.models import ModelSpec
from modelswitch.config.training import Training
from modelswitch.config.transfer import Hint, Transfer
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.splits import training_and_validation
from modelswitch.storage import artifacts

GOAL = 1.5
STEPS = 12
TIMES = 3
VALIDATION = 0.1


def job(lineage: str, model: ModelSpec, **options) -> Job:
    return Job(
        dataset="cifar10",
        branch="seed0",
        lineage=lineage,
        model=model,
        training=Training(epochs=2, batch=BATCH),
        augmentation=Augmentation(),
        validation=VALIDATION,
        **options,
    )


def peak(script: str, job: Job, data: Path, folder: Path, *options: str) -> float:
    """GB that a job had in memory at most."""
    folder.mkdir()
    outputs = ("model.safetensors", "history.csv", "outputs.safetensors")
    command = [sys.executable, Path(__file__).with_name("memory_job.py"), str(STEPS)]
    command += [ROOT / "workflow" / "scripts" / script, "--job", job.canonical()]
    command += ["--data", data, "--threads", "1", "--gpus", "0", "--resume", folder / "resume"]
    for name in outputs:
        command += [f"--{name.split('.')[0]}", folder / name]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([*map(str, command), *options], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{script}: {(folder / 'log').read_text(encoding='utf-8')[-2000:]}")
    return 1024 * usage.ru_maxrss / 1e9


def random_responses(path: Path, arrays: ImageArrays, digest: str) -> None:
    """What a teacher would have answered to all views, for its size alone."""
    train, _ = training_and_validation(arrays.train_units, arrays.train_labels, VALIDATION, 0)
    logits = torch.randn(VIEWS, len(train), arrays.num_classes).half()
    passport = {"kind": "responses", "job_digest": digest, "data": arrays.checksum}
    artifacts.save(path, {"logits": logits}, passport)


def main() -> None:
    args = arguments(__doc__).parse_args()
    data, name = prepared(args.data)
    figures = []

    def measured(case: str, script: str, job: Job, folder: Path, *options: str) -> None:
        note(f"{case} …")
        # The most counts: where memory goes is partly chance. The first run's files are used on.
        times = 1 if args.quick else TIMES
        places = [folder, *(folder.with_name(f"{folder.name}{n}") for n in range(1, times))]
        peaks = [peak(script, job, data, place, *options) for place in places]
        low, high = min(peaks), max(peaks)
        figures.append(Figure(case, high, "GB", low, high, goal=GOAL, below=True))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = job("teacher", LARGE)
        measured("teacher on the labels", "train.py", first, folder / "teacher")
        weights = str(folder / "teacher" / "model.safetensors")
        guide = Teacher(lineage="teacher", model=LARGE, digest=first.digest)
        live = job("teacher/student@live", SMALL, transfer=Transfer(), teachers=[guide])
        options = ("--teachers", weights)
        measured("student, live teacher", "distil.py", live, folder / "live", *options)
        transfer = Transfer(hint=Hint(mode="joint"))
        joint = job("teacher/student@joint", SMALL, transfer=transfer, teachers=[guide])
        measured("the same and a hint", "distil.py", joint, folder / "joint", *options)
        stored = job(
            "teacher/student@stored",
            SMALL,
            transfer=Transfer(views="stored"),
            teachers=[guide.model_copy(update={"responses": "any"})],
            stored_views=VIEWS,
        )
        answers = folder / "responses.safetensors"
        random_responses(answers, ImageArrays.load(data), "any")
        options = ("--responses", str(answers))
        measured("student, stored responses", "distil.py", stored, folder / "stored", *options)
    notes = [
        "teacher of 1.1 M parameters, student of 70 k; the scripts by their command line",
        "measured: the most of all runs",
    ]
    finish(Part("memory", "Peak resident memory of a training job", figures, notes, name), args.to)


if __name__ == "__main__":
    main()
