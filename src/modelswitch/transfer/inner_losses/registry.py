"""Losses between inner layers by the name that a configuration gives them."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import nn

from modelswitch.config.losses import ImportedLoss, InnerLoss
from modelswitch.errors import UserError, in_one_line
from modelswitch.transfer.inner_losses.attention import Attention
from modelswitch.transfer.inner_losses.correlation import Correlation
from modelswitch.transfer.inner_losses.mse import MeanSquaredError
from modelswitch.transfer.inner_losses.relational import Relational
from modelswitch.transfer.inner_losses.review import Review
from modelswitch.transfer.inner_losses.similarity import Similarity
from modelswitch.user_code import import_object

Shape = tuple[int, ...]

# Made from the shapes of both layers' outputs and the settings; called with the features of student
# and teacher, maps as [B, C, H, W], it gives one value. Its parameters are trained along.
INNER_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "mse": MeanSquaredError,
    "attention": Attention,
    "similarity": Similarity,
    "relational": Relational,
    "correlation": Correlation,
}
# The same of several pairs of layers at once: made from lists of shapes, called with lists.
OVER_STAGES: dict[str, Callable[..., nn.Module]] = {
    "review": Review,
}


class OfPairs(nn.ModuleList):
    """The sum of one loss for each pair of layers, called with lists of features."""

    def forward(
        self, students: Sequence[torch.Tensor], teachers: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        pairs = zip(self, students, teachers, strict=True)
        values = [loss(student, teacher) for loss, student, teacher in pairs]
        return functools.reduce(torch.add, values)


def inner_loss_for(
    settings: InnerLoss, students: Sequence[Shape], teachers: Sequence[Shape]
) -> nn.Module:
    """The loss that a configuration names, for pairs of layers of these shapes; it is called with
    two lists of features.

    Raises `UserError` for shapes that it cannot compare, and for a user's own loss that fails on
    two samples.
    """
    if isinstance(settings, ImportedLoss):
        return OfPairs(_own(settings, *pair) for pair in zip(students, teachers, strict=True))
    given = settings.model_dump(exclude={"name"})
    if settings.name in OVER_STAGES:
        return OVER_STAGES[settings.name](students, teachers, **given)
    make = functools.partial(INNER_LOSSES[settings.name], **given)
    return OfPairs(make(*pair) for pair in zip(students, teachers, strict=True))


class _Function(nn.Module):
    """A function of the features, which gets copies of them."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return self._function(student.clone(), teacher.clone())


def _own(settings: ImportedLoss, student: Shape, teacher: Shape) -> nn.Module:
    """A user's own loss: a function of the features, or a module made like the built-in ones."""
    own, path = import_object(settings.path), settings.path
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(2, *shape[1:], generator=generator) for shape in (student, teacher)]
    with in_one_line(f"{path}: fails on features {list(student)} and {list(teacher)}"):
        if isinstance(own, type) and issubclass(own, nn.Module):
            loss = own(student, teacher, **settings.arguments)
        else:
            loss = _Function(functools.partial(own, **settings.arguments))
        value = loss(features[0].requires_grad_(), features[1])
        shape, differentiable = tuple(value.shape), value.requires_grad
    if shape or not differentiable:
        fault = f"has shape {list(shape)}, expected one value" if shape else "has no gradient"
        raise UserError(f"{path}: its value {fault}")
    return loss
