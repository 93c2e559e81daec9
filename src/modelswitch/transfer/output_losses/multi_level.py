"""Logits compared at the levels of samples, batches and classes (Jin et al. 2023)."""

from collections.abc import Sequence

import torch

from modelswitch.training.precision import full_precision
from modelswitch.transfer.output_losses.kl import soft_loss


def multi_level_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor | None = None,
    *,
    temperatures: Sequence[float],
) -> torch.Tensor:
    """Sum over temperatures of three parts, one value a sample [B].

    The soft loss; squared differences of the samples' similarities, summed over a sample's row;
    squared differences of the classes' similarities, summed and divided by C: the same for all
    samples.

    Args:
        student, teacher: logits [B, C].
        temperature, labels: not used.
    """
    total = torch.zeros_like(student[:, 0])
    with full_precision(student):
        for each in temperatures:
            ours, theirs = ((logits / each).softmax(1) for logits in (student, teacher))
            samples = (theirs @ theirs.T - ours @ ours.T).square().sum(1)
            classes = (theirs.T @ theirs - ours.T @ ours).square().sum() / ours.shape[1]
            total = total + soft_loss(student, teacher, each) + samples + classes
    return total
