"""Two trainings side by side with a thread each, against one training with two threads.

What decides the default of `resources.threads`. The programs take turns on the same two cores.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from contestants import BATCH, LARGE, SMALL, objective, serve, session
from measure import WORK, Figure, Part, arguments, finish, note, prepared, ratio
from pacing import Program

MODELS = {"student": SMALL, "teacher": LARGE}
# Steps a turn: some seconds each.
STEPS = {"student": 24, "teacher": 8}


def program(name: str, threads: int, data: Path) -> Program:
    command = [sys.executable, __file__, "--serve", name, "--threads", str(threads)]
    return Program([*command, "--prepared", str(data)])


def together(programs: list[Program], steps: int) -> float:
    """Images a second of programs that run at the same time, all of them together."""
    for each in programs:
        each.start(steps)
    return sum(BATCH * steps / each.seconds() for each in programs)


def compare(name: str, data: Path, rounds: int) -> tuple[list[float], list[float], int]:
    """Images a second side by side and with two threads, and the model's parameters."""
    pair = [program(name, 1, data), program(name, 1, data)]
    alone = [program(name, 2, data)]
    size = [each.ready()["student"] for each in (*pair, *alone)][-1]
    for programs in (pair, alone):
        together(programs, 3)
    both, one = [], []
    for _ in range(rounds):
        both.append(together(pair, STEPS[name]))
        one.append(together(alone, STEPS[name]))
    for each in pair + alone:
        each.stop()
    note(f"{name}: {both[-1]:.0f} images/s side by side, {one[-1]:.0f} with two threads")
    return both, one, size


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--serve", choices=MODELS, help="be one of the programs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prepared", type=Path)
    args = parser.parse_args()
    if args.serve is not None:
        here = session(args.prepared, MODELS[args.serve], threads=args.threads)
        serve(here, objective(here, WORK))
    data, name = prepared(args.data)
    figures: list[Figure] = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Threads that wait for each other on one core would take minutes and say nothing.
    for model in MODELS if cores > 1 else ():
        both, one, size = compare(model, data, 2 if args.quick else 7)
        figures += [
            ratio(f"{model} ({size:,}), gain", both, one, unit="×", goal=1.0),
            Figure.of(f"{model}, 2 jobs with 1 thread", both, "images/s"),
            Figure.of(f"{model}, 1 job with 2 threads", one, "images/s"),
        ]
    notes = ["a gain above 1 speaks for resources.threads = 1, the default"]
    if not figures:
        notes = ["not measured: this process may use one core only"]
    title = "Two jobs side by side against one job with two threads"
    finish(Part("pairs", title, figures, notes, name), args.to)


if __name__ == "__main__":
    main()
