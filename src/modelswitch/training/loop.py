"""The one training loop. It knows batches and named loss terms, not what they mean."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from modelswitch.config.training import Training
from modelswitch.errors import UserError, naming
from modelswitch.randomness import global_streams, seed_global_streams, set_global_streams
from modelswitch.training import parallel, precision
from modelswitch.training.finite import FiniteState, Terms, checked
from modelswitch.training.optimizer import learning_rate, make_optimizer, set_rate
from modelswitch.training.result import Result
from modelswitch.training.resume import ResumeFiles, flatten, restore, restore_random
from modelswitch.training.steps import own_stream, steps_for

# How many losses are looked at together: each look makes a GPU wait for the host.
_CHECK_EVERY = 64
# Saves may take this much less than what is between them.
BETWEEN_SAVES = 50


class Batches(Protocol):
    """What gives the loop its batches; `modelswitch.data.views.Views` for images."""

    @property
    def steps(self) -> int: ...

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Any]: ...


@runtime_checkable
class CountsEpochs(Protocol):
    """An objective that wants to know which epoch it is in."""

    def start_epoch(self, epoch: int, resumed: bool) -> None: ...


class Interrupted(Exception):
    """A signal asked the training to stop, and its state has been saved."""

    def __init__(self, signum: int, epoch: int, step: int) -> None:
        name = signal.Signals(signum).name
        super().__init__(
            f"{name}: saved in epoch {epoch + 1} after step {step}; run again to go on"
        )
        self.exit_status = 128 + signum


@contextlib.contextmanager
def _signals_noted(heeded: bool = True) -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT append to instead of ending the process, if they are heeded
    here."""
    noted: list[int] = []
    if not heeded:
        yield noted
        return
    before = {}
    try:
        for signum in (signal.SIGTERM, signal.SIGINT):
            before[signum] = signal.signal(signum, lambda number, frame: noted.append(number))
    except ValueError:
        # Handlers can be set in the main thread only; elsewhere signals keep their meaning.
        pass
    try:
        yield noted
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def train(
    objective: nn.Module,
    batches: Batches,
    training: Training,
    *,
    device: torch.device,
    epoch_seed: Callable[[int], int],
    resume: ResumeFiles | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    report: Callable[[str], None] = lambda line: None,
    model: nn.Module | None = None,
    result: Result | None = None,
    until: int | None = None,
) -> list[dict[str, float]]:
    """Train ``objective`` and return one row of history an epoch.

    Inside `training.parallel.joined` it trains together with other processes; rank 0 alone then
    writes resume files, validates, reports and heeds signals.

    Args:
        objective: called with a batch, returns named scalar terms among which ``loss``; it may
            have ``start_epoch(epoch, resumed)``.
        batches: gives every epoch's batches.
        epoch_seed: seeds the global generators at the start of an epoch, so that dropout and the
            like depend on the epoch alone.
        resume: where to save the state at every epoch's end, unless epochs are so short that this
            would take more than a fiftieth of the time, and on SIGTERM; a state found there is gone
            on from, with the same result to the bit.
        validate: called after every epoch with the objective in eval mode; its figures join the
            row.
        report: called with a line an epoch.
        model: the one in ``objective`` that is trained; all of it by default. Its layers have the
            rates.
        result: the weights of it that the training is for; it has them in the end.
        until: the epoch after which the training ends, where it is cut short: it is to the bit the
            beginning of the whole one. ``resume`` may then hand its state on.

    Raises:
        UserError: a loss term, a weight, a buffer or an answer in eval mode is no finite number.
        Interrupted: SIGTERM or SIGINT; the state has been saved.
    """
    team = parallel.current()
    whole = team.wrapped(objective)
    dtype = precision.dtype_for(training.precision, device)
    optimizer = make_optimizer(objective, training, model)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    result = result or Result(objective if model is None else model, training)
    weights = FiniteState(objective)
    steps = batches.steps
    history: list[dict[str, float]] = []
    first_epoch = first_step = 0
    terms, spent = Terms(), 0.0

    def snapshot(epoch: int, step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        tensors = flatten(objective, optimizer) | result.tensors()
        if terms.sums is not None:
            tensors["terms"] = terms.sums
        state = {"epoch": epoch, "step": step, "history": history, "spent": spent}
        streams = {"streams": global_streams()} if step else {}
        return tensors, state | {"terms": terms.names} | streams

    def save(epoch: int, step: int) -> None:
        if resume is not None and team.leads:
            resume.save(*snapshot(epoch, step))

    stored = None
    if resume is not None and (stored := team.told(resume.load)) is not None:
        try:
            restore(objective, optimizer, stored[0])
        except UserError as error:
            report(f"resume files not used and removed: {error}")
            if team.leads:
                resume.remove()
            stored = None
    if stored is not None:
        tensors, state = stored
        result.restore(tensors)
        first_epoch, first_step = state["epoch"], state["step"]
        history, spent = state["history"], state["spent"]
        terms = Terms(state["terms"], tensors["terms"].to(device) if "terms" in tensors else None)
        report(f"resumed after epoch {first_epoch}, step {first_step}")

    save_from = 0.0
    passes = steps_for(whole, optimizer, device, dtype, report, alone=team.count == 1)
    with _signals_noted(team.leads) as noted, own_stream(passes, device):
        for epoch in range(first_epoch, until or training.epochs):
            if result.over(history):
                break
            seed_global_streams(epoch_seed(epoch))
            resumed = epoch == first_epoch and first_step > 0
            if resumed:
                restore_random(tensors)
                set_global_streams(state["streams"])
            if isinstance(objective, CountsEpochs):
                objective.start_epoch(epoch, resumed)
            objective.train()
            start = time.perf_counter()

            def rate(step: int, epoch: int = epoch) -> float:
                return learning_rate(training, epoch * steps + step, steps)

            skip = first_step if resumed else 0
            passes.start_epoch(steps - skip)
            for step, batch in enumerate(batches.epoch(epoch, skip), skip):
                set_rate(optimizer, rate(step))
                team.seed(epoch_seed(epoch), step)
                share = team.share(batches, step)
                step_terms = passes(batch, share)
                if training.clip:
                    nn.utils.clip_grad_norm_(trained, training.clip)
                optimizer.step()
                passes.clear()
                result.update(epoch * steps + step)
                terms.add(team.mean(step_terms, share))
                if (step + 1) % _CHECK_EVERY == 0:
                    terms.check(epoch, step + 1, rate)
                if noted and step + 1 < steps:
                    terms.check(epoch, step + 1, rate)
                    weights.check(f"after epoch {epoch + 1}, step {step + 1}")
                    spent += time.perf_counter() - start
                    save(epoch, step + 1)
                    raise Interrupted(noted[0], epoch, step + 1)
            terms.check(epoch, steps, rate)
            # The last update comes after the last loss.
            weights.check(f"after epoch {epoch + 1}")
            spent += time.perf_counter() - start
            row = {"epoch": epoch + 1, "learning_rate": rate(steps - 1), **terms.means(steps)}
            with result.shown():
                if validate is not None:
                    objective.eval()
                    start = time.perf_counter()
                    with naming(f"validation after epoch {epoch + 1}"):
                        row |= team.told(lambda: checked(validate()))
                    row["validation_seconds"] = time.perf_counter() - start
                history.append(row | {"seconds": spent})
                result.note(history)
            report(_line(history[-1], training.epochs))
            terms, spent = Terms(), 0.0
            start = time.perf_counter()
            if noted or start >= save_from:
                save(epoch + 1, 0)
                end = time.perf_counter()
                save_from = end + BETWEEN_SAVES * (end - start)
            if noted:
                raise Interrupted(noted[0], epoch, steps)
    if resume is not None and resume.hands_on and team.leads:
        resume.hand_on(*snapshot(len(history), 0))
    if said := result.finish(history):
        report(said)
    return history


def _line(row: dict[str, float], epochs: int) -> str:
    parts = [f"epoch {row['epoch']}/{epochs}", f"loss {row['loss']:.4f}"]
    if "validation_accuracy" in row:
        parts.append(f"validation accuracy {100 * row['validation_accuracy']:.2f} %")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])
