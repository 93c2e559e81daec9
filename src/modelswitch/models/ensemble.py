"""Several networks that answer together."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from modelswitch.config.architecture import Architecture, MergedModel
from modelswitch.models.origins import First


class Ensemble(nn.Module):
    """The mean answer of its members: images [B, C, H, W] to logits [B, classes].

    The mean of probabilities p is answered as log p, of which a softmax makes p again.
    """

    def __init__(
        self, members: Sequence[nn.Module], answer: Literal["probability", "logit"]
    ) -> None:
        super().__init__()
        self.members, self.answer = nn.ModuleList(members), answer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.stack([member(x) for member in self.members])
        if self.answer == "logit":
            return logits.mean(0)
        # In float32 at least: in half precision small probabilities are lost.
        shares = logits.float().log_softmax(2)
        return shares.logsumexp(0) - torch.log(torch.tensor(float(len(self.members))))


def merged(
    members: Sequence[tuple[Architecture, nn.Module]], answer: Literal["probability", "logit"]
) -> First:
    """The ensemble of trained networks."""
    architecture = MergedModel(members=[member for member, _ in members], answer=answer)
    network = Ensemble([network for _, network in members], answer)
    return First(network, architecture, [f"{len(members)} models answer together"])
