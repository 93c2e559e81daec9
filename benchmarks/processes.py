"""Trainings in two processes against the same in one: accuracy over seeds, and the first losses.

On the processor, with gloo and two pretended devices: what is compared is the result. Two processes
on two cores that one would fill are no faster, and nothing is said of GPUs.
"""

from __future__ import annotations

import csv
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, Figure, Part, arguments, finish, note, ran

from modelswitch.config.experiment import load
from modelswitch.config.job import Job
from modelswitch.execution.arithmetic import here
from modelswitch.graph import Graph
from modelswitch.models import metrics
from modelswitch.results.intervals import mean_interval
from modelswitch.storage import artifacts

SEEDS = (0, 1, 2)
EXPERIMENT = {
    "name": "processes",
    "data": {"source": "digits", "validation": 0.1, "augment": {"crop": 1, "flip": False}},
    "models": {
        "teacher": {"family": "plain", "stages": [[16], [32]]},
        "student": {"family": "resnet", "widths": [8, 16], "blocks": [1, 1]},
    },
    "transfers": {"kd": {"soft": 0.5}},
    "chains": {"chain": "teacher/student@kd"},
    "training": {"epochs": 12, "batch": 128, "precision": "float32"},
    "seeds": list(SEEDS),
}


def script(name: str, *words: object) -> None:
    program = ROOT / "workflow" / "scripts" / f"{name}.py"
    done = ran([sys.executable, program, *map(str, words)], check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")


def trained(job: Job, data: Path, folder: Path, processes: int, *more: object) -> tuple[float, ...]:
    """Test accuracy in per cent, the mean loss of the first epoch, and seconds in all."""
    files = [("model", "model.safetensors"), ("history", "history.csv"),
             ("outputs", "outputs.safetensors")]  # fmt: skip
    folder.mkdir(parents=True)
    start = time.perf_counter()
    script(
        "distil" if job.transfer else "train", "--job", job.canonical(), "--data", data,
        "--gpus", processes, *more,
        *(word for name, file in files for word in (f"--{name}", folder / file)),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    outputs, _ = artifacts.load(folder / "outputs.safetensors")
    with (folder / "history.csv").open(newline="", encoding="utf-8") as lines:
        loss = float(next(csv.DictReader(lines))["loss"])
    right = metrics.accuracy(outputs["test.logits"], outputs["test.labels"])
    return 100 * right, loss, seconds


def compared(name: str, found: dict[int, list[tuple[float, ...]]]) -> list[Figure]:
    """Accuracy of one and of two processes, how far they lie apart, and the first losses."""
    one, two = ([run[0] for run in found[count]] for count in (1, 2))
    interval = mean_interval(one)
    apart = abs(statistics.mean(two) - interval.mean)
    losses = [abs(a[1] - b[1]) for a, b in zip(found[1], found[2], strict=True)]
    half = round(interval.high - interval.mean, 3)
    return [
        Figure(f"{name}, accuracy, 1 process", interval.mean, "%", min(one), max(one)),
        Figure(f"{name}, accuracy, 2 processes", statistics.mean(two), "%", min(two), max(two)),
        Figure(f"{name}, points between the means", apart, goal=half, below=True),
        Figure(f"{name}, first epoch's loss, most apart", max(losses), goal=1e-4, below=True),
    ]


def main() -> None:
    args = arguments(__doc__).parse_args()
    changes = {"training": EXPERIMENT["training"] | {"epochs": 2}} if args.quick else {}
    graph = Graph(load(EXPERIMENT | changes))
    found: dict[str, dict[int, list[tuple[float, ...]]]] = {
        name: {1: [], 2: []} for name in ("teacher", "student")
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ |= {"MODELSWITCH_DEVICES": "0,1", "MODELSWITCH_LEASES": f"{scratch}/leases"}
        data = folder / "data.safetensors"
        script("prepare", "--spec", graph.experiment.data.canonical(), "--data", data)
        places = [place for place in graph.models() if place.branch.seed in SEEDS]
        for place in sorted(places, key=lambda place: len(place.lineage)):
            teacher = place.lineage.parent is None
            one = folder / "1" / str(place.branch) / "teacher" / "model.safetensors"
            for processes in (1, 2):
                own = folder / str(processes) / str(place.branch)
                more = () if teacher else ("--teachers", one)
                job = graph.train_job(place)
                name = "teacher" if teacher else "student"
                run = trained(job, data, own / name, processes, *more)
                found[name][processes].append(run)
                note(f"{place.branch} {name}, {processes}: {run[0]:.2f} %, {run[2]:.1f} s")
    figures = [figure for name in found for figure in compared(name, found[name])]
    notes = [
        "goal of the points: half the 95 % interval of one process's mean over three seeds",
        "students learn from the teacher that was trained in one process",
        f"float32; batch normalisation over the whole batch; gloo; {here()}, no GPU",
    ]
    title = "Training in two processes against one"
    finish(Part("processes", title, figures, notes, "scikit-learn's digits"), args.to)


if __name__ == "__main__":
    main()
