"""Logits in half precision: what a softmax of them needs, and a check that it is there."""

import torch

from modelswitch.errors import UserError

# What float16 has between 0 and the largest logit below it, and where it ends.
_SMALLEST = 2.0**-24
LOWEST = -65504.0
# Of a stored class probability, at the temperatures that are in use.
LARGEST_ERROR = 1e-3
_TEMPERATURES = (1.0, 4.0, 20.0)
# A logit that is cut off at LOWEST has a probability below exp(-20) up to this temperature.
HIGHEST_TEMPERATURE = -LOWEST / 20


def in_half_precision(logits: torch.Tensor, owner: str) -> torch.Tensor:
    """Logits [N, C] as float16, every row shifted so that its largest is 0.

    A softmax does not see the shift, and near 0 half precision is finest: what is rounded most has
    the smallest probability. No logit that was below the largest becomes equal to it. Logits below
    -65,504 (-inf for a class that is ruled out) are stored as that.

    Args:
        owner: of the logits, for messages.

    Raises:
        UserError: logits are no numbers or infinite, or a probability or the largest class is not
            what it was.
    """
    exact = logits.double()
    largest = exact.amax(1, keepdim=True)
    if exact.isnan().any() or not torch.isfinite(largest).all():
        raise UserError(f"{owner}: answers with logits that are no numbers or infinite")
    shifted = exact - largest
    stored = shifted.clamp_min(LOWEST).half()
    stored[(stored == 0) & (shifted < 0)] = -_SMALLEST
    if not torch.equal(stored == 0, shifted == 0):
        raise UserError(_lost(owner, "the largest class"))
    for temperature in _TEMPERATURES:
        was, kept = ((z / temperature).softmax(1) for z in (exact, stored.double()))
        if (was - kept).abs().max() > LARGEST_ERROR:
            raise UserError(_lost(owner, f"probabilities at temperature {temperature:g}"))
    return stored


def _lost(owner: str, what: str) -> str:
    return f"{owner}: half precision loses {what} of its logits; use views: live for its students"
