"""What the workflow itself costs: an experiment of many trainings, each of which does nothing.

A copy of the workflow in a temporary folder, in which every script is a stub that writes empty
files: the rules, the plan, the scheduler, the shells and the logs are the real ones.

    python benchmarks/many_trainings.py
    python tests/slurm_cluster.py python benchmarks/many_trainings.py --trainings 20 --slurm
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
STUB = '''"""Writes what it is told to write, and nothing into it."""

import sys
from pathlib import Path

WRITES = {"model", "history", "outputs"} if "--job" in sys.argv else {"data"}
for option, value in zip(sys.argv, sys.argv[1:]):
    if option.removeprefix("--") in WRITES:
        Path(value).touch()
        if option == "--data":
            Path(value).with_name("checksum.json").touch()
            Path(value).with_name("source.json").touch()
'''
# Four trainings for each seed, in three generations.
EACH_SEED = 4
EXPERIMENT = {
    "name": "many",
    "data": {"source": "digits"},
    "models": {
        name: {"family": "plain", "stages": [[width]]}
        for name, width in {"teacher": 16, "assistant": 8, "student": 4}.items()
    },
    "transfers": {"kd": {}},
    "chains": {"chain": "teacher/assistant@kd/student@kd", "direct": "teacher/student@kd"},
    "resources": {"gpu": 0, "mem_mb": 500},
}
SLURM = (
    *("--profile", "profiles/slurm", "--slurm-no-account", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "10"),
)


class Cost(NamedTuple):
    """Wall time and processor time in seconds, peak memory of the largest process in MiB."""

    wall: float
    processor: float
    memory: float


def workflow(folder: Path, trainings: int) -> None:
    """The workflow with stubs, and its configuration, in ``folder``."""
    for name in ("rules", "workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    for script in (folder / "workflow" / "scripts").glob("*.py"):
        script.write_text(STUB, encoding="utf-8")
    seeds = list(range(trainings // EACH_SEED))
    (folder / "many.json").write_text(json.dumps(EXPERIMENT | {"seeds": seeds}), encoding="utf-8")


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run Snakemake in ``folder`` to its end; raises where it fails."""
    command = [sys.executable, "-m", "snakemake", "models", "--configfile", "many.json"]
    with (folder / "said").open("w", encoding="utf-8") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [*command, *arguments], cwd=folder, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    if status:
        raise SystemExit((folder / "said").read_text(encoding="utf-8")[-3000:])
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=1000, help=f"a multiple of {EACH_SEED}")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--slurm", action="store_true", help="submit to the SLURM that is found")
    args = parser.parse_args()
    if args.trainings % EACH_SEED or args.trainings < EACH_SEED:
        parser.error(f"--trainings: found {args.trainings}; allowed: multiples of {EACH_SEED}")
    where = SLURM if args.slurm else ("--cores", str(args.cores))
    with tempfile.TemporaryDirectory(prefix="modelswitch-many-") as name:
        folder = Path(name)
        workflow(folder, args.trainings)
        # The first plan also checks that the models can be built; that is remembered.
        snakemake(folder, "--dry-run", "--quiet", "all")
        steps = {
            "plan (dry run)": snakemake(folder, "--dry-run", "--quiet", "all"),
            "run": snakemake(folder, "--quiet", "all", *where),
            "run again, nothing to do": snakemake(folder, "--quiet", "all", *where),
        }
        written = len(list(folder.glob("results/**/model.safetensors")))
    if written != args.trainings:
        raise SystemExit(f"{written} models were written, {args.trainings} were expected")
    place = "SLURM" if args.slurm else f"{args.cores} cores"
    print(f"{args.trainings} trainings of no length, {place}\n")
    print("| step | wall time | a training | processor time | peak memory |")
    print("|---|---|---|---|---|")
    for step, cost in steps.items():
        each = 1000 * cost.wall / args.trainings
        print(
            f"| {step} | {cost.wall:.1f} s | {each:.0f} ms | {cost.processor:.0f} s "
            f"| {cost.memory:.0f} MiB |"
        )


if __name__ == "__main__":
    main()
