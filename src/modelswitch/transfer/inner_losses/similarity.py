"""Similarity-preserving distillation (Tung and Mori 2019): which samples are alike."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.training.precision import full_precision


class Similarity(nn.Module):
    """Squared difference of the samples' similarities, averaged over all pairs of a batch.

    A sample's similarities are the products of its features with those of the batch, scaled to
    length 1.

        hints: [{loss: similarity, weight: 3000}]

    Args:
        student, teacher: shapes of the two layers' outputs; any will do.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        super().__init__()

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return (_similarities(student) - _similarities(teacher)).square().mean()


def _similarities(features: torch.Tensor) -> torch.Tensor:
    flat = features.float().flatten(1)
    with full_precision(flat):
        return F.normalize(flat @ flat.T)
