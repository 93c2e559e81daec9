"""Mean squared error between inner layers, through a regressor (FitNets, Romero et al. 2015)."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.transfer.inner_losses.features import common_size, is_map, pooled, resized, width


class MeanSquaredError(nn.Module):
    """Squared distance of the regressed guided layer from the hint layer, averaged over all
    elements of both.

        hint: {mode: joint, loss: mse}

    Args:
        student, teacher: shapes of the two layers' outputs, see `Regressor`.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        super().__init__()
        self.regressor = Regressor(student, teacher)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        ours, theirs = self.regressor(student, teacher)
        return F.mse_loss(ours.float(), theirs.float())


class Regressor(nn.Module):
    """From a student's guided layer to the width of the teacher's hint layer.

    Feature maps go through a 1x1 convolution (FitNets use a convolution as well); where their
    resolutions differ both are averaged down to the smaller one. Everything else is averaged to
    a vector and goes through a linear layer.

    Args:
        student, teacher: shapes of the two layers' outputs, batch dimension included: maps
            [B, C, H, W], tokens [B, T, D] or vectors [B, D].
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = is_map(student) and is_map(teacher)
        if self.maps:
            self.size = common_size(student, teacher)
            self.project: nn.Module = nn.Conv2d(student[1], teacher[1], 1)
        else:
            self.project = nn.Linear(width(student), width(teacher))

    def forward(
        self, student: torch.Tensor, teacher: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The student's features as the teacher's, and the teacher's, of one shape."""
        if not self.maps:
            return self.project(pooled(student)), pooled(teacher)
        return self.project(resized(student, self.size)), resized(teacher, self.size)
