"""Models of which a file may not keep all, for `family: import`."""

import functools
import itertools
import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune


class Small(nn.Module):
    """Two convolutions and a head; kinds change one thing each."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 8, 3, padding=1)
        self.head = nn.Linear(8, num_classes)
        self.finish()

    def finish(self) -> None:
        pass

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def behind(self, logits: torch.Tensor) -> torch.Tensor:
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.between(F.relu(self.norm(self.first(x))))
        return self.behind(self.head(F.relu(self.second(x)).mean((2, 3))))


# What works, also across a stop and a start.


class TiedParameter(Small):
    def finish(self):
        self.twin = nn.Conv2d(4, 4, 3, padding=1)
        self.other = nn.Conv2d(4, 4, 3, padding=1)
        self.other.weight = self.twin.weight

    def between(self, x):
        return self.other(self.twin(x))


class TiedModule(Small):
    def finish(self):
        self.again = self.second
        self.back = nn.Conv2d(8, 4, 1)

    def between(self, x):
        return self.back(self.again(x))


class TiedByTransposition(Small):
    def between(self, x):
        y = F.conv2d(x, self.second.weight, padding=1)
        return F.conv_transpose2d(y, self.second.weight, padding=1)


class OldWeightNorm(Small):
    def finish(self):
        nn.utils.weight_norm(self.second)


class OldSpectralNorm(Small):
    def finish(self):
        nn.utils.spectral_norm(self.second)


class NewNorms(Small):
    def finish(self):
        parametrizations.weight_norm(self.first)
        parametrizations.spectral_norm(self.second)


class Pruned(Small):
    def finish(self):
        prune.l1_unstructured(self.second, "weight", 0.4)


class KeptWiring(Small):
    def finish(self):
        self.register_buffer("order", torch.randperm(4))

    def between(self, x):
        return x[:, self.order]


class Constant(Small):
    def finish(self):
        self.register_buffer("table", torch.arange(4.0).view(1, 4, 1, 1), persistent=False)

    def between(self, x):
        return x + self.table


class Masked(Small):
    """Infinities on purpose, as in masks of attention."""

    def finish(self):
        self.register_buffer("mask", torch.tensor([0.0, 0.0, -math.inf, 0.0]).view(1, 4, 1, 1))

    def between(self, x):
        return x * (x + self.mask).softmax(1)


class ChannelsLast(Small):
    def finish(self):
        self.to(memory_format=torch.channels_last)
        self.turned = nn.Parameter(torch.randn(4, 6).t())

    def behind(self, logits):
        return logits + self.turned.mean()


class Volume(Small):
    """A weight of five dimensions, which have no channels_last of images."""

    def finish(self):
        self.volume = nn.Conv3d(1, 1, 3, padding=1)

    def between(self, x):
        return self.volume(x.unsqueeze(1)).squeeze(1)


class Lazy(Small):
    def finish(self):
        self.head = nn.LazyLinear(self.head.out_features)


class LeavesCache(Small):
    """Something in an attribute that nothing depends on."""

    def finish(self):
        self.cache, self.calls = None, 0

    def between(self, x):
        self.cache, self.calls = x.detach(), self.calls + 1
        return x


class CountsInBuffer(Small):
    """A buffer that changes in training, and decides."""

    def finish(self):
        self.register_buffer("calls", torch.zeros(()))

    def between(self, x):
        if self.training:
            self.calls += 1
        return x * (1 + 0.1 * self.calls)


class DrawsFromNumpy(Small):
    """First weights and masks from generators that torch does not know."""

    def finish(self):
        with torch.no_grad():
            self.first.weight.copy_(torch.from_numpy(np.random.randn(*self.first.weight.shape)))
            for bias in self.second.bias:
                bias.fill_(random.gauss(0, 1))

    def between(self, x):
        if not self.training:
            return x
        mask = np.random.rand(x.shape[1]) < 0.8
        return x * torch.from_numpy(mask).view(1, -1, 1, 1) * random.random()


class VersionedState(Small):
    """Reads versions that a state dict says of its modules, as torchvision's mnasnet does."""

    _version = 3

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if metadata.get("version") != 3:
            raise ValueError("version should be 3")
        super()._load_from_state_dict(state, prefix, metadata, *others)


class SetsDefaults(Small):
    def finish(self):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(7)


WORK = [
    TiedParameter,
    TiedModule,
    TiedByTransposition,
    OldWeightNorm,
    OldSpectralNorm,
    NewNorms,
    Pruned,
    KeptWiring,
    Constant,
    Masked,
    ChannelsLast,
    Volume,
    Lazy,
    LeavesCache,
    CountsInBuffer,
    DrawsFromNumpy,
    VersionedState,
    SetsDefaults,
]


# What is refused.


class PlainWiring(Small):
    def finish(self):
        self.order = torch.randperm(4)

    def between(self, x):
        return x[:, self.order]


class ArrayWiring(PlainWiring):
    def finish(self):
        self.order = np.random.permutation(4)


class ListWiring(PlainWiring):
    def finish(self):
        self.order = random.sample(range(4), 4)


class UnsavedWiring(PlainWiring):
    def finish(self):
        self.register_buffer("order", torch.randperm(4), persistent=False)


class PlainParameter(Small):
    def finish(self):
        self.scale = [torch.rand(4, 1, 1, requires_grad=True)]

    def between(self, x):
        return x * self.scale[0]


class RunningMeanInAttribute(Small):
    def finish(self):
        self.mean = 0.0

    def between(self, x):
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean()
        return x - self.mean


