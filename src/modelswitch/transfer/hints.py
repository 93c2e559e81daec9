"""Transfer of an inner layer: the parts for two given models, and what a training minimises."""

from dataclasses import dataclass

import torch
from torch import nn

from modelswitch.config.transfer import Hint
from modelswitch.data.views import Batch
from modelswitch.models.isolation import settings_kept
from modelswitch.models.layers import LayerInfo, find_layer
from modelswitch.models.taps import run_until, tap
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.inner_losses.registry import inner_loss_for
from modelswitch.transfer.teachers import LiveTeacher


@dataclass(frozen=True)
class HintParts:
    """Both layers, and the loss between them with its own parameters, such as a regressor's."""

    teacher_layer: LayerInfo
    student_layer: LayerInfo
    loss: nn.Module

    def __str__(self) -> str:
        return " to ".join(
            f"{side} layer {layer.path}, {list(layer.feature_shape[1:])}"
            for side, layer in (("teacher", self.teacher_layer), ("student", self.student_layer))
        )


def hint_parts(
    hint: Hint,
    student: nn.Module,
    teacher: nn.Module,
    example: torch.Tensor,
    names: tuple[str, str],
) -> HintParts:
    """Find both layers and make the loss from their measured shapes; the models stay as they are.

    Args:
        example: one image [1, C, H, W].
        names: of the student and the teacher, for messages.
    """
    guided = find_layer(student, hint.student_layer, example, names[0])
    hinted = find_layer(teacher, hint.teacher_layer, example, names[1])
    loss = inner_loss_for(hint.loss, guided.feature_shape, hinted.feature_shape)
    return HintParts(hinted, guided, loss)


class HintPretraining(nn.Module):
    """Trains a student up to its guided layer to match the teacher's hint layer.

    FitNets' first stage (Romero et al. 2015). What is behind either layer does not run: behind the
    student's, parameters get no gradient, and buffers stay what they are.

    Args:
        student: the whole student.
        teacher: the model beside it; from here on it watches the hint layer.
        parts: from `hint_parts`.
        owner: of the student, for messages.
    """

    def __init__(
        self, student: nn.Module, teacher: LiveTeacher, parts: HintParts, owner: str = "student"
    ) -> None:
        super().__init__()
        self.student, self.inner_loss = student, parts.loss
        self._teacher, self._parts, self._owner = teacher, parts, owner
        teacher.watch(parts.teacher_layer.path)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        path = self._parts.student_layer.path
        with settings_kept(self._owner):
            guided = run_until(self.student, path, batch.images.clone(), self._owner)
        loss = _hint_loss(self.inner_loss, self._parts, guided, self._teacher.features(batch))
        return {"loss": loss, "loss_hint": loss.detach()}


class JointTransfer(nn.Module):
    """Outputs and an inner layer side by side: distillation loss + weight x hint loss.

    Args:
        distillation: the objective for the outputs, holding the student.
        teacher: as in `HintPretraining`; where it is one of the distillation's guides as well, one
            pass of it serves both.
        parts: from `hint_parts`.
        weight: of the hint loss.
    """

    def __init__(
        self, distillation: Distillation, teacher: LiveTeacher, parts: HintParts, weight: float
    ) -> None:
        super().__init__()
        self.distillation, self.inner_loss = distillation, parts.loss
        self._teacher, self._parts, self._weight = teacher, parts, weight
        teacher.watch(parts.teacher_layer.path)

    @property
    def student(self) -> nn.Module:
        return self.distillation.student

    @property
    def weight_counts(self) -> torch.Tensor:
        return self.distillation.weight_counts

    def start_epoch(self, epoch: int, resumed: bool = False) -> None:
        self.distillation.start_epoch(epoch, resumed)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        path, owner = self._parts.student_layer.path, self.distillation.owner
        with tap(self.student, path, owner) as tapped:
            logits = self.distillation.answer(batch)
        terms = self.distillation.output_loss(logits, batch)
        features = self._teacher.features(batch)
        hint = _hint_loss(self.inner_loss, self._parts, tapped.output, features)
        return terms | {"loss": terms["loss"] + self._weight * hint, "loss_hint": hint.detach()}


def _hint_loss(
    loss: nn.Module, parts: HintParts, guided: torch.Tensor, hinted: torch.Tensor
) -> torch.Tensor:
    return loss(parts.student_layer.features(guided), parts.teacher_layer.features(hinted))
