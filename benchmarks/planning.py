"""What the workflow adds to Snakemake's own time for planning.

`snakemake -n` on a configuration of 1,000 and of 10,000 trainings, against a plain Snakefile whose
DAG has the same files, rules of the same kind and nothing from this project. In turns.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, Figure, Part, arguments, finish, note, ran

GOALS = {1_000: 2.0, 10_000: 10.0}
# Trainings in a seed: a teacher, an assistant, and variants of a student.
IN_A_SEED = 100

# The same shape: first models and switches, each with three files, a log and a benchmark, the
# folder above as input; then two jobs that take all data and all models.
PLAIN = r"""
import os

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
ENDS = [
    f"results/plain/digits/seed{seed}/teacher/assistant@kd/student@kd-soft{variant}"
    for seed in range(SEEDS)
    for variant in range(VARIANTS)
]


wildcard_constraints:
    branch=r"seed\d+",


rule all:
    input:
        "results/plain/summary.md",
        [f"{end}/outputs.txt" for end in ENDS],


rule prepare:
    output:
        "results/plain/digits/data.txt",
    log:
        "results/plain/digits/data.log",
    benchmark:
        "results/plain/digits/data.benchmark.tsv"
    shell:
        "touch {output:q}"


rule train:
    input:
        "results/plain/digits/data.txt",
    output:
        model="results/plain/digits/{branch}/{lineage}/model.txt",
        history="results/plain/digits/{branch}/{lineage}/history.txt",
        outputs="results/plain/digits/{branch}/{lineage}/outputs.txt",
    log:
        "results/plain/digits/{branch}/{lineage}/train.log",
    benchmark:
        "results/plain/digits/{branch}/{lineage}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=NAME,
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        job="a string",
    shell:
        "touch {output:q}"


rule switch:
    input:
        data="results/plain/digits/data.txt",
        teacher=lambda w: os.path.dirname(f"results/plain/digits/{w.branch}/{w.lineage}")
        + "/model.txt",
    output:
        model="results/plain/digits/{branch}/{lineage}/model.txt",
        history="results/plain/digits/{branch}/{lineage}/history.txt",
        outputs="results/plain/digits/{branch}/{lineage}/outputs.txt",
    log:
        "results/plain/digits/{branch}/{lineage}/train.log",
    benchmark:
        "results/plain/digits/{branch}/{lineage}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=f"{NAME}(?:/{NAME}@{NAME})+",
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        job="a string",
    shell:
        "touch {output:q}"


rule measure:
    input:
        "results/plain/digits/data.txt",
    output:
        "results/plain/digits/models.txt",
    shell:
        "touch {output:q}"


rule report:
    input:
        "results/plain/digits/models.txt",
        [f"{end}/outputs.txt" for end in ENDS],
    output:
        "results/plain/summary.md",
    shell:
        "touch {output:q}"
"""


def configuration(trainings: int) -> dict:
    """An experiment of that many trainings: seeds times (a teacher, an assistant, variants)."""
    variants = IN_A_SEED - 2
    values = [round(0.001 * number, 3) for number in range(1, variants + 1)]
    return {
        "name": "planned",
        "data": {"source": "digits", "validation": 0.15},
        "models": {
            "teacher": {"family": "plain", "stages": [[8], [16]]},
            "assistant": {"family": "plain", "stages": [[6], [12]]},
            "student": {"family": "plain", "stages": [[4], [8]]},
        },
        "transfers": {"kd": {"soft": 0.5}},
        "sweeps": {"rules": {"chain": "teacher/assistant@kd/student@kd", "over": {"soft": values}}},
        "seeds": list(range(trainings // IN_A_SEED)),
    }


def plain(trainings: int) -> str:
    """The Snakefile of a DAG of the same shape."""
    head = f"SEEDS, VARIANTS = {trainings // IN_A_SEED}, {IN_A_SEED - 2}\n"
    return head + PLAIN


def dry_run(folder: Path, *options: str) -> dict[str, float]:
    """Seconds, processor seconds and jobs of a dry run."""
    command = [sys.executable, "-m", "snakemake", "-n", "--directory", str(folder), *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = ran(command, cwd=folder, check=False)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": seconds, "processor": processor, "jobs": jobs(done.stdout + done.stderr)}


def jobs(output: str) -> int:
    """The number of jobs in the table that a dry run ends with."""
    totals = [line.split()[1] for line in output.splitlines() if line.startswith("total ")]
    return int(totals[-1]) if totals else 0


def compare(trainings: int, rounds: int, scratch: Path) -> tuple[list[dict], list[dict]]:
    """Dry runs of this workflow and of the plain one, in turns."""
    folders = {name: scratch / f"{name}{trainings}" for name in ("ours", "plain")}
    for folder in folders.values():
        folder.mkdir()
    configfile = folders["ours"] / "config.json"
    configfile.write_text(json.dumps(configuration(trainings)), encoding="utf-8")
    snakefile = folders["plain"] / "Snakefile"
    snakefile.write_text(plain(trainings), encoding="utf-8")
    # The same settings for both, whatever profile would be found from here.
    os.environ.pop("SNAKEMAKE_PROFILE", None)
    ours = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", str(configfile))
    theirs = ("--snakefile", str(snakefile))
    dry_run(folders["ours"], *ours)  # builds every model once, and remembers that
    pairs = []
    for turn in range(rounds):
        pair = dry_run(folders["ours"], *ours), dry_run(folders["plain"], *theirs)
        note(
            f"{trainings:,} trainings, round {turn + 1}/{rounds}: "
            f"{pair[0]['wall']:.1f} s and {pair[1]['wall']:.1f} s, processor "
            f"{pair[0]['processor']:.1f} s and {pair[1]['processor']:.1f} s"
        )
        pairs.append(pair)
    for folder in folders.values():
        shutil.rmtree(folder)
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main() -> None:
    args = arguments(__doc__).parse_args()
    figures, counts = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for trainings, goal in GOALS.items():
            rounds = 1 if args.quick else 3 if trainings > 1_000 else 5
            ours, theirs = compare(trainings, rounds, Path(scratch))
            for clock in ("wall", "processor"):
                added = [a[clock] - b[clock] for a, b in zip(ours, theirs, strict=True)]
                wall = clock == "wall"
                name = f"{trainings:,} trainings, " + ("added" if wall else "processor time")
                options = {"goal": goal, "below": True} if wall else {}
                figures.append(Figure.of(name, added, "s", **options))
            for name, runs in (("with this workflow", ours), ("plain Snakefile", theirs)):
                figures.append(
                    Figure.of(f"{trainings:,}, {name}", [run["wall"] for run in runs], "s")
                )
            counts.append(f"{ours[0]['jobs']:.0f} and {theirs[0]['jobs']:.0f}")
    notes = [f"jobs with this workflow and plain: {'; '.join(counts)}"]
    title = "Planning, `snakemake -n`, added to a plain DAG of the same size"
    finish(Part("planning", title, figures, notes), args.to)


if __name__ == "__main__":
    main()
