"""A distillation step, resnet56 to resnet20 at batch 128 on one thread, against torchdistill.

Six programs take turns on one core: torchdistill from PyPI in an environment of its own, and this
project's loop with a live teacher in bfloat16, with stored responses in bfloat16, and with a live
teacher in float32, and the first two of these with an inner layer transferred beside the outputs.
Same models, batch, images and augmentation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from contestants import BATCH, RESNET20, RESNET56, objective, serve, session
from measure import (
    ROOT,
    WORK,
    Figure,
    Part,
    arguments,
    finish,
    note,
    prepared,
    ran,
    ratio,
    take_one_core,
)
from pacing import Program

from modelswitch.data.arrays import ImageArrays

ENVIRONMENT = ROOT / ".venv-torchdistill"
OURS = {
    "bfloat16, live teacher": {"precision": "bfloat16"},
    "bfloat16, stored responses": {"precision": "bfloat16", "stored": True},
    "float32, live teacher": {"precision": "float32"},
}
GOALS = dict(zip(OURS, (2.2, 4.0, 1.3), strict=True))
# With joint hints, each against the same step without them.
HINTED = {
    f"{name}, hints": {**OURS[name], "hint": True}
    for name in ("bfloat16, live teacher", "bfloat16, stored responses")
}
THEIRS = "torchdistill"
# Steps a turn, so that every program's turn takes a similar time.
STEPS = dict(zip((THEIRS, *OURS, *HINTED), (8, 20, 32, 12, 20, 20), strict=True))


def install() -> Path:
    """torchdistill's own environment, with the torch that this project runs on; its Python."""
    import torch
    import torchvision

    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "installed"
    if not stamp.exists():
        note(f"Installing torchdistill into {ENVIRONMENT.name}: a few minutes the first time")
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        # pydantic is for this project's model definitions, which both programs build.
        wanted = [
            "torchdistill",
            "pydantic",
            f"torch=={torch.__version__.split('+')[0]}",
            f"torchvision=={torchvision.__version__.split('+')[0]}",
        ]
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True)
        stamp.touch()
    return python


def version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('torchdistill'))"
    return ran([python, "-c", code]).stdout.strip()


def start_theirs(python: Path, data: Path, folder: Path = WORK, **more: object) -> Program:
    """torchdistill's program; ``folder`` is for its images, ``more`` replaces what it is given."""
    arrays = ImageArrays.load(data)
    files = [folder / "images.npy", folder / "labels.npy"]
    np.save(files[0], arrays.train_images.numpy())
    np.save(files[1], arrays.train_labels.numpy())
    given = {
        "batch": BATCH,
        "mean": arrays.mean,
        "std": arrays.std,
        "teacher": RESNET56.model_dump(),
        "student": RESNET20.model_dump(),
        **more,
    }
    script = Path(__file__).with_name("torchdistill_program.py")
    paths = {"PYTHONPATH": str(ROOT / "src")}
    return Program([python, script, *files, json.dumps(given)], env=os.environ | paths)


def run(data: Path, rounds: int) -> tuple[dict[str, list[float]], str]:
    """Images a second of every program in every round, and torchdistill's version."""
    python = install()
    programs = {THEIRS: start_theirs(python, data)}
    for name in OURS | HINTED:
        command = [sys.executable, __file__, "--serve", name, "--prepared", str(data)]
        programs[name] = Program(command)
    sizes = {name: program.ready()["student"] for name, program in programs.items()}
    assert len(set(sizes.values())) == 1, f"the programs' students differ: {sizes}"
    for program in programs.values():
        program.run(3)
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds):
        for name, program in programs.items():
            rates[name].append(STEPS[name] * BATCH / program.run(STEPS[name]))
        line = "  ".join(f"{rates[name][-1]:.0f}" for name in programs)
        note(f"round {turn + 1}/{rounds}: {line} images/s")
    for program in programs.values():
        program.stop()
    return rates, version(python)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--serve", choices=OURS | HINTED, help="be one of the programs")
    parser.add_argument("--prepared", type=Path, help="prepared data, with --serve")
    args = parser.parse_args()
    if args.serve is not None:
        here = session(args.prepared, RESNET20, teacher=RESNET56, **(OURS | HINTED)[args.serve])
        serve(here, objective(here, WORK))
    take_one_core()
    data, name = prepared(args.data)
    rates, release = run(data, 2 if args.quick else 7)
    figures = [
        ratio(f"{name} / {THEIRS}", rates[name], rates[THEIRS], unit="×", goal=GOALS[name])
        for name in OURS
    ]
    figures += [
        ratio(f"{name} / without", rates[name], rates[name.removesuffix(", hints")], unit="×")
        for name in HINTED
    ]
    figures += [Figure.of(name, measured, "images/s") for name, measured in rates.items()]
    notes = [
        f"torchdistill {release} in float32, its only format here, without worker processes",
        "stored: without the time to make the responses, which is spent once for all students",
    ]
    title = "Distillation step, resnet56 to resnet20, batch 128, 1 thread"
    finish(Part("step", title, figures, notes, name), args.to)


if __name__ == "__main__":
    main()
