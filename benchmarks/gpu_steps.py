"""Speed of a step on the device (parts `steps` and `loading` of `gpu.py`).

Programs that are compared are processes of their own, which take turns. A turn ends when the device
has done what it was told to.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from contestants import Session, objective, parameters, serve, session, settled
from gpu_setting import Setting, Told, best_format
from measure import WORK, Figure, prepared, ratio
from pacing import Program, Turn
from step import ENVIRONMENT, start_theirs
from views import Steps

from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer

# More epochs than any benchmark comes to.
EPOCHS = 10_000
OURS = {
    "live teacher": {"teacher": True},
    "stored responses": {"teacher": True, "stored": True},
}
BARE = {"bare, live teacher": True, "bare, no teacher": False}
# The bare steps that have the same work.
FLOORS = dict(zip(OURS, BARE, strict=True))
THEIRS = "torchdistill"
MOST_WORKERS = 8


def theirs() -> Path | None:
    """The Python that has torchdistill, if one has: `step.py`'s environment or this one."""
    if (ENVIRONMENT / "installed").exists():
        return ENVIRONMENT / "bin" / "python"
    return Path(sys.executable) if importlib.util.find_spec("torchdistill") else None


def data_for(setting: Setting, path: str) -> tuple[Path, str]:
    """The images of the steps: CIFAR-10 where it is there, few images in a smoke test."""
    if setting.pretended or setting.quick:
        return setting.data, "synthetic images, 32x32x3"
    return prepared(path)


def bare(here: Session, taught: bool) -> None:
    """Forward, backward and step on one batch that is there, when the standard input asks."""
    training, device = here.job.training, here.device
    batch = next(iter(here.views("bare", training).epoch(0)))
    student = here.new_model().train()
    teacher = here.untrained(here.job.teachers[0].model).eval().requires_grad_(False)
    optimizer = make_optimizer(student, training)
    dtype = precision.dtype_for(training.precision, device)
    print(json.dumps({"student": parameters(student)}), flush=True)
    turn = Turn(settled(device))
    while True:
        turn.step()
        with precision.autocast(device, dtype):
            logits = student(batch.images)
            loss = F.cross_entropy(logits.float(), batch.labels)
            if taught:
                with torch.no_grad():
                    soft = F.softmax(teacher(batch.images).float() / 4, dim=1)
                mine = F.log_softmax(logits.float() / 4, dim=1)
                loss = 0.1 * loss + 0.9 * 16 * F.kl_div(mine, soft, reduction="batchmean")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def started(setting: Setting, data: Path, batch: int, device: torch.device) -> dict[str, Program]:
    """All programs, in the order of their turns."""
    programs = {}
    for name in (*OURS, *BARE):
        command = [sys.executable, __file__, "--serve", name, "--prepared", str(data)]
        command += ["--batch", str(batch), "--device", str(device), "--folder", str(setting.folder)]
        programs[name] = Program(command + ["--pretend"] * setting.pretended)
    python = theirs()
    if python is None:
        return programs
    workers = 0 if setting.pretended else min(MOST_WORKERS, (os.cpu_count() or 2) - 1)
    for name, halved in ((f"{THEIRS}, float32", False), (f"{THEIRS}, bfloat16 autocast", True)):
        if halved and best_format(device) != "bfloat16":
            continue
        # Of its own: a file that a program has mapped must not be written again.
        folder = setting.folder / f"torchdistill-{batch}-{halved}"
        folder.mkdir(parents=True, exist_ok=True)
        programs[name] = start_theirs(
            python, data, folder,
            batch=batch, device=str(device), bfloat16=halved, workers=workers,
            teacher=setting.teacher.model_dump(), student=setting.student.model_dump(),
        )  # fmt: skip
    return programs


@contextlib.contextmanager
def ready(programs: dict[str, Program]) -> Iterator[None]:
    """Programs of one student, ended in the end."""
    sizes = {name: program.ready()["student"] for name, program in programs.items()}
    assert len(set(sizes.values())) == 1, f"the programs' students differ: {sizes}"
    yield
    for program in programs.values():
        program.stop()


