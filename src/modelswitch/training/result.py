"""Which weights a training ends with: the last ones, a moving average of them, the best epoch's."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from modelswitch.config.training import Stop, Training
from modelswitch.errors import UserError
from modelswitch.training.resume import state_of

State = dict[str, torch.Tensor]
History = list[dict[str, float]]


def decay_at(step: int, decay: float) -> float:
    """The decay after ``step`` steps, counted from 0: an average that is young forgets sooner, so
    that the first weights of a short training do not stay in it."""
    return min(decay, (1 + step) / (10 + step))


def _score(row: dict[str, float], stop: Stop) -> float:
    """How good an epoch's validation is; larger is better."""
    if stop.metric == "accuracy" and "validation_accuracy" in row:
        return row["validation_accuracy"]
    if stop.metric == "nll" and "validation_nll" in row:
        return -row["validation_nll"]
    if "validation_loss" in row:
        return -row["validation_loss"]
    raise UserError(
        "training.stop.patience: no images are held back to look at; raise data.validation or "
        "leave it out"
    )


def best_of(history: History, stop: Stop) -> int:
    """The row with the best validation, of equal ones the first."""
    return max(range(len(history)), key=lambda row: (_score(history[row], stop), -row))


class Result:
    """The weights of a model in training that its training is for.

    Args:
        model: what is trained; its parameters and buffers.
        training: has ``average`` and ``result``, and ``stop``.

    Attributes:
        beside: after `finish`, the weights that are not the result, of the last step: those without
            the average or the average; empty where none is taken.
    """

    def __init__(self, model: nn.Module, training: Training) -> None:
        self._training, self._state = training, state_of(model)
        self._average: State = {}
        if training.average:
            self._average = {name: t.detach().clone() for name, t in self._state.items()}
            # What cannot be averaged: counters, and masks of infinities.
            self._copied = {
                name
                for name, t in self._state.items()
                if not t.is_floating_point() or torch.isinf(t).any()
            }
        self._best: State = {}
        self.beside: State = {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after ``step``, counted from 0 over the whole training, into the
        average: average + (1 - decay) (weights - average), also of buffers such as statistics."""
        if not self._average:
            return
        share = 1.0 if step == 0 else 1 - decay_at(step, self._training.average)
        names = [name for name in self._average if name not in self._copied]
        torch._foreach_lerp_(
            [self._average[name] for name in names], [self._state[name] for name in names], share
        )
        for name in self._copied:
            self._average[name].copy_(self._state[name])

    def _put(self, state: State) -> None:
        with torch.no_grad():
            for name, tensor in state.items():
                self._state[name].copy_(tensor)

    def _taken(self) -> State:
        return {name: t.detach().clone() for name, t in self._state.items()}

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Within it the model has the weights that are the result, to be looked at."""
        if not self._average or self._training.result == "last":
            yield
            return
        last = self._taken()
        self._put(self._average)
        try:
            yield
        finally:
            self._put(last)

    def note(self, history: History) -> None:
        """Keep the weights if the epoch that has just been validated is the best so far; to be
        called within `shown`."""
        stop = self._training.stop
        if stop.patience and best_of(history, stop) == len(history) - 1 and stop.keep == "best":
            self._best = self._taken()

    def over(self, history: History) -> bool:
        """Whether there has been no better validation for as long as is waited for one."""
        patience = self._training.stop.patience
        return bool(
            patience
            and history
            and len(history) - 1 - best_of(history, self._training.stop) >= patience
        )

    def finish(self, history: History) -> str:
        """Give the model the weights that are the result; a line for a person where these are not
        those of the last step."""
        stop, said = self._training.stop, []
        if self._average:
            chosen = self._training.result
            last = self._taken()
            self.beside = last if chosen == "average" else self._average
            if chosen == "average":
                self._put(self._average)
                said.append("weights: their moving average")
        if stop.patience and history:
            best = best_of(history, stop) + 1
            if self.over(history):
                said.append(
                    f"no better validation for {stop.patience} epochs: ended after epoch "
                    f"{len(history)} of at most {self._training.epochs}"
                )
            if self._best:
                self._put(self._best)
                said.append(f"kept: epoch {best}, the best")
        return "; ".join(said)

    def tensors(self) -> State:
        """All that is needed to go on, by name."""
        kept = {"average": self._average, "best": self._best}
        return {f"{part}.{n}": t for part, state in kept.items() for n, t in state.items()}

    def restore(self, tensors: State) -> None:
        """Put back what `tensors` gave."""
        for name, tensor in self._average.items():
            tensor.copy_(tensors[f"average.{name}"])
        for name, tensor in self._state.items():
            if (stored := tensors.get(f"best.{name}")) is not None:
                self._best[name] = torch.empty_like(tensor).copy_(stored)
