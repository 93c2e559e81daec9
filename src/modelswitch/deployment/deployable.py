"""A network with its preprocessing as one module, as it is written into a device's file."""

from __future__ import annotations

import copy

import torch
from torch import nn

INPUT, OUTPUT = "images", "probabilities"


class Deployable(nn.Module):
    """Probabilities float32 [N, K] of images.

    With preprocessing, images are uint8 [N, H, W, C]; without, float32 [N, C, H, W], normalised as
    (x/255 - mean)/std per channel.

    Args:
        network: from normalised images to logits [N, K].
        mean, std: per channel, of pixels scaled to [0, 1].
        preprocessing: whether pixels go in.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self, network: nn.Module, mean: list[float], std: list[float], preprocessing: bool = True
    ) -> None:
        super().__init__()
        # A copy: channels_last weights, which training has, are refused by some exporters.
        self.network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        deviation = torch.tensor(std, dtype=torch.float64)
        scale = 1 / (255 * deviation)
        shift = -torch.tensor(mean, dtype=torch.float64) / deviation
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1))
        self.register_buffer("shift", shift.float().view(1, -1, 1, 1))
        self.preprocessing = preprocessing
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits(images).softmax(1)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [N, K] of images as the file takes them."""
        return self.network(self.normalised(images) if self.preprocessing else images)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] of pixels uint8 [N, H, W, C]."""
        return images.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift

    def takes(self, pixels: torch.Tensor) -> torch.Tensor:
        """What to call the module with for pixels uint8 [N, H, W, C]."""
        if self.preprocessing:
            return pixels
        # Not contiguous(): one channel or one image leaves strides that some runtimes refuse.
        return self.normalised(pixels).clone(memory_format=torch.contiguous_format)
