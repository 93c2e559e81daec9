"""Training error alone: how a first model, or a baseline from scratch, is trained."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.data.views import Batch
from modelswitch.errors import UserError
from modelswitch.models.isolation import settings_kept

# Names in a message.
_SHOWN = 20


def hard_losses(
    logits: torch.Tensor,
    batch: Batch,
    label_smoothing: float = 0.0,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy of logits [B, C] with the labels, one value a sample [B], times the weight of
    its class where ``class_weights`` [C] are given.

    Of a mixed view that of its own label and that of its partner's, weighted by how much it shows
    of either (Zhang et al. 2018).
    """

    def entropy(labels: torch.Tensor) -> torch.Tensor:
        values = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        return values if class_weights is None else values * class_weights[labels]

    if batch.others is None or batch.shares is None:
        return entropy(batch.labels)
    return torch.lerp(entropy(batch.others), entropy(batch.labels), batch.shares)


def weights_of(
    given: str | dict[str, float], labels: torch.Tensor, class_names: list[str]
) -> torch.Tensor | None:
    """The factor of each class [C] of the hard loss, or None for none.

    Args:
        given: `none`; `balanced`, inversely to how many images a class has among ``labels`` [N],
            and 1 on the mean over them; or class name to factor.

    Raises:
        UserError: they are not those of the classes that there are.
    """
    if given == "none":
        return None
    if given == "balanced":
        counts = torch.bincount(labels, minlength=len(class_names)).double()
        # What no image shows needs no weight.
        return (len(labels) / ((counts > 0).sum() * counts.clamp(min=1))).float()
    assert isinstance(given, dict)
    wrong = [name for name in given if name not in class_names]
    missing = [name for name in class_names if name not in given]
    if wrong or missing:
        found = f"unknown class {wrong[0]!r}" if wrong else f"no factor for {missing[0]!r}"
        more = ", …" if len(class_names) > _SHOWN else ""
        raise UserError(f"{found}; needed: {', '.join(class_names[:_SHOWN])}{more}")
    return torch.tensor([given[name] for name in class_names])


class CrossEntropy(nn.Module):
    """Cross-entropy between a model's logits and the labels, averaged over the batch, each sample's
    times the weight of its class where ``class_weights`` [C] are given."""

    def __init__(
        self,
        student: nn.Module,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.label_smoothing, self._class_weights = label_smoothing, class_weights

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        with settings_kept("model"):
            logits = self.student(batch.images).float()
        if batch.others is None and self._class_weights is None:
            # Not the mean of single values, whose rounding is another.
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        else:
            loss = hard_losses(logits, batch, self.label_smoothing, self._class_weights).mean()
        return {"loss": loss, "loss_hard": loss.detach()}
