"""What a gate is trained on: stored answers under conditions that are drawn anew for every epoch.

A selector that picks is taught by every sample under every condition of a grid. A gate has to know
as well when nothing is degraded, or everything, and how that goes together: each modality of a
sample has a degradation and a level of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from modelswitch.data.batches import epoch_cuts
from modelswitch.randomness import derive_seed
from modelswitch.selector.outputs import CLEAN, PairedOutputs

# Shares of the samples with nothing degraded and with all sides; the others have one or more.
CLEAN_SHARE, EVERYWHERE_SHARE = 0.2, 0.3


@dataclass(frozen=True)
class AnsweredBatch:
    """Logits [M, B, C] of the recognisers, the right classes int64 [B], and which degradation each
    modality has, int64 [B, M]: its place among those that are drawn, -1 for none."""

    logits: torch.Tensor
    labels: torch.Tensor
    degraded: torch.Tensor


class GateBatches:
    """``rows`` samples an epoch: all held-back ones in turn, each under a condition of its own.

    Args:
        degradations: names of those that are drawn.
        order_seed: of an epoch.
    """

    def __init__(
        self,
        outputs: PairedOutputs,
        degradations: Sequence[str],
        rows: int,
        batch: int,
        order_seed: Callable[[int], int],
    ) -> None:
        self._outputs, self._rows = outputs, rows
        self._sets = torch.tensor(
            [at for at, (name, _) in enumerate(outputs.sets) if name in degradations]
        )
        names = list(degradations)
        self._kinds = torch.tensor(
            [names.index(name) if name in names else -1 for name, _ in outputs.sets]
        )
        self._clean = outputs.sets.index(CLEAN)
        self._cuts = epoch_cuts(rows, batch)
        self._order_seed = order_seed

    @property
    def steps(self) -> int:
        return len(self._cuts) - 1

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[AnsweredBatch]:
        samples, sets = self.drawn(epoch)
        for step in range(skip, self.steps):
            rows = slice(self._cuts[step], self._cuts[step + 1])
            yield AnsweredBatch(
                self.answers(samples[rows], sets[rows]),
                self._outputs.labels[samples[rows]],
                self._kinds[sets[rows]],
            )

    def answers(self, samples: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
        """Logits [M, B, C] for samples [B], each modality in the set that ``sets`` [B, M] names."""
        logits = self._outputs.logits
        return torch.stack([own[sets[:, m], samples] for m, own in enumerate(logits)])

    def drawn(self, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The epoch's samples int64 [rows] and, of every modality, the set [rows, M]."""
        seed = derive_seed(self._order_seed(epoch), "conditions")
        generator = torch.Generator().manual_seed(seed)
        modalities, count = len(self._outputs.modalities), len(self._outputs.labels)
        order = torch.randperm(self._rows, generator=generator)
        situation = torch.rand(self._rows, generator=generator)
        # Of several sides any number but none and all, equally often; which ones by lot.
        rank = torch.rand(self._rows, modalities, generator=generator).argsort(1)
        some = torch.randint(1, modalities, (self._rows, 1), generator=generator)
        some[situation < CLEAN_SHARE] = 0
        some[situation >= 1 - EVERYWHERE_SHARE] = modalities
        chosen = torch.randint(len(self._sets), (self._rows, modalities), generator=generator)
        sets = torch.where(rank < some, self._sets[chosen], self._clean)
        return order % count, sets
