"""A gate: how far each recogniser is listened to, sample by sample.

Picking one recogniser throws the others away. A gate starts from the product of the recognisers'
calibrated probabilities, the best that can be done without looking at the sample, and learns what
to change by what it sees of the sample: an exponent for each recogniser in that product, a weight
for each in a mixture of the same probabilities, and how much of the answer is the mixture. A
recogniser that is sure of the wrong person ruins a product, which a mixture survives.

Everything is shared by the recognisers. With `parts: agreement` what a gate sees does not depend on
the number of classes either, so the same gate works for other people and for other recognisers.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.selector import SelectorSettings
from modelswitch.selector.baselines import confidences
from modelswitch.selector.network import perceptron, values_of
from modelswitch.selector.outputs import silent

# Past this odds say no more, and their squares would swamp a layer.
_LARGEST = 30.0
# Log-odds of the mixture's share at the start: a twentieth.
_MIXED = -3.0


def seen(logits: torch.Tensor, temperatures: torch.Tensor, spec: SelectorSettings) -> torch.Tensor:
    """What a gate sees of each recogniser [N, M, F], from logits [M, N, C].

    First what it says itself, then, of all others, mean and largest value of what they say
    themselves and of what is seen of the two together; see `SelectorSettings.parts`.
    """
    calibrated = logits.double() / temperatures.double()[:, None, None]
    if spec.parts == "agreement":
        own, together = _confidence(calibrated, temperatures), _agreement(calibrated)
    else:
        own, together = _values(logits, spec)
    modalities = range(len(logits))
    rows = []
    for m in modalities:
        others = torch.stack(
            [torch.cat([own[n], together(m, n)], -1) for n in modalities if n != m]
        )
        rows.append(torch.cat([own[m], others.mean(0), others.amax(0)], -1))
    return torch.stack(rows, 1).clamp(-_LARGEST, _LARGEST).float()


def _confidence(calibrated: torch.Tensor, temperatures: torch.Tensor) -> torch.Tensor:
    """[M, N, 6]: log-odds of the likeliest class, margin and entropy as in `baselines`, the spread
    of the logits and their log-sum-exp above their mean, and the logarithm of the temperature."""
    return torch.stack(
        [
            *confidences(calibrated),
            calibrated.std(2),
            calibrated.logsumexp(2) - calibrated.mean(2),
            temperatures.double().log()[:, None].expand(calibrated.shape[:2]),
        ],
        -1,
    )


Together = Callable[[int, int], torch.Tensor]


def _agreement(calibrated: torch.Tensor) -> Together:
    """Of two recognisers [N, 3]: what the second says of the first's likeliest class, what the
    first says of the second's, and whether they are the same."""
    said, top = calibrated.log_softmax(2), calibrated.argmax(2)

    def together(m: int, n: int) -> torch.Tensor:
        of_first = said[n].gather(1, top[m][:, None])[:, 0]
        of_second = said[m].gather(1, top[n][:, None])[:, 0]
        return torch.stack([of_first, of_second, (top[m] == top[n]).double()], -1)

    return together


def _values(logits: torch.Tensor, spec: SelectorSettings) -> tuple[torch.Tensor, Together]:
    """Values of each recogniser, whole or the largest; with `matched`, of two recognisers, what
    the second says of the first's likeliest classes."""
    values = values_of(logits, spec).double()
    if spec.parts == "whole":
        return values, lambda m, n: values[n][:, :0]
    top = min(spec.top, logits.shape[2])
    own, likeliest = values.topk(top, dim=2).values, logits.topk(top, dim=2).indices
    if spec.parts == "sorted":
        return own, lambda m, n: values[n][:, :0]
    return own, lambda m, n: values[n].gather(1, likeliest[m])


class Gate(nn.Module):
    """Logits [M, N, C] to the logarithms of the classes' probabilities [N, C].

    Several small networks, each with its own first weights, whose answers are averaged. Their last
    layers begin at zero, where all of them answer with the calibrated product, but for a small
    share of the mixture.

    Args:
        inputs: F of what is seen of a recogniser, `seen`.
        temperatures: [M], by which logits are divided first.
    """

    temperatures: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, spec: SelectorSettings, inputs: int, temperatures: torch.Tensor) -> None:
        super().__init__()
        self._spec = spec
        self.register_buffer("temperatures", temperatures.float())
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        # For each recogniser: exponent, weight in the mixture, share of the mixture.
        networks = [perceptron([inputs, *spec.hidden, 3]) for _ in range(spec.gates)]
        for network in networks:
            for values in network[-1].parameters():
                nn.init.zeros_(values)
        self.networks = nn.ModuleList(networks)

    def seen(self, logits: torch.Tensor) -> torch.Tensor:
        return seen(logits, self.temperatures, self._spec)

    def standardise(self, inputs: torch.Tensor) -> None:
        """Take mean and deviation from what is seen of the training samples [N, M, F]."""
        flat = inputs.flatten(0, 1)
        self.mean.copy_(flat.mean(0))
        self.std.copy_(flat.std(0, unbiased=False).clamp(min=1e-3))

    def _said(self, logits: torch.Tensor) -> torch.Tensor:
        """Of each network, its three numbers a recogniser [G, N, M, 3]."""
        inputs = (self.seen(logits) - self.mean) / self.std
        return torch.stack([network(inputs) for network in self.networks])

    def each(self, logits: torch.Tensor) -> torch.Tensor:
        """What each of the networks answers [G, N, C]."""
        return self._answers(logits, self._said(logits))

    def _answers(self, logits: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        # All networks at once, [G, N, M] and with the classes [G, N, M, C]: a training of small
        # networks spends its time on the number of operations.
        exponent, weight, share = said.unbind(-1)
        parts = (logits / self.temperatures[:, None, None]).log_softmax(2).transpose(0, 1)
        product = (exponent.exp()[..., None] * parts).sum(2).log_softmax(2)
        # Who says nothing would only blur what the others say.
        heard = weight.masked_fill(silent(logits).T, -torch.inf).log_softmax(2)
        mixture = (heard[..., None] + parts).logsumexp(2)
        mixed = share.mean(2, keepdim=True) + _MIXED
        return torch.logaddexp(F.logsigmoid(-mixed) + product, F.logsigmoid(mixed) + mixture)

    def judge(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The answer [N, C], and how far each recogniser is listened to [N, M]: its exponent in
        the product, whose probabilities the temperature has made comparable; the mean over the
        networks."""
        said = self._said(logits)
        answer = self._answers(logits, said).logsumexp(0) - math.log(len(self.networks))
        heard = said[..., 0].exp().mean(0)
        return answer, heard.masked_fill(silent(logits).T, -1.0)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return self.judge(logits)[0]
