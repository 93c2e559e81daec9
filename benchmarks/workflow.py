"""What the workflow costs: the time of `make demo` that is not inside training or evaluation.

The demo runs in a copy of the project, so that all of it is done. Its cores' time (wall time times
cores) is then divided up by what Snakemake's benchmark files and the trainings' passports say.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from measure import ROOT, Figure, Part, arguments, finish, note, ran

from modelswitch.storage.artifacts import read_passport

GOAL = 15.0
CORES = 2
INSIDE = ("training", "validation in training", "evaluation")

Interval = tuple[float, float]


@dataclass
class Job:
    """One job that Snakemake ran: what it was for, when, and the time inside training."""

    kind: str
    start: float
    end: float
    threads: int = 1
    inside: dict[str, float] | None = None
    training: Interval | None = None

    @property
    def seconds(self) -> float:
        return self.end - self.start


# Name of a benchmark file to what the job did.
_KINDS = {
    "data": "preparing data",
    "hint": "training",
    "train": "training",
    "responses": "storing teachers' responses",
    "degraded": "evaluation on degraded images",
    "models": "measuring sizes and latency",
    "report": "tables, figures, page",
    "selection": "tables, figures, page",
    "contact_sheet": "tables, figures, page",
}


def job_of(benchmark: Path) -> Job:
    """What a benchmark file says; it is written when the job has ended."""
    with benchmark.open(newline="", encoding="utf-8") as lines:
        row = next(csv.DictReader(lines, delimiter="\t"))
    end = benchmark.stat().st_mtime
    name = benchmark.name.removesuffix(".benchmark.tsv")
    # The measurement of latency asks for all cores.
    threads = CORES if name == "models" else 1
    job = Job(_KINDS.get(name, name), end - float(row["s"]), end, threads)
    if job.kind == "training":
        add_inside(job, benchmark.parent, name)
    elif name == "degraded":
        # Evaluation, as its log says how long: "22 sets in 1.3 s".
        seconds = float(re.findall(r"sets in ([\d.]+) s", log_of(benchmark))[-1])
        job.inside, job.training = {"evaluation": seconds}, (end - seconds, end)
    return job


def log_of(benchmark: Path) -> str:
    return benchmark.with_name(benchmark.name.replace(".benchmark.tsv", ".log")).read_text(
        encoding="utf-8"
    )


def add_inside(job: Job, folder: Path, name: str) -> None:
    """How much of a training job is inside training and evaluation."""
    history = folder / ("hint_history.csv" if name == "hint" else "history.csv")
    with history.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    validated = sum(float(row.get("validation_seconds") or 0) for row in rows)
    trained = sum(float(row["seconds"]) for row in rows)
    job.inside = {"training": trained, "validation in training": validated}
    outputs = folder / "outputs.safetensors"
    if name == "train" and outputs.exists():
        job.inside["evaluation"] = read_passport(outputs)["evaluation_seconds"]
        end = outputs.stat().st_mtime
    else:
        end = history.stat().st_mtime
    job.training = (end - sum(job.inside.values()), end)


def covered(intervals: Iterable[Interval]) -> float:
    """The length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def account(jobs: list[Job], calls: list[tuple[str, float, float]], cores: int) -> dict[str, float]:
    """Where the core-seconds between the first call's start and the last one's end went.

    Args:
        calls: program (`snakemake` or `python`), start and end of every command of the demo.
    """
    spent: dict[str, float] = defaultdict(float)
    for program, start, end in calls:
        own = [job for job in jobs if start <= job.end <= end + 1 and program == "snakemake"]
        if not own:
            spent["printing results" if program == "python" else "snakemake without jobs"] += (
                end - start
            ) * cores
            continue
        first, last = min(job.start for job in own), max(job.end for job in own)
        spent["snakemake starts and plans"] += max(0.0, first - start) * cores
        spent["snakemake ends"] += max(0.0, end - last) * cores
        busy = sum(job.seconds * job.threads for job in own)
        spent["no job for a core"] += (last - first) * cores - busy
        for job in own:
            if job.inside is None:
                spent[job.kind] += job.seconds * job.threads
                continue
            for part, seconds in job.inside.items():
                spent[part] += seconds * job.threads
            rest = job.seconds - sum(job.inside.values())
            spent[f"{job.kind}: start, imports, files"] += rest * job.threads
    total = (calls[-1][2] - calls[0][1]) * cores
    spent["between commands"] += total - sum(spent.values())
    return dict(spent)


