"""Steps that are recorded and done again: the same bits as by Python, or none are recorded."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from modelswitch.config.training import Training
from modelswitch.training import loop
from modelswitch.training.loop import train
from modelswitch.training.steps import RecordedSteps, steps_for

CPU = torch.device("cpu")


class Pretended:
    """A recorder without a device: it does again what it was given, into the same tensors, and
    sees as little of what Python does in between as a graph would."""

    def __init__(self, module, fails=""):
        self.module, self.fails, self.records, self.replays = module, fails, 0, 0

    def record(self, function):
        if self.fails:
            raise RuntimeError(f"{self.fails}\nand more of it")
        self.records += 1
        before = [b.detach().clone() for b in self.module.buffers()]
        self.function, self.terms = function, function()
        self.gradients = [p.grad for p in self.module.parameters()]
        for buffer, value in zip(self.module.buffers(), before, strict=True):
            buffer.copy_(value)
        return self.terms

    def replay(self):
        self.replays += 1
        for parameter in self.module.parameters():
            parameter.grad = None
        terms = self.function()
        for name, value in terms.items():
            self.terms[name].copy_(value)
        for mine, parameter in zip(self.gradients, self.module.parameters(), strict=True):
            if mine is not None:
                mine.copy_(parameter.grad)
                parameter.grad = mine

    def forget(self):
        self.terms = self.gradients = self.function = None


@dataclass(frozen=True)
class Images:
    images: torch.Tensor
    labels: torch.Tensor
    view: int | None = None


@dataclass
class Batches:
    """Nine of eight images and a smaller one, an epoch."""

    steps: int = 10

    def epoch(self, epoch, skip=0):
        generator = torch.Generator().manual_seed(epoch)
        for step in range(self.steps):
            size = 8 if step + 1 < self.steps else 5
            images = torch.randn(size, 3, 6, 6, generator=generator)
            if step >= skip:
                yield Images(images, images.mean((1, 2, 3)).gt(0).long(), epoch)


class Learns(nn.Module):
    """With statistics, and a parameter that gets no gradient."""

    def __init__(self, *more):
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *more, nn.Flatten(), nn.Linear(64, 2)
        )
        self.unused = nn.Parameter(torch.ones(2))
        self.weight = 1.0

    def start_epoch(self, epoch, resumed):
        self.weight = 1.0 + epoch

    def forward(self, batch):
        loss = nn.functional.cross_entropy(self.student(batch.images), batch.labels)
        return {"loss": self.weight * loss, "loss_hard": loss.detach()}


class Counts(nn.Module):
    """Does something else in every pass, as nothing but its own number says."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        return x * self.passes


class Replaces(nn.Module):
    """Puts a new buffer in the place of the old one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        self.mean = self.mean + x.detach().mean()
        return x - self.mean


class Draws(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


def trained(objective, monkeypatch, recorder=None, **settings):
    said = []

    def recorded(objective, optimizer, device, dtype, report, alone):
        steps = steps_for(objective, optimizer, device, dtype, report, alone)
        if recorder is None:
            return steps
        return RecordedSteps(objective, optimizer, steps._autocast, recorder, report)

    monkeypatch.setattr(loop, "steps_for", recorded)
    values = {"epochs": 3, "batch": 8, "learning_rate": 0.1, "warmup": 0.5} | settings
    rows = train(
        objective, Batches(), Training(**values), device=CPU, epoch_seed=int, report=said.append
    )
    lines = [line for line in said if "CUDA graph" in line]
    figures = [[row["loss"], row["loss_hard"], row["learning_rate"]] for row in rows]
    return figures, {k: v.clone() for k, v in objective.state_dict().items()}, lines


@pytest.mark.parametrize(
    "settings",
    [{}, {"clip": 0.1}, {"optimizer": "adamw"}, {"average": 0.9}, {"weight_decay": 0.0}],
    ids=str,
)
def test_recorded_steps_give_the_same_bits(monkeypatch, settings):
    figures, state, _ = trained(Learns(), monkeypatch, **settings)
    objective = Learns()
    recorder = Pretended(objective)
    ours = trained(objective, monkeypatch, recorder, **settings)
    assert ours[0] == figures
    assert ours[1].keys() == state.keys()
    assert all(torch.equal(ours[1][name], value) for name, value in state.items())
    assert not ours[2]
    # Anew in every epoch, whose numbers are its own; the smaller batch goes by Python.
    assert (recorder.records, recorder.replays) == (3, 3 * 9)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (nn.Dropout(0.5), "a step draws random numbers"),
        (Draws(), "a step draws random numbers"),
        (Counts(), "a step changes what its modules hold beside their tensors"),
        (Replaces(), "a step changes what its modules hold beside their tensors"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_a_recording_would_not_see_is_not_recorded(monkeypatch, part, why):
    import copy

    figures, state, _ = trained(Learns(copy.deepcopy(part)), monkeypatch)
    objective = Learns(part)
    recorder = Pretended(objective)
    ours = trained(objective, monkeypatch, recorder)
    assert ours[2] == [f"no CUDA graph: {why}"]
    assert recorder.replays == 0
    assert ours[0] == figures
    assert all(torch.equal(ours[1][name], value) for name, value in state.items())


def test_what_cannot_be_recorded_goes_on_by_python(monkeypatch):
    figures, state, _ = trained(Learns(), monkeypatch)
    objective = Learns()
    ours = trained(objective, monkeypatch, Pretended(objective, "operation not permitted"))
    assert ours[2] == ["no CUDA graph: operation not permitted"]
    assert ours[0] == figures
    assert all(torch.equal(ours[1][name], value) for name, value in state.items())


def test_a_recording_that_gives_other_numbers_is_not_used(monkeypatch):
    class Wrong(Pretended):
        def replay(self):
            super().replay()
            self.gradients[-1].mul_(1 + 1e-6)

    figures, state, _ = trained(Learns(), monkeypatch)
    objective = Learns()
    ours = trained(objective, monkeypatch, Wrong(objective))
    assert ours[2] == ["no CUDA graph: a recorded step gives other numbers than the one before it"]
    assert ours[0] == figures
    assert all(torch.equal(ours[1][name], value) for name, value in state.items())
