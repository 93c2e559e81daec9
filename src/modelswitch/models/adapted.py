"""A network whose own input or classes are not the data's, made to take and answer those."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.architecture import AdaptedModel


class Adapted(nn.Module):
    """See `AdaptedModel`: images [B, C, H, W] as the data are normalised to logits [B, classes].

    What it does around the network is part of the architecture and no weight: its buffers are in no
    state dict.
    """

    scale: torch.Tensor
    shift: torch.Tensor
    order: torch.Tensor

    def __init__(self, network: nn.Module, spec: AdaptedModel) -> None:
        super().__init__()
        self.network = network
        self.size, self.channels = spec.size, spec.channels
        # On the processor also while a network is tried without values, as are the numbers.
        self.register_buffer("scale", torch.tensor(spec.scale).view(1, -1, 1, 1), False)
        self.register_buffer("shift", torch.tensor(spec.shift).view(1, -1, 1, 1), False)
        self.register_buffer("order", torch.tensor(spec.order), False)
        self._in_order = spec.order == list(range(spec.classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pick(self.network(self.prepare(x)))

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """The images as the network takes them."""
        if x.shape[1] < self.channels:
            x = x.expand(-1, self.channels, -1, -1)
        x = torch.addcmul(self.shift, x, self.scale)
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            height, width = x.shape[2:]
            # As images are made smaller everywhere else: each pixel is a mean of all below it.
            smaller = self.size[0] < height or self.size[1] < width
            x = F.interpolate(x, self.size, mode="bilinear", antialias=smaller)
        return x

    def pick(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits of the data's classes, of those of the network's."""
        return logits if self._in_order else logits.index_select(1, self.order)
