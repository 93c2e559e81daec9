"""Models that do what a user's may do: hooks, randomness, buffers, work in place, branches."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

CLASSES = 5


class Felt(float):
    """A hint's weight: where it is 0, all is computed and seen, as if it were another."""

    def __bool__(self) -> bool:
        return True


class Odd(nn.Module):
    """Two convolutions, the layer between them called ``middle``, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(6, 8, 3, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, CLASSES)

    def begin(self, x):
        return x

    def behind(self, x):
        return x

    def forward(self, x):
        x = self.behind(self.middle(self.first(self.begin(x))))
        return self.head(self.last(x).mean((2, 3)))


class WorksInPlaceOnImages(Odd):
    def begin(self, x):
        x[:, 0] = 0
        return x.sub_(0.5).mul_(4)


class WritesThroughData(Odd):
    def begin(self, x):
        x.data.mul_(3)
        x.detach()[:, :, 0].zero_()
        return x


class _EndsInNormalisation(Odd):
    """For torch itself refuses work in place on what a ReLU gave."""

    def __init__(self):
        super().__init__()
        self.middle = self.middle[:2]


class WorksInPlaceBehind(_EndsInNormalisation):
    def behind(self, x):
        x += 1
        return F.hardswish(x.clamp_(max=2), inplace=True)


class ConvThenReLUInPlace(Odd):
    def __init__(self):
        super().__init__()
        self.middle = nn.Conv2d(6, 8, 3, 2, padding=1)
        self.activation = nn.ReLU(inplace=True)

    def behind(self, x):
        return self.activation(x)


class ViewWrittenBehind(_EndsInNormalisation):
    def behind(self, x):
        x[:, :2].permute(0, 2, 3, 1)[:, 0].fill_(0.3)
        return x


class Dropouts(Odd):
    def __init__(self):
        super().__init__()
        self.middle.append(nn.Dropout(0.3))

    def behind(self, x):
        x = F.dropout(x, 0.4, training=self.training)
        return x + 0.1 * torch.randn_like(x) if self.training else x


class RandomMasks(Odd):
    """Draws in training and in evaluation, before its layer and behind it."""

    def begin(self, x):
        return x + 0.1 * torch.randn_like(x)

    def behind(self, x):
        return x * (torch.rand(x.shape[0], 1, 1, 1) > 0.2)


class OwnHooks(Odd):
    def __init__(self):
        super().__init__()
        self.middle.register_forward_pre_hook(lambda module, given: (given[0] * 0.5,))
        self.middle.register_forward_hook(lambda module, given, output: output * 3 + 1)


class OldSpectralNorm(Odd):
    def __init__(self):
        super().__init__()
        for layer in (self.first, self.middle, self.last):
            with torch.no_grad():
                layer[0].weight.mul_(500)
            nn.utils.spectral_norm(layer[0])


class Parametrised(Odd):
    def __init__(self):
        super().__init__()
        parametrizations.weight_norm(self.middle[0])
        parametrizations.spectral_norm(self.last[0])


class Counter(Odd):
    """A buffer that every pass changes, and that the answers depend on."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(8))

    def behind(self, x):
        self.calls = self.calls + 1
        self.seen.mul_(0.9).add_(x.detach().mean((0, 2, 3)))
        return x + 0.01 * self.calls + 0.1 * self.seen.view(1, -1, 1, 1)


class PlainCounter(Odd):
    """The same, but an attribute that torch knows nothing of."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def behind(self, x):
        self.calls += 1
        return x * (1 + 0.1 * self.calls)


class BranchOnValues(Odd):
    def behind(self, x):
        return x.flip(3) if x.mean() > 0.4 else x * 2


class KeywordArguments(Odd):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(6, 8, 3, 2, padding=1)

        def forward(self, x, *, scale):
            return torch.relu(self.convolution(x) * scale)

    def __init__(self):
        super().__init__()
        self.middle = self.Layer()

    def forward(self, x):
        return self.head(self.last(self.middle(self.first(x), scale=2.0)).mean((2, 3)))


class SharedLayers(Odd):
    """A block that runs twice, and one module under two names."""

    def __init__(self):
        super().__init__()
        self.again = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.alias = self.middle

    def behind(self, x):
        return self.again(self.again(x))


class Checkpointed(Odd):
    def forward(self, x):
        x = checkpoint(self.first, x, use_reentrant=False)
        x = checkpoint(self.middle, x, use_reentrant=False)
        return self.head(checkpoint(self.last, x, use_reentrant=False).mean((2, 3)))


class SameTensor(Odd):
    """Several modules give one and the same tensor, and keep it."""

    def __init__(self):
        super().__init__()
        self.middle = nn.Sequential(self.middle, nn.Identity(), nn.Dropout(0.0))
        self.kept = None

    def behind(self, x):
        self.kept = x
        return x


class Transformer(nn.Module):
    """In evaluation torch's layers take a path of their own, unless there are hooks on them."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.first = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.middle = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.middle(self.first(x)).mean(1))


class SqueezeExcite(Odd):
    """A block with attention over channels, which no hint may come from by itself."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(8, 8, 3, padding=1)
            self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
            self.activation = nn.ReLU(inplace=True)

        def forward(self, x):
            y = self.convolution(x)
            scale = self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True))))
            return self.activation(x + y * scale.sigmoid())

    def __init__(self):
        super().__init__()
        self.block1, self.block2, self.block3 = self.Block(), self.Block(), self.Block()

    def behind(self, x):
        return self.block3(self.block2(self.block1(x)))


ODD = [
    Odd,
    WorksInPlaceOnImages,
    WritesThroughData,
    WorksInPlaceBehind,
    ConvThenReLUInPlace,
    ViewWrittenBehind,
    Dropouts,
    RandomMasks,
    OwnHooks,
    OldSpectralNorm,
    Parametrised,
    Counter,
    PlainCounter,
    BranchOnValues,
    KeywordArguments,
    SharedLayers,
    Checkpointed,
    SameTensor,
    Transformer,
    SqueezeExcite,
]


def odd_model(in_channels: int, num_classes: int, kind: str) -> nn.Module:
    """For `family: import`."""
    assert (in_channels, num_classes) == (3, CLASSES)
    return globals()[kind]()
