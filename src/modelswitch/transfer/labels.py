"""Training error alone: how a first model, or a baseline from scratch, is trained."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.data.views import Batch
from modelswitch.models.isolation import settings_kept


class CrossEntropy(nn.Module):
    """Cross-entropy between a model's logits and the labels, averaged over the batch."""

    def __init__(self, student: nn.Module, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.student = student
        self.label_smoothing = label_smoothing

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        with settings_kept("model"):
            logits = self.student(batch.images).float()
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "loss_hard": loss.detach()}
