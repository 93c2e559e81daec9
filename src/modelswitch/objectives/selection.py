"""The multimodal selector: from the recognisers' output vectors to the modality to trust."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from modelswitch.lineage import derive_seed
from modelswitch.multimodal import Mixture
from modelswitch.selector_specs import SelectorSpec


def features(logits: torch.Tensor, spec: SelectorSpec) -> torch.Tensor:
    """What a selector sees [N, F] of logits [M, N, C].

    `whole`: F = M C. `sorted`: the k largest outputs of each, F = M k. `matched`: the outputs of
    all M recognisers at the k likeliest classes of each in turn, F = M M k; from these a selector
    can tell whether the recognisers agree. k is `top`, or C where there are fewer classes.
    """
    values = {
        "logits": lambda: logits,
        "log_probabilities": lambda: logits.log_softmax(2),
        "probabilities": lambda: logits.softmax(2),
    }[spec.values]()
    if spec.parts == "whole":
        return values.permute(1, 0, 2).flatten(1)
    top = min(spec.top, logits.shape[2])
    if spec.parts == "sorted":
        return values.topk(top, dim=2).values.permute(1, 0, 2).flatten(1)
    likeliest = logits.topk(top, dim=2).indices
    seen = [values.gather(2, own.expand_as(likeliest)) for own in likeliest]
    return torch.stack(seen).permute(2, 0, 1, 3).flatten(1)


class Selector(nn.Module):
    """Standardised features [N, F] to one score a modality [N, M]."""

    def __init__(self, inputs: int, modalities: int, hidden: list[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], modalities))

    def standardise(self, inputs: torch.Tensor) -> None:
        """Take mean and deviation from the training features [N, F]."""
        self.mean.copy_(inputs.mean(0))
        self.std.copy_(inputs.std(0, unbiased=False).clamp(min=1e-3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers((inputs - self.mean) / self.std)


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
        self.batch = min(batch, len(inputs))
        self._order_seed = order_seed

    @property
    def steps(self) -> int:
        return len(self.inputs) // self.batch

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[SelectionBatch]:
        seed = derive_seed(self._order_seed(epoch), "order")
        order = torch.randperm(len(self.inputs), generator=torch.Generator().manual_seed(seed))
        for step in range(skip, self.steps):
            rows = order[step * self.batch : (step + 1) * self.batch]
            yield SelectionBatch(self.inputs[rows], self.trusted[rows])


class Selection(nn.Module):
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
