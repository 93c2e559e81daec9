"""Relational distillation (RKD, Park et al. 2019): distances and angles between samples."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.training.precision import full_precision
from modelswitch.transfer.inner_losses.features import pooled, unit

_SMALLEST_SQUARE = 1e-12


class Relational(nn.Module):
    """Huber losses between both layers' distances of pairs, divided by their mean, and between
    their cosines of triples, averaged over all pairs and triples of a batch.

    Features are averaged over positions first. Takes memory for the batch's cube.

        hints: [{loss: {name: relational, distance: 25, angle: 50}}]

    Args:
        student, teacher: shapes of the two layers' outputs; any will do.
        distance, angle: weights of the two parts.
    """

    def __init__(
        self, student: tuple[int, ...], teacher: tuple[int, ...], distance: float, angle: float
    ) -> None:
        super().__init__()
        self.distance, self.angle = distance, angle

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        ours, theirs = pooled(student.float()), pooled(teacher.float())
        loss = ours.new_zeros(())
        with full_precision(ours):
            if self.distance:
                loss = loss + self.distance * F.smooth_l1_loss(_distances(ours), _distances(theirs))
            if self.angle:
                loss = loss + self.angle * F.smooth_l1_loss(_cosines(ours), _cosines(theirs))
        return loss


def _distances(vectors: torch.Tensor) -> torch.Tensor:
    """Distances [B, B] between rows, divided by the mean of those that are not 0."""
    # Distances do not change with a shift, but how far rounding counts in the squares does.
    vectors = vectors - vectors.mean(0).detach()
    products = vectors @ vectors.T
    squares = products.diagonal()
    found = (squares[:, None] + squares - 2 * products).clamp_min(_SMALLEST_SQUARE).sqrt()
    found = found.masked_fill(torch.eye(len(vectors), dtype=torch.bool, device=found.device), 0)
    return found / (found.sum() / (found > 0).sum().clamp_min(1)).clamp_min(_SMALLEST_SQUARE)


def _cosines(vectors: torch.Tensor) -> torch.Tensor:
    """Cosines [B, B, B] of the angles at each row between every two others."""
    directions = unit(vectors[None] - vectors[:, None])
    return directions @ directions.transpose(1, 2)
