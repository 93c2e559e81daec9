"""Numbers that are none: named where they appear, and never written."""

import math
from collections.abc import Callable

import torch
from torch import nn

from modelswitch.errors import UserError

ADVICE = "no weights were written. Lower training.learning_rate or lengthen training.warmup"


def checked(figures: dict[str, float]) -> dict[str, float]:
    """``figures`` themselves; raises `UserError` naming the first that is no number."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise UserError(f"{name} is {value}; {ADVICE}")
    return figures


class Terms:
    """Running sums of an epoch's loss terms, kept on the device so that no step waits for them."""

    def __init__(self, names: list[str] | None = None, sums: torch.Tensor | None = None) -> None:
        self.names, self.sums = names or [], sums
        self._recent: list[torch.Tensor] = []

    def add(self, terms: dict[str, torch.Tensor]) -> None:
        values = torch.stack([value.detach().float() for value in terms.values()])
        if self.sums is None:
            self.names = list(terms)
            self.sums = torch.zeros_like(values, dtype=torch.float64)
        self.sums += values
        self._recent.append(values)

    def check(self, epoch: int, step: int, rate: Callable[[int], float]) -> None:
        """Raise `UserError` for the first of the unchecked steps before ``step`` with a term that
        is no number, and name the term."""
        if not self._recent:
            return
        values = torch.stack(self._recent).cpu()
        first = step - len(values)
        self._recent = []
        wrong = ~torch.isfinite(values)
        if not wrong.any():
            return
        row = int(wrong.any(1).nonzero()[0])
        named = {
            name: value
            for name, value, bad in zip(
                self.names, values[row].tolist(), wrong[row].tolist(), strict=True
            )
            if bad
        }
        if len(named) > 1:
            # The sum is none because its parts are.
            named.pop("loss", None)
        said = " and ".join(f"{name} is {value}" for name, value in named.items())
        raise UserError(
            f"{said} in epoch {epoch + 1}, step {first + row + 1}, at learning rate "
            f"{rate(first + row):.4g}; {ADVICE}"
        )

    def means(self, steps: int) -> dict[str, float]:
        assert self.sums is not None
        return dict(zip(self.names, (self.sums / steps).tolist(), strict=True))


class FiniteState:
    """Sees that all that a training changes stays numbers: parameters and buffers alike.

    A buffer may hold infinities that it had from the start, as masks of attention do.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._masks = {
            name
            for name, tensor in module.named_buffers()
            if tensor.is_floating_point() and torch.isinf(tensor).any()
        }

    def check(self, when: str, advice: str = ADVICE) -> None:
        """Raise `UserError` that names the first tensor with a value that is no number."""
        state = dict(self._module.named_parameters()) | dict(self._module.named_buffers())
        names = [n for n, t in state.items() if t.is_floating_point() or t.is_complex()]
        if not names:
            return
        # One look at the device for all of them.
        wrong = torch.stack([self._wrong(name, state[name]).any() for name in names])
        for index in wrong.nonzero().flatten().tolist():
            name = names[index]
            value = state[name].detach()[self._wrong(name, state[name])][0].item()
            raise UserError(f"{name} holds {value} {when}; {advice}")

    def _wrong(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        return torch.isnan(tensor) if name in self._masks else ~torch.isfinite(tensor)