def in_turns(programs: dict[str, Program], setting: Setting, batch: int) -> dict[str, list[float]]:
    """Images a second of every program in every round."""
    steps = {}
    for name, program in programs.items():
        program.run(2 if setting.pretended else 10)
        steps[name] = turn_length(program.run(4) / 4, setting.seconds)
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for _, (name, program) in itertools.product(range(setting.rounds), programs.items()):
        rates[name].append(steps[name] * batch / program.run(steps[name]))
    return rates


def turn_length(step: float, seconds: float) -> int:
    """Steps of a turn of about so many seconds; never less than two."""
    return max(2, round(seconds / step))


def compared(batch: int, rates: dict[str, list[float]]) -> list[Figure]:
    """This project's steps against torchdistill's and against the bare ones, then all speeds."""
    others = [name for name in rates if name.startswith(THEIRS)]
    figures = [
        ratio(f"batch {batch}: {name} / {other}", rates[name], rates[other], unit="×")
        for name in OURS
        for other in others
    ]
    for name, floor in FLOORS.items():
        percent = [100 * rate for rate in rates[name]]
        figures.append(ratio(f"batch {batch}: {name} / bare", percent, rates[floor], unit="%"))
    figures += [
        Figure.of(f"batch {batch}: {name}", measured, "images/s")
        for name, measured in rates.items()
    ]
    return figures


def steps(setting: Setting, told: Told, path: str) -> None:
    """Part 1: a distillation step."""
    data, told.part.data = data_for(setting, path)
    if theirs() is None:
        told.line(
            "torchdistill: not done, it is not installed; `python benchmarks/gpu.py --install` "
            "does that, beforehand"
        )
    with setting.device() as device:
        of = f"{setting.teacher.family} {setting.teacher.blocks} to {setting.student.blocks}"
        told.part.title = f"Distillation step, {best_format(device)}, {of}"
        for batch in setting.batches:
            programs = started(setting, data, batch, device)
            with ready(programs):
                told.figures(*compared(batch, in_turns(programs, setting, batch)))
    told.line("bare: forward, backward and step on one batch that is there, with the same teacher")
    told.line("stored: without the time to make the responses, which is spent once")


def loading(setting: Setting, told: Told, path: str) -> None:
    """Part 2: how much of a step is making its views, on the device, by this project."""
    data, told.part.data = data_for(setting, path)
    with setting.device() as device:
        settle = settled(device)

        def clock() -> float:
            settle()
            return time.perf_counter()

        for batch, (name, taught) in itertools.product(
            setting.batches, {"labels": False, "live teacher": True}.items()
        ):
            here = session(
                data, setting.student, teacher=setting.teacher if taught else None, batch=batch,
                device=str(device), epochs=EPOCHS,
            )  # fmt: skip
            kind = Steps(here, objective(here, WORK).to(device), {}, clock)
            kind.steps(3)
            count = turn_length(kind.steps(3), setting.seconds)
            pairs = [(kind.batches(count), kind.steps(count)) for _ in range(setting.rounds)]
            making, whole = (
                [1000 * each for each in column] for column in zip(*pairs, strict=True)
            )
            percent = [100 * each for each in making]
            told.figures(
                ratio(f"batch {batch}, {name}: views of a step", percent, whole, unit="%"),
                Figure.of(f"batch {batch}, {name}: views", making, "ms"),
                Figure.of(f"batch {batch}, {name}: step", whole, "ms"),
            )
    told.line("made one after another, each waited for; in a step some of it may overlap")


def main() -> None:
    """Be one of the programs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--serve", choices=(*OURS, *BARE), required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pretend", action="store_true")
    args = parser.parse_args()
    setting = Setting(args.folder, args.pretend, quick=False)
    here = session(
        args.prepared, setting.student, teacher=setting.teacher, epochs=EPOCHS, batch=args.batch,
        device=args.device, stored=OURS.get(args.serve, {}).get("stored", False),
    )  # fmt: skip
    if args.serve in BARE:
        bare(here, BARE[args.serve])
    serve(here, objective(here, args.folder))


if __name__ == "__main__":
    main()
