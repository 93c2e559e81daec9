"""Rounding of weights and activations to the integers that a device calculates with.

Fake quantisation (Jacob et al. 2018): numbers stay floats and take the values that integers of few
bits can have. What a rounded number is differentiated by is 1 inside of its range and 0 outside
(the straight-through estimator), as torch's own operations do it.
"""

import torch
from torch import nn

# Activations are integers from 0 to 255 with a zero among them.
LEVELS = 255
# How fast a range follows what is seen, as of a moving average.
_MOMENTUM = 0.01
# A range of nothing but 0 has a step all the same.
_SMALLEST = 1e-8


class RoundedActivation(nn.Module):
    """One activation, any shape, rounded to 256 values (unsigned, asymmetric, of the whole tensor).

    While ``observing`` in training, its range follows the smallest and the largest value of each
    batch: at first their mean over the batches, later a moving average.

    Attributes:
        low, high: the range, without a 0 that may have to be added to it.
        rounding: whether anything is rounded at all.
    """

    low: torch.Tensor
    high: torch.Tensor
    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("low", "high", "seen"):
            self.register_buffer(name, torch.zeros(()))
        self.observing = self.rounding = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.observing:
            self._observe(x.detach())
        if not self.rounding:
            return x
        scale, zero = self.grid()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, LEVELS)

    @torch.no_grad()
    def _observe(self, x: torch.Tensor) -> None:
        share = (1 / (self.seen + 1)).clamp(min=_MOMENTUM)
        low, high = torch.aminmax(x)
        self.low.lerp_(low, share)
        self.high.lerp_(high, share)
        self.seen += 1

    def grid(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Step between two values, float32, and the integer that stands for 0, int32: x is
        scale (q - zero) with q from 0 to 255."""
        low, high = self.low.clamp(max=0), self.high.clamp(min=0)
        scale = ((high - low) / LEVELS).clamp(min=_SMALLEST)
        return scale, (-low / scale).round().clamp(0, LEVELS).to(torch.int32)


class RoundedWeight(nn.Module):
    """A weight [C, …], each channel rounded to 2^bits - 1 values (signed, symmetric around 0).

    Its largest absolute value is one of them, so no gradient is cut off.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.largest = largest(bits)
        self.rounding = True

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        if not self.rounding:
            return weight
        scale = steps_of(weight, self.largest)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            weight, scale, zero, 0, -self.largest, self.largest
        )


def largest(bits: int) -> int:
    """The largest integer of so many bits, of which the signed ones go from minus it to it."""
    return 2 ** (bits - 1) - 1


def steps_of(weight: torch.Tensor, largest: int) -> torch.Tensor:
    """Step between two values for each channel of a weight [C, …], float32 [C]."""
    return (weight.detach().flatten(1).abs().amax(1) / largest).clamp(min=_SMALLEST)
