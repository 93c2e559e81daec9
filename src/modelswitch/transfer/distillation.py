"""Distillation of outputs: soft and hard loss, balanced per sample by a weighting rule."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.data.views import Batch
from modelswitch.storage.artifacts import MappedTensor
from modelswitch.transfer.weighting import Rule, Samples

WEIGHT_BINS = 50
Answers = Callable[[Batch], torch.Tensor]


class LiveTeacher:
    """A teacher that answers while its student trains: logits [B, C] of a batch, float32."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model.eval()

    def __call__(self, batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            logits = self._model(batch.images)
        # An inference tensor cannot take part in autograd; a copy of [B, C] costs nothing.
        return logits.float().clone()


class StoredResponses:
    """A teacher's answers to the fixed views, from a mapped file [K, N, C]."""

    def __init__(self, stored: MappedTensor, device: torch.device | str = "cpu") -> None:
        self._stored, self._device = stored, device
        self._view: int | None = None
        self._logits = torch.empty(0)

    def __call__(self, batch: Batch) -> torch.Tensor:
        assert batch.view is not None, "stored responses belong to fixed views"
        if batch.view != self._view:
            self._logits = self._stored[batch.view].to(self._device)
            self._view = batch.view
        return self._logits[batch.positions].float()


class Distillation(nn.Module):
    """E = mean of hard_weight CE(y, s) + soft_weight soft_loss, weights per sample by a rule.

    Args:
        student: the model that is trained, returning logits [B, C].
        guides: what gives teachers' logits, nearest first. With several, the soft loss is the
            mean over them (densely guided, Son et al. 2021).
        rule: sets the balance, see `modelswitch.transfer.weighting`.
        soft, temperature: of the transfer.
        drop: chance that a guide is left out of a step; at least one always stays.
    """

    def __init__(
        self,
        student: nn.Module,
        guides: list[Answers],
        rule: Rule,
        *,
        soft: float,
        temperature: float,
        label_smoothing: float = 0.0,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.student = student
        self._guides, self._rule = guides, rule
        self._soft, self._temperature, self._drop = soft, temperature, drop
        self._label_smoothing = label_smoothing
        self._epoch = 0
        # Soft weights in this epoch, first row where the teacher is right, second where wrong. A
        # buffer, so that an interrupted epoch goes on counting.
        self.register_buffer("weight_counts", torch.zeros(2, WEIGHT_BINS))

    def start_epoch(self, epoch: int, resumed: bool = False) -> None:
        self._epoch = epoch
        if not resumed:
            self.weight_counts.zero_()

    def _present(self) -> list[Answers]:
        if not self._drop:
            return self._guides
        kept = torch.rand(len(self._guides)) >= self._drop
        if not kept.any():
            kept[torch.randint(len(self._guides), ())] = True
        return [guide for guide, keep in zip(self._guides, kept.tolist(), strict=True) if keep]

    def output_loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """The named terms for student logits [B, C] that are already there."""
        hard = F.cross_entropy(
            logits, batch.labels, reduction="none", label_smoothing=self._label_smoothing
        )
        guides = self._present()
        loss = torch.zeros((), device=logits.device)
        sums = torch.zeros(4, device=logits.device)
        for guide in guides:
            teacher = guide(batch)
            samples = Samples(
                logits, teacher, batch.labels, self._soft, self._temperature, self._epoch
            )
            balance = self._rule(samples)
            loss = (
                loss + (balance.hard_weight * hard + balance.soft_weight * balance.soft_loss).mean()
            )
            right = samples.teacher_right
            self._count(balance.soft_weight, right)
            means = (balance.soft_loss, balance.soft_weight, balance.hard_weight, (~right).float())
            sums = sums + torch.stack([mean.detach().mean() for mean in means])
        soft, soft_weight, hard_weight, wrong = (sums / len(guides)).unbind()
        return {
            "loss": loss / len(guides),
            "loss_hard": hard.detach().mean(),
            "loss_soft": soft,
            "weight_soft": soft_weight,
            "weight_hard": hard_weight,
            "teacher_wrong": wrong,
        }

    def _count(self, weights: torch.Tensor, right: torch.Tensor) -> None:
        bins = (weights * WEIGHT_BINS).long().clamp(0, WEIGHT_BINS - 1)
        counts = torch.bincount(bins + WEIGHT_BINS * (~right), minlength=2 * WEIGHT_BINS)
        self.weight_counts += counts.view(2, WEIGHT_BINS)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self.output_loss(self.student(batch.images).float(), batch)
