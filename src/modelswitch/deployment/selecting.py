"""Recognisers and their selector as one module: a sample's images in, person and modality out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from modelswitch.config.selector import SelectorSettings
from modelswitch.deployment.deployable import Deployable
from modelswitch.selector.deciding import Network
from modelswitch.selector.gate import Gate
from modelswitch.selector.network import features

# Class int64 [N], picked modality int64 [N], and what its recogniser says, float32 [N, K].
OUTPUTS = ("person", "picked", "probabilities")


class DeployableSelector(nn.Module):
    """What the picked recogniser answers, and which one that is; or what a gate makes of all, and
    the one that it listens to most.

    Called with a batch of N samples of each modality, as `Deployable` takes them. Returns the class
    int64 [N], the index of the picked modality int64 [N], and the probabilities float32 [N, K] that
    its recogniser, or the gate, gives. Of equal scores the first modality is picked.

    Args:
        recognisers: one a modality, in the order of the selector's scores.
        selector: from what ``settings`` let it see to a score a modality.
    """

    def __init__(
        self, recognisers: Sequence[Deployable], selector: Network, settings: SelectorSettings
    ) -> None:
        super().__init__()
        self.recognisers = nn.ModuleList(recognisers)
        self.selector, self._settings = selector, settings
        self.preprocessing = recognisers[0].preprocessing
        self.eval().requires_grad_(False)

    def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits = torch.stack(
            [model.logits(own) for model, own in zip(self._models, images, strict=True)]
        )
        if isinstance(self.selector, Gate):
            answer, heard = self.selector.judge(logits)
            return answer.argmax(1), heard.argmax(1), answer.exp()
        picked = self.selector(features(logits, self._settings)).argmax(1)
        where = picked.view(1, -1, 1).expand(1, -1, logits.shape[2])
        answer = logits.gather(0, where)[0]
        return answer.argmax(1), picked, answer.softmax(1)

    def takes(self, pixels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What to call the module with for pixels uint8 [N, H, W, C] of each modality."""
        return [model.takes(own) for model, own in zip(self._models, pixels, strict=True)]

    @property
    def _models(self) -> list[Deployable]:
        return [model for model in self.recognisers if isinstance(model, Deployable)]
