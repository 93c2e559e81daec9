"""Models made of drawn blocks, each of which does something that a user's model may do."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm
from torch.utils.checkpoint import checkpoint

WIDTH = 6


class Block(nn.Module):
    """From maps [B, WIDTH, H, W] to maps of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Residual(Block):
    def __init__(self):
        super().__init__()
        self.norm, self.act = nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.norm(self.conv(x)) + x)


class AddsInPlace(Residual):
    def forward(self, x):
        y = self.norm(self.conv(x))
        y += x
        return F.hardswish(y, inplace=True)


class SqueezeExcite(Block):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(WIDTH, 2), nn.Linear(2, WIDTH)

    def forward(self, x):
        x = self.conv(x)
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))[:, :, None, None]


class Noise(Block):
    def forward(self, x):
        x = F.dropout(self.conv(x), 0.3, self.training)
        return x + 0.1 * torch.randn_like(x) if self.training else x


class AlwaysRandom(Block):
    def forward(self, x):
        return self.conv(x) * torch.rand(())


class Counter(Block):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.conv(x) * (1 + 0.01 * self.calls)


class PlainCounter(Block):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.conv(x) * (1 + 0.01 * self.calls)


class WritesInput(Block):
    def forward(self, x):
        x.data[:, 0] = 0
        return self.conv(x)


class WritesView(Block):
    def forward(self, x):
        y = self.conv(x)
        y.flatten(1)[:, 0].zero_()
        return y.clone()


class Twice(Block):
    def forward(self, x):
        return self.conv(F.relu(self.conv(x)))


class Uncalled(Block):
    def forward(self, x):
        return F.conv2d(x, self.conv.weight, self.conv.bias, padding=1)


class ForwardDirectly(Block):
    def forward(self, x):
        return self.conv.forward(x)


class Checkpointed(Block):
    def forward(self, x):
        return checkpoint(lambda y: F.relu(self.conv(y)), x, use_reentrant=False)


class Branches(Block):
    def forward(self, x):
        return self.conv(x) if x.mean() > 0 else x * 1.5


class OnlyInTraining(Block):
    def forward(self, x):
        return self.conv(x) if self.training else x


class Hooked(Block):
    def __init__(self):
        super().__init__()
        self.conv.register_forward_hook(lambda module, inputs, output: output * 2)


class OldNorm(Block):
    def __init__(self):
        super().__init__()
        spectral_norm(self.conv)


class NewNorm(Block):
    def __init__(self):
        super().__init__()
        parametrizations.weight_norm(self.conv)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x, *, scale):
        return self.conv(x) * scale, x.mean()


class InTuples(Block):
    def __init__(self):
        super().__init__()
        self.pair = Pair()

    def forward(self, x):
        y, mean = self.pair(self.conv(x), scale=2.0)
        return y + mean


class ChannelsLast(Block):
    def __init__(self):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.mix(self.norm(self.conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class Attention(Block):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return x + self.inner(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


class Frozen(Block):
    def __init__(self):
        super().__init__()
        self.conv.requires_grad_(False)


class FrozenNorm(Residual):
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class Unsaved(Block):
    def __init__(self):
        super().__init__()
        self.order = torch.randperm(WIDTH)

    def forward(self, x):
        return self.conv(x[:, self.order])


class Aside(Block):
    """What goes through its convolution takes no part in the answer."""

    def forward(self, x):
        self.conv(x)
        return x


class Half(Block):
    """Its convolution sees half of the batch at a time."""

    def forward(self, x):
        first, second = x.chunk(2) if len(x) > 1 else (x, x[:0])
        return torch.cat([self.conv(first), self.conv(second)])


PLAIN = {
    "norm": lambda: nn.BatchNorm2d(WIDTH),
    "group": lambda: nn.GroupNorm(2, WIDTH),
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "gelu": nn.GELU,
    "pool": lambda: nn.MaxPool2d(3, 1, 1),
    "dropout": lambda: nn.Dropout2d(0.2),
    "identity": nn.Identity,
}
BLOCKS = {kind.__name__: kind for kind in Block.__subclasses__() + Residual.__subclasses__()}
KINDS = ("Block", *BLOCKS, *PLAIN)


class Drawn(nn.Module):
    """Blocks of these kinds under these names, one after the other.

    Args:
        blocks: pairs of name and kind; a name that stands twice is one module that runs twice.
    """

    def __init__(self, in_channels: int, num_classes: int, blocks: list[list[str]]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, WIDTH, 3, 2, 1)
        self.body = nn.ModuleDict()
        self.order = [name for name, _ in blocks]
        for name, kind in blocks:
            if name not in self.body:
                self.body[name] = (PLAIN | BLOCKS | {"Block": Block})[kind]()
        self.head = nn.Linear(WIDTH, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for name in self.order:
            x = self.body[name](x)
        return self.head(x.mean((2, 3)))


def build(in_channels: int, num_classes: int, blocks: list[list[str]]) -> nn.Module:
    return Drawn(in_channels, num_classes, blocks)