class CounterInAttribute(Small):
    """Decides in training alone, so that answers of the file are right; going on is not."""

    def finish(self):
        self.calls = 0

    def between(self, x):
        if not self.training:
            return x
        self.calls += 1
        return x * 0.5**self.calls


class OwnGenerator(Small):
    def finish(self):
        self.generator = torch.Generator().manual_seed(1)

    def between(self, x):
        if not self.training:
            return x
        return x * (torch.rand(x.shape, generator=self.generator) < 0.5)


class RandomAnswers(Small):
    def between(self, x):
        return F.dropout(x, 0.5)


class StateOfPasses(Small):
    def finish(self):
        self.register_buffer("calls", torch.zeros(()))

    def between(self, x):
        self.calls += 1
        return x * self.calls


class ExtraState(Small):
    def get_extra_state(self):
        return {"step": 3}

    def set_extra_state(self, state):
        pass


class ExtraTensor(ExtraState):
    def get_extra_state(self):
        return torch.zeros(3)


class LateBuffer(Small):
    def between(self, x):
        if not hasattr(self, "table"):
            self.register_buffer("table", torch.ones(1, 4, 1, 1))
        return x * self.table


class FilledBuffer(Small):
    def finish(self):
        self.register_buffer("table", None)

    def between(self, x):
        if self.table is None:
            self.table = torch.ones(1, 4, 1, 1)
        return x * self.table


class StaleCache(Small):
    """Weights that are folded once, and not again after they have changed."""

    def finish(self):
        self.folded = None

    def behind(self, logits):
        if self.training:
            return logits + self.head.bias
        if self.folded is None:
            self.folded = self.head.bias.detach() * 100
        return logits + self.folded


class ParameterThatIsAView(Small):
    def finish(self):
        self.part = nn.Parameter(self.second.weight[:4, :, :1, :1])

    def between(self, x):
        return F.conv2d(x, self.part)


class SecondParameterOfSameMemory(Small):
    def finish(self):
        self.twin = nn.Conv2d(4, 8, 3, padding=1)
        self.twin.weight = nn.Parameter(self.second.weight.data)
        self.back = nn.Conv2d(8, 4, 1)

    def between(self, x):
        return self.back(self.twin(x))


class Expanded(Small):
    def finish(self):
        self.register_buffer("ones", torch.ones(1).expand(4))

    def between(self, x):
        return x * self.ones.view(1, 4, 1, 1)


class NotANumber(Small):
    def finish(self):
        self.norm.running_var[1] = math.nan


class Infinite(Small):
    def finish(self):
        with torch.no_grad():
            self.head.weight[0, 0] = math.inf


class UnseededWeights(Small):
    def finish(self):
        with torch.no_grad():
            self.first.weight.copy_(
                torch.from_numpy(np.random.default_rng().normal(size=self.first.weight.shape))
            )


class BuiltOfOneStream(Small):
    counter = itertools.count()

    def finish(self):
        with torch.no_grad():
            self.head.bias.fill_(next(self.counter))


class Tuple(Small):
    def behind(self, logits):
        return (logits, logits) if self.training else logits


class RaisesInTraining(Small):
    def between(self, x):
        if self.training:
            raise KeyError("mode")
        return x


class RaisesInEvaluation(RaisesInTraining):
    def between(self, x):
        assert self.training
        return x


class SetsDefaultsInPasses(Small):
    def between(self, x):
        torch.set_default_dtype(torch.float64)
        return x


REFUSED = {
    PlainWiring: "plain attribute",
    ArrayWiring: "plain attribute",
    ListWiring: "plain attribute",
    UnsavedWiring: "not persistent",
    PlainParameter: "plain attribute",
    RunningMeanInAttribute: "plain attribute",
    CounterInAttribute: "stopped could not go on",
    OwnGenerator: "stopped could not go on",
    RandomAnswers: "differ from one pass to the next",
    StateOfPasses: "differ from one pass to the next",
    ExtraState: "'_extra_state' is no parameter or buffer",
    ExtraTensor: "'_extra_state' is no parameter or buffer",
    LateBuffer: "table",
    FilledBuffer: "table",
    StaleCache: "plain attribute",
    ParameterThatIsAView: "second.weight shares memory with part",
    SecondParameterOfSameMemory: "shares memory with",
    Expanded: "more than one element",
    NotANumber: "norm.running_var holds nan",
    Infinite: "head.weight holds inf",
    UnseededWeights: "differ from one build to the next",
    BuiltOfOneStream: "differ from one build to the next",
    Tuple: "returns tuple in train mode for",
    RaisesInTraining: "fails in a step of training (KeyError: 'mode')",
    RaisesInEvaluation: "fails in eval mode (AssertionError)",
    SetsDefaultsInPasses: "in train mode: its forward pass changes torch's default dtype",
}


# What has the same first weights whatever the seed.


class SeedsItself(Small):
    def __init__(self, in_channels, num_classes):
        torch.manual_seed(0)
        super().__init__(in_channels, num_classes)


class Zeros(Small):
    def finish(self):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()


KINDS = {kind.__name__: kind for kind in (Small, *WORK, *REFUSED, SeedsItself, Zeros)}


def build(in_channels: int, num_classes: int, kind: str) -> nn.Module:
    return KINDS[kind](in_channels, num_classes)


@functools.cache
def build_once(in_channels: int, num_classes: int) -> nn.Module:
    """The same object at every call."""
    return Small(in_channels, num_classes)
