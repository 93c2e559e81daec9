"""A step of training with every kind of view against crop and flip alone.

All in one process on one core, taking turns: the same small student on labels, in the loop's number
format, with batches made by this project's views. What an epoch's views are is drawn at its
beginning; each step has its part of that. Processor time is measured, so that a machine that does
something else beside says nearly the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from contestants import BATCH, SMALL, Session, objective, session
from measure import WORK, Figure, Part, arguments, finish, note, prepared, ratio, take_one_core

from modelswitch.config.augment import Augmentation
from modelswitch.data.views import Batch, Views
from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer, set_rate

PLAIN = "crop and flip"
CASES = {
    PLAIN: {},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "erasing": {"erasing": {}},
    "resized crop": {"random_resized_crop": {}},
    "colour": {"colour": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}},
    "rand_augment": {"rand_augment": {}},
    "trivial_augment": {"trivial_augment": True},
}
# A tenth more time is 1 / 1.1 of the speed.
GOAL = 90.9
GOALS = ("mixup", "cutmix", "erasing")


class Steps:
    """Steps of one model on the batches of one kind of view.

    Args:
        clock: seconds, of which there are more when what was asked for has been done.
    """

    def __init__(
        self,
        here: Session,
        trained: torch.nn.Module,
        settings: dict,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        job = here.job.model_copy(update={"augmentation": Augmentation(**settings)})
        here.job = job
        self._views: Views = here.views("bench", job.training)
        self._trained, self._device = trained, here.device
        self._dtype = precision.dtype_for(job.training.precision, here.device)
        self._optimizer = make_optimizer(trained, job.training)
        set_rate(self._optimizer, 1e-3)
        self._clock = clock
        start = clock()
        self._views.parameters(0)
        self.drawing = (clock() - start) / self._views.steps
        self._batches = self._endless()

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._views.epoch(0)

    def batches(self, count: int) -> float:
        """Seconds a batch, of making ``count`` of them."""
        next(self._batches)
        start = self._clock()
        for _ in range(count):
            next(self._batches)
        return (self._clock() - start) / count + self.drawing

    def steps(self, count: int) -> float:
        """Seconds a step, of ``count``."""
        self._trained.train()
        start = self._clock()
        for _ in range(count):
            batch = next(self._batches)
            with precision.autocast(self._device, self._dtype):
                loss = self._trained(batch)["loss"]
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        return (self._clock() - start) / count + self.drawing


def run(data: Path, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Images a second of steps, and milliseconds a batch, of every kind of view in every round."""
    here = session(data, SMALL)
    trained = objective(here, WORK)
    kinds = {name: Steps(here, trained, settings) for name, settings in CASES.items()}
    for kind in kinds.values():
        kind.steps(2)
    count = max(3, round(1.0 / kinds[PLAIN].steps(3)))
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    making: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds):
        for name, kind in kinds.items():
            rates[name].append(BATCH / kind.steps(count))
            making[name].append(1000 * kind.batches(count))
        line = "  ".join(f"{rates[name][-1]:.0f}" for name in kinds)
        note(f"round {turn + 1}/{rounds}: {line} images/s")
    return rates, making


def main() -> None:
    args = arguments(__doc__).parse_args()
    take_one_core()
    data, name = prepared(args.data)
    rates, making = run(data, 3 if args.quick else 11)
    figures = []
    for kind in CASES:
        if kind != PLAIN:
            goal = GOAL if kind in GOALS else None
            share = ratio(f"{kind} / {PLAIN}", rates[kind], rates[PLAIN], unit="%", goal=goal)
            share.value, share.low, share.high = (
                100 * part for part in (share.value, share.low, share.high)
            )
            figures.append(share)
    figures += [Figure.of(f"{kind}, steps", rates[kind], "images/s") for kind in CASES]
    figures += [Figure.of(f"{kind}, a batch of views", making[kind], "ms") for kind in CASES]
    dtype = precision.dtype_for("auto", torch.device("cpu"))
    notes = [
        f"{str(dtype).removeprefix('torch.')}, batch {BATCH}, 1 thread, 68,778 parameters: where "
        "the model is larger, views weigh less",
        "processor time, with the step's part of drawing an epoch's views",
    ]
    title = "Views, speed of a step against crop and flip"
    finish(Part("views", title, figures, notes, name), args.to)


if __name__ == "__main__":
    main()
