"""Logit standardisation (Sun et al. 2024): distillation of z-scored logits."""

import torch

from modelswitch.transfer.output_losses.kl import soft_loss

# The authors' code adds this to the deviation, which keeps the division from 0 / 0.
_EPSILON = 1e-7
# Their gradient still grows as 1 / deviation without bound: a head that starts at zero gets one of
# 1e5. Below this deviation the student's logits are divided by it instead, so that the gradient is
# at most ten times that at a deviation of 1.
_SMALLEST_DEVIATION = 0.1


def standardised_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor | None = None,
    *,
    base_temperature: float,
) -> torch.Tensor:
    """The soft loss of z-scores, each by its own sample's mean and deviation; [B].

    Args:
        student, teacher: logits [B, C].
        temperature, labels: not used; ``base_temperature`` takes the temperature's place.
    """
    return soft_loss(
        _z_scores(student, _SMALLEST_DEVIATION), _z_scores(teacher, 0.0), base_temperature
    )


def _z_scores(logits: torch.Tensor, smallest: float) -> torch.Tensor:
    deviation = (logits.std(1, keepdim=True) + _EPSILON).clamp_min(smallest)
    return (logits - logits.mean(1, keepdim=True)) / deviation