# --- running the demo -----------------------------------------------------------------------

# Notes start and end of the commands that the demo calls.
_SHIM = """#!/bin/sh
start=$(date +%s.%N)
"{program}" "$@"
status=$?
echo "{name} $start $(date +%s.%N)" >> "{log}"
exit $status
"""


def run_demo(folder: Path) -> list[tuple[str, float, float]]:
    """Run the demo in a copy of the project in ``folder``; its commands with start and end."""
    listed = ran(["git", "ls-files", "-z"], cwd=ROOT)
    for name in listed.stdout.split("\0"):
        if name and not name.startswith("results/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    shims, log = folder / "shims", folder / "calls.log"
    shims.mkdir()
    for name in ("snakemake", "python"):
        real = Path(sys.executable).with_name(name)
        (shims / name).write_text(_SHIM.format(program=real, name=name, log=log), encoding="utf-8")
        (shims / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "CORES": str(CORES),
    }
    with (folder / "demo.log").open("w", encoding="utf-8") as output:
        done = subprocess.run(
            ["sh", "workflow/demo.sh"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError((folder / "demo.log").read_text(encoding="utf-8")[-3000:])
    calls = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    return [(name, float(start), float(end)) for name, start, end in calls]


def start_up(rounds: int) -> list[Figure]:
    """Seconds that programs take before they do anything."""
    snippets = {
        "Python alone": "pass",
        "import torch": "import torch",
        "import modelswitch.jobs.fit": "import modelswitch.jobs.fit",
        "the same and a first optimiser": "import torch, modelswitch.jobs.fit\n"
        "from modelswitch.training.optimizer import make_optimizer\n"
        "from modelswitch.config.training import Training\n"
        "model = torch.nn.Linear(1, 1)\n"
        "optimizer = make_optimizer(model, Training())\n"
        "model(torch.zeros(1, 1)).sum().backward(); optimizer.step(); optimizer.zero_grad()",
        "import modelswitch.report.write": "import modelswitch.report.write",
        "import snakemake.cli": "import snakemake.cli",
        "import modelswitch.config.experiment": "import modelswitch.config.experiment",
    }
    figures = []
    for name, code in snippets.items():
        measured = []
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            measured.append(time.perf_counter() - start)
        figures.append(Figure.of(f"start-up: {name}", measured, "s"))
    return figures


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the demo, kept for another look")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "calls.log").exists():
            calls = [
                line.split()
                for line in (folder / "calls.log").read_text(encoding="utf-8").splitlines()
            ]
            calls = [(name, float(start), float(end)) for name, start, end in calls]
        else:
            note("runs the demo: some minutes")
            calls = run_demo(folder)
        jobs = [job_of(path) for path in sorted(folder.glob("results/**/*.benchmark.tsv"))]
    wall = calls[-1][2] - calls[0][1]
    spent = account(jobs, calls, CORES)
    total = wall * CORES
    outside = 100 * (total - sum(spent.get(part, 0.0) for part in INSIDE)) / total
    idle = 100 * (1 - covered(job.training for job in jobs if job.training) / wall)
    figures = [
        Figure("cores' time not inside", outside, "%", goal=GOAL, below=True),
        Figure("wall time with no core inside", idle, "%", goal=GOAL, below=True),
        Figure("wall time of the demo", wall, "s"),
    ]
    for part, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        figures.append(Figure(f"cores: {part}", 100 * seconds / total, "%"))
    trained = [job for job in jobs if job.kind == "training"]
    rest = [job.seconds - sum(job.inside.values()) for job in trained]
    figures += [
        Figure.of("a training job, whole", [job.seconds for job in trained], "s"),
        Figure.of("a training job, outside", rest, "s"),
        *start_up(1 if args.quick else 5),
    ]
    median = statistics.median(sum(job.inside.values()) for job in trained)
    notes = [
        f"{len(jobs)} jobs, {len(trained)} of them train, {median:.1f} s each inside (median)",
        "inside: epochs and answers of validation and test images, where jobs record them;",
        "cores' time: wall time times 2 cores, so a core without a job is time outside",
    ]
    title = "Workflow: the share of `make demo` not inside training or evaluation"
    finish(Part("workflow", title, figures, notes), args.to)


if __name__ == "__main__":
    main()
