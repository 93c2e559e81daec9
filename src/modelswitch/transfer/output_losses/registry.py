"""Output losses by the name that a configuration gives them."""

import functools
from collections.abc import Callable

import torch

from modelswitch.config.losses import ImportedLoss, OutputLoss
from modelswitch.errors import UserError, in_one_line
from modelswitch.transfer.output_losses.dist import dist_loss
from modelswitch.transfer.output_losses.dkd import dkd_loss
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.output_losses.mse import mse_loss
from modelswitch.transfer.output_losses.multi_level import multi_level_loss
from modelswitch.transfer.output_losses.smoothing import smoothing_loss
from modelswitch.transfer.output_losses.standardised import standardised_loss
from modelswitch.transfer.output_losses.tf_kd import tf_kd_loss
from modelswitch.user_code import import_object

# Called with the logits [B, C] of student and teacher, the temperature and the labels [B]; gives
# one value a sample [B].
SoftLoss = Callable[[torch.Tensor, torch.Tensor, float, torch.Tensor], torch.Tensor]
OUTPUT_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "kl": soft_loss,
    "mse": mse_loss,
    "dkd": dkd_loss,
    "standardised": standardised_loss,
    "dist": dist_loss,
    "multi_level": multi_level_loss,
    "ls": smoothing_loss,
    "tf_kd": tf_kd_loss,
}


def output_loss_for(settings: OutputLoss) -> SoftLoss:
    """The loss that a configuration names, its settings bound.

    Raises `UserError` for a user's own loss that fails on a small batch.
    """
    if isinstance(settings, ImportedLoss):
        return _own(settings)
    return functools.partial(OUTPUT_LOSSES[settings.name], **settings.model_dump(exclude={"name"}))


def _own(settings: ImportedLoss) -> SoftLoss:
    """A user's own loss, which gets copies: what it does to them is nobody else's concern."""
    function = functools.partial(import_object(settings.path), **settings.arguments)

    def loss(
        student: torch.Tensor, teacher: torch.Tensor, temperature: float, labels: torch.Tensor
    ) -> torch.Tensor:
        return function(student.clone(), teacher.clone(), temperature, labels.clone())

    logits = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    with in_one_line(f"{settings.path}: fails on a small batch"):
        value = loss(logits[0].requires_grad_(), logits[1], 4.0, torch.arange(8) % 3)
        shape, finite = tuple(value.shape), bool(torch.isfinite(value).all())
    if shape != (8,):
        raise UserError(
            f"{settings.path}: gives shape {list(shape)} for 8 samples, expected one value a sample"
        )
    if not finite or not value.requires_grad:
        fault = "has no gradient" if finite else "is not finite"
        raise UserError(f"{settings.path}: its value {fault} on a small batch")
    return loss
