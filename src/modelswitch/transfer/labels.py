"""Training error alone: how a first model, or a baseline from scratch, is trained."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.data.views import Batch
from modelswitch.models.isolation import settings_kept


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
