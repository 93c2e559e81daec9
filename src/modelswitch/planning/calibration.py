"""How many threads a training should have here, and whether on cores of its own: measured.

Trainings beside each other share memory and caches, so they are measured as they would run: as many
at a time as the cores allow, each in a process of its own. What counts is the images a second of
all of them together.
"""

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import torch

from modelswitch.config.architecture import Architecture
from modelswitch.config.experiment import Experiment
from modelswitch.config.training import Training
from modelswitch.data.shapes import DataSize
from modelswitch.execution.cores import FILE, Choice, machine, nodes
from modelswitch.models.designs import Designs, model_costs
from modelswitch.planning.speed import model_step
from modelswitch.storage import cache_folder

SECONDS = 4.0
# What more threads, or cores of its own, have to bring: less may be chance.
WORTH = 1.03
Case = tuple[int, bool]  # threads, and whether each training has cores of its own


def cases(cores: list[list[int]]) -> list[Case]:
    """What is worth trying with cores by memory node: powers of two and all cores of a node; cores
    of its own only where there is more than one training to be kept apart."""
    largest = max(map(len, cores))
    counts = [2**n for n in range(largest.bit_length()) if 2**n < largest] + [largest]
    total = sum(map(len, cores))
    return [(n, own) for n in counts for own in (False, True) if not own or total // n > 1]


def places(cores: list[list[int]], threads: int) -> list[list[int]]:
    """The cores of each training where each has its own, none across nodes."""
    return [
        part[start : start + threads]
        for part in cores
        for start in range(0, len(part) - threads + 1, threads)
    ]


def best(rates: list[tuple[int, bool, float]]) -> Choice:
    """The fastest; of those that are nearly as fast the one with the fewest threads, not pinned."""
    most = max(rate for _, _, rate in rates)
    threads, own, _ = min(case for case in rates if case[2] * WORTH >= most)
    return Choice(threads, own, rates)


def measured(
    spec: Architecture, size: DataSize, training: Training, report: Callable[[str], None]
) -> Choice:
    """The fastest number of threads for trainings of one model on the processor of this machine."""
    cores = nodes()
    rates = []
    for threads, own in cases(cores):
        parts = places(cores, threads)
        if not own:
            everything = [core for part in cores for core in part]
            parts = [everything] * max(1, len(everything) // threads)
        rate = training.batch * sum(_beside_each_other(spec, size, training, threads, parts))
        kind = " on cores of their own" if own else ""
        trainings = f"{len(parts)} training{'s' * (len(parts) > 1)}"
        report(f"{trainings} with {threads} threads{kind}: {rate:,.0f} images a second")
        rates.append((threads, own, rate))
    return best(rates)


def remember(choice: Choice) -> None:
    """Keep what was measured on this machine, beside what is known of others."""
    path = cache_folder.FOLDER / FILE
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = json.dumps(stored | {machine(): dataclasses.asdict(choice)}, indent=1)
    cache_folder.write(path, text + "\n")


def costliest(experiment: Experiment, size: DataSize) -> tuple[str, Architecture, Training]:
    """The trained model with the most multiply-accumulates: its name, itself, its training."""
    costs = model_costs(experiment, size.shape, size.classes)
    designs = Designs(experiment, size.shape, size.classes)
    trained = {step.model: step for lineage in experiment.all_lineages for step in lineage.steps}
    known = [name for name in costs if name in trained]
    name = max(known, key=lambda each: costs[each].macs)
    return name, designs.of(name), experiment.training_of(trained[name])


def _beside_each_other(
    spec: Architecture, size: DataSize, training: Training, threads: int, parts: list[list[int]]
) -> Iterator[float]:
    """Steps a second of each of the processes."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for part in parts:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_steps, args=(theirs, spec, size, training, threads, part), daemon=True
        )
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()  # it has warmed up
    for pipe in pipes:
        pipe.send(SECONDS)
    yield from [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()


def _steps(
    pipe: Connection,
    spec: Architecture,
    size: DataSize,
    training: Training,
    threads: int,
    cores: list[int],
) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)
    step = model_step(spec, size, training, training.batch, torch.device("cpu"))
    step()
    step()
    pipe.send(None)
    seconds = pipe.recv()
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        step()
        done += 1
    pipe.send(done / (time.perf_counter() - begun))
