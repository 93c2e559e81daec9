"""Attention transfer (Zagoruyko and Komodakis 2017): where features are strong."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.transfer.inner_losses.features import common_size, is_map, refuse, resized


class Attention(nn.Module):
    """Squared difference of both layers' attention, averaged over positions and samples.

    The attention of a position is the mean square of its channels, scaled so that its squares add
    up to 1 over all positions. As in the authors' code; their weight is 1,000. Maps of different
    resolutions are averaged down to the smaller one; tokens need to be as many.

        hints: [{stages: true, loss: attention, weight: 1000}]

    Args:
        student, teacher: shapes of the two layers' outputs: maps [B, C, H, W], tokens [B, T, D].

    Raises:
        UserError: they have no positions in common.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        super().__init__()
        self.size = None
        if is_map(student) and is_map(teacher):
            self.size = common_size(student, teacher)
        elif _positions(student) != _positions(teacher) or _positions(student) < 2:
            why = "compares positions of maps, or of as many tokens"
            raise refuse("attention", why, student, teacher)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        difference = self._attention(student) - self._attention(teacher)
        return difference.square().mean()

    def _attention(self, features: torch.Tensor) -> torch.Tensor:
        if self.size is not None:
            features = resized(features, self.size)
        channels = 1 if is_map(tuple(features.shape)) else -1
        return F.normalize(features.float().square().mean(channels).flatten(1))


def _positions(shape: tuple[int, ...]) -> int:
    if is_map(shape):
        return shape[2] * shape[3]
    return shape[1] if len(shape) == 3 else 1
