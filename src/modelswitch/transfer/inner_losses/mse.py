"""Mean squared error between inner layers, through a regressor (FitNets, Romero et al. 2015)."""

import torch
import torch.nn.functional as F
from torch import nn


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
        self.maps = len(student) == len(teacher) == 4
        if self.maps:
            self.size = min(student[2], teacher[2]), min(student[3], teacher[3])
            self.project: nn.Module = nn.Conv2d(student[1], teacher[1], 1)
        else:
            self.project = nn.Linear(_width(student), _width(teacher))

    def forward(
        self, student: torch.Tensor, teacher: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The student's features as the teacher's, and the teacher's, of one shape."""
        if not self.maps:
            return self.project(_pooled(student)), _pooled(teacher)
        if tuple(student.shape[2:]) != self.size:
            student = F.adaptive_avg_pool2d(student, self.size)
        if tuple(teacher.shape[2:]) != self.size:
            teacher = F.adaptive_avg_pool2d(teacher, self.size)
        return self.project(student), teacher


def _width(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) == 4 else shape[-1]


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """Maps averaged over the image, tokens over their positions, to [B, C]."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.flatten(1, -2).mean(1) if features.ndim > 2 else features
