"""The training loop against its own floor.

The loop with everything that it does (views made from the stored images, objective, optimiser,
schedule, checks, history) against forward, backward and optimiser step on one fixed batch, the
two taking turns in one process on one core.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from contestants import BATCH, LARGE, SMALL, Session, objective, parameters, session
from measure import WORK, Figure, Part, arguments, finish, note, prepared, ratio, take_one_core
from torch import nn

from modelswitch.jobs.fit import fit
from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer

SECONDS = 3.0
GOAL = 95.0


class Enough(Exception):
    """All rounds have been measured."""


class Bare:
    """Forward, backward and step on one batch, with the loop's number format and optimiser."""

    def __init__(self, here: Session, model: nn.Module) -> None:
        views = here.views("bare", here.job.training)
        batch = next(iter(views.epoch(0)))
        self._images, self._labels = batch.images, batch.labels
        self._model, self._device = model, here.device
        self._dtype = precision.dtype_for(here.job.training.precision, here.device)
        self._optimizer = make_optimizer(model, here.job.training)

    def __call__(self, steps: int) -> None:
        self._model.train()
        for _ in range(steps):
            with precision.autocast(self._device, self._dtype):
                loss = F.cross_entropy(self._model(self._images).float(), self._labels)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()


def seconds(run: Any, steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def against_floor(here: Session, rounds: int) -> tuple[list[float], list[float], int]:
    """Images a second of the loop and of the bare steps in every round, and the model's size."""
    trained = objective(here, WORK)
    bare = Bare(here, here.new_model())
    bare(2)
    steps = max(8, round(SECONDS / (seconds(bare, 4) / 4)))
    loop: list[float] = []
    floor: list[float] = []

    def turns(batches: Iterator[Any], length: int) -> Iterator[Any]:
        """Batches in windows; between two, the bare steps have their turn."""
        batches = iter(batches)
        if length < steps:
            raise RuntimeError(f"an epoch of {length} steps is shorter than a turn of {steps}")
        while True:
            start = time.perf_counter()
            for _ in range(steps):
                batch = next(batches, None)
                if batch is None:
                    return  # the next epoch begins a new window; this one is not counted
                yield batch
            loop.append(BATCH * steps / (time.perf_counter() - start))
            floor.append(BATCH * steps / seconds(bare, steps))
            trained.train()
            # The first of each warms up.
            if len(loop) > rounds:
                raise Enough

    here.wrap = turns
    with contextlib.suppress(Enough):
        fit(here, trained, trained.student, "train", here.job.training, validates=False)
    return loop[1:], floor[1:], parameters(trained.student)


def cases(data: Path) -> dict[str, Session]:
    return {
        "student, labels": session(data, SMALL),
        "student, stored responses": session(data, SMALL, teacher=LARGE, stored=True),
        "teacher, labels": session(data, LARGE),
    }


def main() -> None:
    args = arguments(__doc__).parse_args()
    take_one_core()
    data, name = prepared(args.data)
    figures, rates = [], []
    for case, here in cases(data).items():
        loop, floor, size = against_floor(here, 3 if args.quick else 9)
        share = ratio(f"{case} ({size:,} parameters)", loop, floor, unit="%", goal=GOAL)
        share.value, share.low, share.high = (
            100 * part for part in (share.value, share.low, share.high)
        )
        note(f"{case}: {share.measured_text} of the floor")
        figures.append(share)
        rates += [
            Figure.of(f"{case}, loop", loop, "images/s"),
            Figure.of(f"{case}, floor", floor, "images/s"),
        ]
    dtype = precision.dtype_for("auto", torch.device("cpu"))
    notes = [f"{str(dtype).removeprefix('torch.')}, batch {BATCH}, 1 thread"]
    title = "Training loop, share of a bare forward-backward-step"
    finish(Part("loop", title, figures + rates, notes, name), args.to)


if __name__ == "__main__":
    main()
