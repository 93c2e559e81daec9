"""The parts of a hint transfer for two given models: layers, cut teacher, regressor."""

from dataclasses import dataclass

import torch
from torch import nn

from modelswitch.layers import LayerInfo, Regressor, cut, find_layer
from modelswitch.specs import Hint


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
