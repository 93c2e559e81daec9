"""Correlation congruence (Peng et al. 2019): samples' similarities by a Gaussian kernel."""

import math

import torch
from torch import nn

from modelswitch.training.precision import full_precision
from modelswitch.transfer.inner_losses.features import pooled, unit


class Correlation(nn.Module):
    """Squared difference of both layers' kernel matrices, averaged over all pairs of a batch.

    The kernel is a Gaussian's Taylor expansion for vectors of length 1.
    Features are averaged over positions first.

        hints: [{loss: correlation, weight: 100}]

    Args:
        student, teacher: shapes of the two layers' outputs; any will do.
        gamma: of the Gaussian exp(-gamma |x - y|^2).
        order: of the expansion.
    """

    def __init__(
        self, student: tuple[int, ...], teacher: tuple[int, ...], gamma: float, order: int
    ) -> None:
        super().__init__()
        self.gamma, self.order = gamma, order

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return (self._kernel(student) - self._kernel(teacher)).square().mean()

    def _kernel(self, features: torch.Tensor) -> torch.Tensor:
        vectors = unit(pooled(features.float()))
        with full_precision(vectors):
            cosines = vectors @ vectors.T
        terms = [
            (2 * self.gamma * cosines) ** power / math.factorial(power)
            for power in range(self.order + 1)
        ]
        return math.exp(-2 * self.gamma) * torch.stack(terms).sum(0)
