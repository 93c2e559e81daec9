"""The selector: what it sees of the recognisers' outputs, and the network."""

import itertools

import torch
from torch import nn

from modelswitch.config.selector import SelectorSettings


def values_of(logits: torch.Tensor, spec: SelectorSettings) -> torch.Tensor:
    """Logits [M, N, C] in the form that a selector sees."""
    if spec.values == "logits":
        return logits
    return logits.log_softmax(2) if spec.values == "log_probabilities" else logits.softmax(2)


def features(logits: torch.Tensor, spec: SelectorSettings) -> torch.Tensor:
    """What a selector sees [N, F] of logits [M, N, C].

    `whole`: F = M C. `sorted`: the k largest outputs of each, F = M k. `matched`: the outputs of
    all M recognisers at the k likeliest classes of each in turn, F = M M k; from these a selector
    can tell whether the recognisers agree. k is `top`, or C where there are fewer classes.
    """
    values = values_of(logits, spec)
    if spec.parts == "whole":
        return values.permute(1, 0, 2).flatten(1)
    top = min(spec.top, logits.shape[2])
    if spec.parts == "sorted":
        return values.topk(top, dim=2).values.permute(1, 0, 2).flatten(1)
    likeliest = logits.topk(top, dim=2).indices
    seen = [values.gather(2, own.expand_as(likeliest)) for own in likeliest]
    return torch.stack(seen).permute(2, 0, 1, 3).flatten(1)


def perceptron(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths with rectifiers between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Selector(nn.Module):
    """Standardised features [N, F] to one score a modality [N, M]."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inputs: int, modalities: int, hidden: list[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        self.layers = perceptron([inputs, *hidden, modalities])

    def standardise(self, inputs: torch.Tensor) -> None:
        """Take mean and deviation from the training features [N, F]."""
        self.mean.copy_(inputs.mean(0))
        self.std.copy_(inputs.std(0, unbiased=False).clamp(min=1e-3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers((inputs - self.mean) / self.std)
