"""The parts of a hint transfer for two given models: layers, cut teacher, regressor."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.transfer import Hint
from modelswitch.data.views import Batch
from modelswitch.models.layers import LayerInfo, Regressor, cut, find_layer
from modelswitch.transfer.distillation import Distillation


@dataclass(frozen=True)
class HintParts:
    teacher_layer: LayerInfo
    student_layer: LayerInfo
    teacher_front: nn.Module
    regressor: Regressor


def hint_parts(
    hint: Hint,
    student: nn.Module,
    teacher: nn.Module,
    example: torch.Tensor,
    names: tuple[str, str],
) -> HintParts:
    """Find both layers, cut the teacher, and build the regressor from the measured shapes.

    Args:
        example: one image [1, C, H, W].
        names: of the student and the teacher, for messages.
    """
    student_name, teacher_name = names
    guided = find_layer(student, hint.student_layer, example, f"student {student_name}")
    hinted = find_layer(teacher, hint.teacher_layer, example, f"teacher {teacher_name}")
    front = cut(teacher, hinted.path, f"teacher {teacher_name}")
    return HintParts(hinted, guided, front, Regressor(guided.shape, hinted.shape))


def hint_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared error between features of one shape, averaged over all their elements."""
    return F.mse_loss(student.float(), teacher.float())


class _Hinted(nn.Module):
    """A teacher's front that gives the target, and the regressor that gets a student there."""

    def __init__(self, teacher_front: nn.Module, regressor: Regressor) -> None:
        super().__init__()
        self.regressor = regressor
        # In a list, a module is none of the trained ones.
        self._teacher = [teacher_front.eval()]

    def forward(self, images: torch.Tensor, guided: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = self._teacher[0](images)["hint"]
        return hint_loss(*self.regressor(guided, target))


class HintPretraining(nn.Module):
    """Trains a student up to its guided layer to match the teacher's hint layer.

    FitNets' first stage (Romero et al. 2015). Everything behind either layer is cut off.

    Args:
        student: the whole student, whose parameters ``student_front`` shares.
        student_front, teacher_front: models cut after their layer (`models.layers.cut`).
        regressor: from the student's features to the teacher's.
    """

    def __init__(
        self,
        student: nn.Module,
        student_front: nn.Module,
        teacher_front: nn.Module,
        regressor: Regressor,
    ) -> None:
        super().__init__()
        self.student = student
        self.front = student_front
        self.hinted = _Hinted(teacher_front, regressor)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        loss = self.hinted(batch.images, self.front(batch.images)["hint"])
        return {"loss": loss, "loss_hint": loss.detach()}


class JointTransfer(nn.Module):
    """Outputs and an inner layer side by side: distillation loss + weight x hint loss.

    Args:
        distillation: the objective for the outputs, holding the student.
        tapped: the student with its guided layer as a second output (`models.layers.cut`).
        teacher_front, regressor: as in `HintPretraining`.
        weight: of the hint loss.
    """

    def __init__(
        self,
        distillation: Distillation,
        tapped: nn.Module,
        teacher_front: nn.Module,
        regressor: Regressor,
        weight: float,
    ) -> None:
        super().__init__()
        self.distillation = distillation
        self.tapped = tapped
        self.hinted = _Hinted(teacher_front, regressor)
        self._weight = weight

    @property
    def student(self) -> nn.Module:
        return self.distillation.student

    @property
    def weight_counts(self) -> torch.Tensor:
        return self.distillation.weight_counts

    def start_epoch(self, epoch: int, resumed: bool = False) -> None:
        self.distillation.start_epoch(epoch, resumed)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        outputs = self.tapped(batch.images)
        terms = self.distillation.output_loss(outputs["logits"].float(), batch)
        hint = self.hinted(batch.images, outputs["hint"])
        return terms | {"loss": terms["loss"] + self._weight * hint, "loss_hint": hint.detach()}
