"""Distillation of outputs: soft and hard loss, balanced per sample by a weighting rule."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from modelswitch.config.transfer import MixedLabels
from modelswitch.data.views import Batch
from modelswitch.models.isolation import answered
from modelswitch.training import parallel
from modelswitch.transfer.labels import hard_losses
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.output_losses.registry import SoftLoss
from modelswitch.transfer.weighting import Rule, Samples

WEIGHT_BINS = 50
Answers = Callable[[Batch], torch.Tensor]


class Distillation(nn.Module):
    """E = mean of hard_weight CE(y, s) + soft_weight soft_loss, weights per sample by a rule.

    Of mixed views the hard loss is weighted by what they show of either label, unless
    ``mixed_labels`` says otherwise, see `config.transfer`. To rules and losses that look at the
    right class, that is the one that a view shows most of.

    Args:
        student: the model that is trained, returning logits [B, C].
        guides: what gives teachers' logits, nearest first. With several, the soft loss is the
            mean over them (densely guided, Son et al. 2021).
        rule: sets the balance, see `modelswitch.transfer.weighting`.
        soft, temperature: of the transfer.
        loss: the output loss, for rules that bring none of their own.
        class_weights: factors [C] of the hard loss.
        drop: chance that a guide is left out of a step; at least one always stays.
        owner: of the student, for messages.
    """

    def __init__(
        self,
        student: nn.Module,
        guides: list[Answers],
        rule: Rule,
        *,
        soft: float,
        temperature: float,
        loss: SoftLoss = soft_loss,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
        drop: float = 0.0,
        mixed_labels: MixedLabels = "both",
        owner: str = "student",
    ) -> None:
        super().__init__()
        self.student, self.owner = student, owner
        self._guides, self._rule, self._loss = guides, rule, loss
        self._soft, self._temperature, self._drop = soft, temperature, drop
        self._label_smoothing, self._class_weights = label_smoothing, class_weights
        self._mixed_labels = mixed_labels
        self._epoch = 0
        self.weight_counts: torch.Tensor
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
        if (team := parallel.current()).count > 1:
            # The same ones for all parts of a batch.
            kept = team.same(kept.to(self.weight_counts.device))
        return [guide for guide, keep in zip(self._guides, kept.tolist(), strict=True) if keep]

    def answer(self, batch: Batch) -> torch.Tensor:
        """The student's logits [B, C], float32."""
        return answered(self.student, batch.images, self.owner).float()

    def output_loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """The named terms for student logits [B, C] that are already there."""
        hard = self._hard(logits, batch)
        guides = self._present()
        loss = torch.zeros((), device=logits.device)
        sums = torch.zeros(4, device=logits.device)
        for guide in guides:
            teacher = guide(batch)
            samples = Samples(
                logits,
                teacher,
                batch.leading,
                self._soft,
                self._temperature,
                self._epoch,
                self._loss,
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

    def _hard(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The hard loss [B]."""
        shares, settings = batch.shares, (self._label_smoothing, self._class_weights)
        if shares is None or self._mixed_labels == "both":
            return hard_losses(logits, batch, *settings)
        one = dataclasses.replace(batch, labels=batch.leading, others=None, shares=None)
        values = hard_losses(logits, one, *settings)
        return values if self._mixed_labels == "leading" else values * (shares == 1)

    def _count(self, weights: torch.Tensor, right: torch.Tensor) -> None:
        bins = (weights * WEIGHT_BINS).long().clamp(0, WEIGHT_BINS - 1) + WEIGHT_BINS * (~right)
        # Not bincount, for which the host waits.
        counts = (bins[:, None] == torch.arange(2 * WEIGHT_BINS, device=bins.device)).sum(0)
        self.weight_counts += parallel.current().sum(counts.view(2, WEIGHT_BINS))

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self.output_loss(self.answer(batch), batch)
