"""What a selector minimises, and its batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.data.batches import epoch_cuts
from modelswitch.randomness import derive_seed
from modelswitch.selector.draws import AnsweredBatch
from modelswitch.selector.gate import Gate
from modelswitch.selector.network import Selector
from modelswitch.selector.outputs import Mixture


@dataclass(frozen=True)
class SelectionBatch:
    """Features [B, F] and, bool [B, M], the modalities that are right to pick."""

    inputs: torch.Tensor
    trusted: torch.Tensor


class SelectionBatches:
    """Batches of a fixed set of features in an order drawn per epoch."""

    def __init__(
        self,
        inputs: torch.Tensor,
        trusted: torch.Tensor,
        batch: int,
        order_seed: Callable[[int], int],
    ) -> None:
        self.inputs, self.trusted = inputs, trusted
        self._cuts = epoch_cuts(len(inputs), batch)
        self._order_seed = order_seed

    @property
    def steps(self) -> int:
        return len(self._cuts) - 1

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[SelectionBatch]:
        seed = derive_seed(self._order_seed(epoch), "order")
        order = torch.randperm(len(self.inputs), generator=torch.Generator().manual_seed(seed))
        for step in range(skip, self.steps):
            rows = order[self._cuts[step] : self._cuts[step + 1]]
            yield SelectionBatch(self.inputs[rows], self.trusted[rows])


class PickTrusted(nn.Module):
    """Minus the log of the probability that a modality to be trusted is picked.

    With two modalities, one of them degraded, that is cross-entropy; with more, any of those that
    can be trusted will do.
    """

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector

    def forward(self, batch: SelectionBatch) -> dict[str, torch.Tensor]:
        scores = self.selector(batch.inputs).float().log_softmax(1)
        trusted = scores.masked_fill(~batch.trusted, float("-inf"))
        loss = -trusted.logsumexp(1).mean()
        with torch.no_grad():
            hit = batch.trusted.gather(1, scores.argmax(1, keepdim=True)).float().mean()
        return {"loss": loss, "loss_selection": loss.detach(), "selection_accuracy": hit}


class AnswerRightly(nn.Module):
    """Minus the log of the probability of the right class, the mean over a gate's networks.

    Each network learns by itself; it is their answers that are averaged, not their errors.

    Args:
        left_out: int64 [G], for each network the degradation, `AnsweredBatch.degraded`, of which it
            is to see no sample; of all where there is none.
    """

    def __init__(self, gate: Gate, left_out: torch.Tensor | None = None) -> None:
        super().__init__()
        self.gate, self._left_out = gate, left_out

    def forward(self, batch: AnsweredBatch) -> dict[str, torch.Tensor]:
        each = self.gate.each(batch.logits)
        loss = self._loss(each, batch)
        with torch.no_grad():
            hit = (each.logsumexp(0).argmax(1) == batch.labels).float().mean()
        return {"loss": loss, "loss_selection": loss.detach(), "selection_accuracy": hit}

    def _loss(self, each: torch.Tensor, batch: AnsweredBatch) -> torch.Tensor:
        labels = batch.labels.repeat(len(each))
        if self._left_out is None:
            return F.nll_loss(each.flatten(0, 1), labels)
        own = F.nll_loss(each.flatten(0, 1), labels, reduction="none").view(len(each), -1)
        learnt = (batch.degraded[None] != self._left_out[:, None, None]).all(2)
        return (own * learnt).sum() / learnt.sum().clamp(min=1)


def trusted(mixture: Mixture, target: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Which modalities are right to pick, bool [N', M], and the rows [N'] that can teach it.

    Rows where no modality, or every one, is to be trusted teach nothing.
    """
    if target == "undegraded":
        mask = mixture.clean
    else:
        mask = (mixture.logits.argmax(2) == mixture.labels).T
    rows = (mask.any(1) & ~mask.all(1)).nonzero().flatten()
    return mask[rows], rows
