"""Knowledge review (Chen et al. 2021): coarse stages help to imitate the finer ones."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.transfer.inner_losses.features import is_map, refuse

_WIDEST = 512
# Resolutions at which maps are compared beside their own.
_CONTEXTS = (4, 2, 1)


class Review(nn.Module):
    """Hierarchical context loss of every stage's features, the student's fused with those of the
    coarser stages behind it.

        hints: [{stages: true, loss: review, weight: 1}]

    Args:
        students, teachers: shapes of the layers' outputs, maps [B, C, H, W], stage by stage.

    Raises:
        UserError: not all of them are maps.
    """

    def __init__(
        self, students: Sequence[tuple[int, ...]], teachers: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__()
        for student, teacher in zip(students, teachers, strict=True):
            if not (is_map(student) and is_map(teacher)):
                raise refuse("review", "compares maps [C, H, W]", student, teacher)
        middle = min(_WIDEST, students[-1][1])
        fusions = [
            _Fusion(student[1], middle, teacher[1], fuses=index > 0)
            for index, (student, teacher) in enumerate(
                zip(reversed(students), reversed(teachers), strict=True)
            )
        ]
        self.fusions = nn.ModuleList(fusions)

    def forward(
        self, students: Sequence[torch.Tensor], teachers: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        total, coarser = torch.zeros((), device=students[0].device), None
        for fusion, student, teacher in zip(
            self.fusions, reversed(students), reversed(teachers), strict=True
        ):
            ours, coarser = fusion(student, coarser, teacher.shape[2:])
            total = total + _context_loss(ours.float(), teacher.float())
        return total


class _Fusion(nn.Module):
    """Attention-based fusion of a stage with the coarser one's."""

    def __init__(self, student: int, middle: int, teacher: int, fuses: bool) -> None:
        super().__init__()
        enter = nn.Conv2d(student, middle, 1, bias=False)
        leave = nn.Conv2d(middle, teacher, 3, padding=1, bias=False)
        for layer in (enter, leave):
            nn.init.kaiming_uniform_(layer.weight, a=1)
        self.enter = nn.Sequential(enter, nn.BatchNorm2d(middle))
        self.leave = nn.Sequential(leave, nn.BatchNorm2d(teacher))
        self.attention = nn.Conv2d(2 * middle, 2, 1) if fuses else None

    def forward(
        self, student: torch.Tensor, coarser: torch.Tensor | None, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features as the teacher's, and what the next finer stage gets."""
        own = self.enter(student)
        if self.attention is not None and coarser is not None:
            coarser = F.interpolate(coarser, own.shape[2:])
            shares = self.attention(torch.cat([own, coarser], 1)).sigmoid()
            own = own * shares[:, :1] + coarser * shares[:, 1:]
        if own.shape[2:] != size:
            own = F.interpolate(own, size)
        return self.leave(own), own


def _context_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared error of maps, and of their averages over 4 x 4, 2 x 2 and one fields, each of half
    the weight of the one before, divided by the sum of weights."""
    total, weights, weight = F.mse_loss(student, teacher), 1.0, 1.0
    for side in _CONTEXTS:
        if side < student.shape[2]:
            weight /= 2
            ours, theirs = (F.adaptive_avg_pool2d(maps, side) for maps in (student, teacher))
            total = total + weight * F.mse_loss(ours, theirs)
            weights += weight
    return total / weights
