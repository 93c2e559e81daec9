"""Transfer of inner layers: the parts for two given models, and what a training minimises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from modelswitch.config.transfer import LayerPair
from modelswitch.data.views import Batch
from modelswitch.models.isolation import settings_kept
from modelswitch.models.layers import LayerInfo, find_layer
from modelswitch.models.stages import common_stages, stages
from modelswitch.models.taps import run_until, taps
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.inner_losses.registry import inner_loss_for
from modelswitch.transfer.teachers import LiveTeacher


@dataclass(frozen=True)
class HintParts:
    """The layers of one hint, pair by pair, and the loss between them with its own parameters, such
    as a regressor's.

    Attributes:
        loss: called with two lists of features.
        name: of the loss.
    """

    student_layers: tuple[LayerInfo, ...]
    teacher_layers: tuple[LayerInfo, ...]
    loss: nn.Module
    name: str

    def __str__(self) -> str:
        pairs = zip(self.teacher_layers, self.student_layers, strict=True)
        return "; ".join(
            " to ".join(
                f"{side} layer {layer.path}, {list(layer.feature_shape[1:])}"
                for side, layer in zip(("teacher", "student"), pair, strict=True)
            )
            for pair in pairs
        )

    def between(
        self, guided: dict[str, torch.Tensor], hinted: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The loss of outputs of the student's and the teacher's layers, by path."""
        ours, theirs = (
            [layer.features(outputs[layer.path]) for layer in layers]
            for layers, outputs in ((self.student_layers, guided), (self.teacher_layers, hinted))
        )
        return self.loss(ours, theirs)


def hint_parts(
    hint: LayerPair,
    student: nn.Module,
    teacher: nn.Module,
    example: torch.Tensor,
    names: tuple[str, str],
) -> HintParts:
    """Find the layers and make the loss from their measured shapes; the models stay as they are.

    Args:
        example: one image [1, C, H, W].
        names: of the student and the teacher, for messages.
    """
    if hint.stages:
        pairs = common_stages(stages(student, example), stages(teacher, example), names)
    else:
        guided = find_layer(student, hint.student_layer, example, names[0])
        pairs = [(guided, find_layer(teacher, hint.teacher_layer, example, names[1]))]
    own, above = zip(*pairs, strict=True)
    shapes = [[layer.feature_shape for layer in layers] for layers in (own, above)]
    return HintParts(own, above, inner_loss_for(hint.loss, *shapes), hint.loss.name)


class HintPretraining(nn.Module):
    """Trains a student up to its guided layer to match the teacher's hint layer.

    FitNets' first stage (Romero et al. 2015). What is behind either layer does not run: behind the
    student's, parameters get no gradient, and buffers stay what they are.

    Args:
        student: the whole student.
        teacher: the model beside it; from here on it watches the hint layer.
        parts: from `hint_parts`, of one pair of layers.
        owner: of the student, for messages.
    """

    def __init__(
        self, student: nn.Module, teacher: LiveTeacher, parts: HintParts, owner: str = "student"
    ) -> None:
        super().__init__()
        self.student, self.inner_loss = student, parts.loss
        self._teacher, self._parts, self._owner = teacher, parts, owner
        [self._guided], [hinted] = parts.student_layers, parts.teacher_layers
        teacher.watch(hinted.path)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        path = self._guided.path
        with settings_kept(self._owner):
            guided = run_until(self.student, path, batch.images.clone(), self._owner)
        loss = self._parts.between({path: guided}, self._teacher.features(batch))
        return {"loss": loss, "loss_hint": loss.detach()}


@dataclass(frozen=True)
class WeightedHint:
    """A hint beside the outputs.

    Attributes:
        weight: of its loss in an epoch, counted from 0.
        scheduled: whether that changes.
    """

    parts: HintParts
    weight: Callable[[int], float]
    scheduled: bool = False

    @staticmethod
    def of(pair: LayerPair, parts: HintParts, epochs: int) -> "WeightedHint":
        """The hint that a configuration describes, in a training of so many epochs."""
        return WeightedHint(parts, lambda epoch: pair.weight_in(epoch, epochs), pair.scheduled)


class JointTransfer(nn.Module):
    """Outputs and inner layers side by side: distillation loss + sum of weight x hint loss.

    Of a hint whose weight is 0 in an epoch, nothing is computed in it.

    Args:
        distillation: the objective for the outputs, holding the student.
        teacher: as in `HintPretraining`; where it is one of the distillation's guides as well, one
            pass of it serves both.
        hints: with the losses of which the student's is trained.
    """

    def __init__(
        self, distillation: Distillation, teacher: LiveTeacher, hints: Sequence[WeightedHint]
    ) -> None:
        super().__init__()
        self.distillation = distillation
        self.inner_losses = nn.ModuleList(hint.parts.loss for hint in hints)
        self._teacher, self._hints = teacher, hints
        suffixes = [f"_{number}_{hint.parts.name}" for number, hint in enumerate(hints, 1)]
        self._suffixes = suffixes if len(hints) > 1 else [""]
        self._enter(0)

    def _enter(self, epoch: int) -> None:
        self._weights = [hint.weight(epoch) for hint in self._hints]
        used = [h.parts for h, weight in zip(self._hints, self._weights, strict=True) if weight]
        self._tapped = sorted({layer.path for parts in used for layer in parts.student_layers})
        self._teacher.watch(*(layer.path for parts in used for layer in parts.teacher_layers))

    @property
    def student(self) -> nn.Module:
        return self.distillation.student

    @property
    def weight_counts(self) -> torch.Tensor:
        return self.distillation.weight_counts

    def start_epoch(self, epoch: int, resumed: bool = False) -> None:
        self.distillation.start_epoch(epoch, resumed)
        self._enter(epoch)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        with taps(self.student, self._tapped, self.distillation.owner) as tapped:
            logits = self.distillation.answer(batch)
        terms = self.distillation.output_loss(logits, batch)
        guided = {path: each.output for path, each in tapped.items()}
        hinted = self._teacher.features(batch) if guided else {}
        loss = terms["loss"]
        for hint, weight, suffix in zip(self._hints, self._weights, self._suffixes, strict=True):
            value = hint.parts.between(guided, hinted) if weight else torch.zeros_like(loss)
            if weight:
                loss = loss + weight * value
            terms[f"loss_hint{suffix}"] = value.detach()
            if hint.scheduled:
                terms[f"weight_hint{suffix}"] = torch.full_like(value.detach(), weight)
        return terms | {"loss": loss}
