"""Inner layers by module path, models cut after them, and the regressor between two of them.

Cutting and tapping is torchvision's feature extraction, so models stay untouched.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.errors import UserError


@dataclass(frozen=True)
class LayerInfo:
    """A module that a hint can be taken from: its path, relative depth and output's shape."""

    path: str
    depth: float
    shape: tuple[int, ...]


def inner_layers(model: nn.Module, example: torch.Tensor) -> list[LayerInfo]:
    """All modules that run once and return one tensor, in the order in which they finish.

    The relative depth of a module is the share of convolution and linear layers that have run
    when it finishes.
    """
    weighted = set(weighted_layers(model))
    finished: list[tuple[str, int, tuple[int, ...]]] = []
    runs: dict[str, int] = {}
    done = 0

    def record(path: str):
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            nonlocal done
            done += path in weighted
            runs[path] = runs.get(path, 0) + 1
            if isinstance(output, torch.Tensor) and output.ndim >= 2:
                finished.append((path, done, tuple(output.shape)))

        return hook

    handles = [
        module.register_forward_hook(record(path)) for path, module in model.named_modules() if path
    ]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return [
        LayerInfo(path, count / max(done, 1), shape)
        for path, count, shape in finished
        if runs[path] == 1
    ]


def find_layer(
    model: nn.Module, layer: str | float, example: torch.Tensor, owner: str
) -> LayerInfo:
    """The inner layer at a module path, or the one nearest to a relative depth.

    Of several at the same depth the last to finish is taken: the block rather than the
    convolution in it, so that a hint is taken after normalisation and activation. The output of
    the whole model is no inner layer.
    """
    candidates = inner_layers(model, example)
    if isinstance(layer, str):
        for candidate in candidates:
            if candidate.path == layer:
                return candidate
        paths = ", ".join(candidate.path for candidate in candidates)
        raise UserError(f"{owner}: has no inner layer {layer!r}; it has {paths}")
    inner = [c for c in candidates if c.depth < 1] or candidates
    nearest = min(abs(c.depth - layer) for c in inner)
    return [c for c in inner if abs(c.depth - layer) == nearest][-1]


def cut(model: nn.Module, layer: str, owner: str, with_logits: bool = False) -> nn.Module:
    """A module that returns ``{"hint": …}``, and ``"logits"`` too if asked for.

    Without logits, everything behind the layer is cut off and never runs. Parameters are shared
    with ``model``.
    """
    # 1.5 s to import: only jobs that transfer inner layers pay for it.
    from torchvision.models.feature_extraction import (
        create_feature_extractor,
        get_graph_node_names,
    )

    try:
        nodes = {layer: "hint"}
        if with_logits:
            nodes[get_graph_node_names(model)[0][-1]] = "logits"
        return create_feature_extractor(model, nodes)
    except Exception as error:
        # Symbolic tracing runs the model's own code, so anything can come out of it.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UserError(
            f"{owner}: cannot be cut after {layer!r} by torchvision's feature extraction ({reason})"
        ) from error


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] averaged over the image, [B, T, D] over the tokens, to [B, C]."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features


class Regressor(nn.Module):
    """From a student's guided layer to the width of the teacher's hint layer.

    Feature maps go through a 1x1 convolution (FitNets use a convolution as well); where their
    resolutions differ both are averaged down to the smaller one. Everything else is averaged to
    a vector and goes through a linear layer.

    Args:
        student, teacher: shapes of the two layers' outputs, batch dimension included.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = len(student) == len(teacher) == 4
        if self.maps:
            self.size = tuple(min(a, b) for a, b in zip(student[2:], teacher[2:], strict=True))
            self.project: nn.Module = nn.Conv2d(student[1], teacher[1], 1)
        else:
            widths = [
                shape[1] if len(shape) in (2, 4) else shape[-1] for shape in (student, teacher)
            ]
            self.project = nn.Linear(*widths)

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


def weighted_layers(model: nn.Module) -> list[str]:
    """Paths of the convolution and linear layers, in the order of their definition."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]
