"""The loop: rates, histories, losses that are no numbers, and models that learn."""

import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from modelswitch.config.training import Training
from modelswitch.errors import UserError
from modelswitch.training import loop, precision
from modelswitch.training.loop import train
from modelswitch.training.optimizer import learning_rate

CPU = torch.device("cpu")


@dataclass
class Numbers:
    """Batches of a linear problem that needs no images."""

    steps: int = 5

    def epoch(self, epoch, skip=0):
        generator = torch.Generator().manual_seed(epoch)
        for step in range(self.steps):
            x = torch.randn(16, 3, generator=generator)
            if step >= skip:
                yield x, x @ torch.tensor([1.0, -2.0, 0.5])


class Squares(nn.Module):
    def __init__(self, bad_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(3, 1)
        self.calls, self.bad_at = 0, bad_at

    def forward(self, batch):
        x, y = batch
        loss = ((self.line(x)[:, 0] - y) ** 2).mean()
        if self.calls == self.bad_at:
            loss = loss * float("nan")
        self.calls += 1
        return {"loss": loss, "loss_double": 2 * loss.detach()}


def run(objective=None, resume=None, **settings):
    values = {"epochs": 4, "batch": 16, "learning_rate": 0.05, "precision": "float32"} | settings
    return train(
        objective or Squares(),
        Numbers(),
        Training(**values),
        device=CPU,
        epoch_seed=lambda epoch: epoch,
        resume=resume,
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_learns_and_says_so(optimizer):
    history = run(optimizer=optimizer, epochs=20)
    assert [row["epoch"] for row in history] == list(range(1, 21))
    assert history[-1]["loss"] < 0.1 * history[0]["loss"]
    for row in history:
        assert row["loss_double"] == pytest.approx(2 * row["loss"])


def test_the_same_training_gives_the_same_bits():
    first, second = Squares(), Squares()
    run(first), run(second)
    assert torch.equal(first.line.weight, second.line.weight)


@pytest.mark.parametrize(("share", "saved"), [(0, [1, 2, 3, 4]), (1e15, [1])])
def test_short_epochs_are_not_spent_on_saving(monkeypatch, share, saved):
    class Saves:
        def __init__(self):
            self.epochs = []

        def load(self):
            return None

        def save(self, tensors, state):
            self.epochs.append(state["epoch"])

    monkeypatch.setattr(loop, "BETWEEN_SAVES", share)
    saves = Saves()
    run(resume=saves)
    assert saves.epochs == saved


def test_sgd_is_nesterov_momentum_with_weight_decay():
    ours = Squares()
    run(ours, epochs=1, warmup=0, schedule="constant", momentum=0.8, weight_decay=0.01)
    theirs = Squares()
    optimizer = torch.optim.SGD(
        theirs.parameters(), 0.05, momentum=0.8, weight_decay=0.01, nesterov=True, foreach=False
    )
    for batch in Numbers().epoch(0):
        optimizer.zero_grad()
        theirs(batch)["loss"].backward()
        optimizer.step()
    torch.testing.assert_close(ours.line.weight, theirs.line.weight)


def test_the_compiler_is_not_imported():
    """It takes as long to import as torch, which every one of many small jobs would pay."""
    source = """
import sys, test_training, torch
from modelswitch.training import precision
from modelswitch.training.resume import flatten, restore
from modelswitch.config.training import Training
from modelswitch.training.optimizer import make_optimizer
precision.make_deterministic()
for name in ("sgd", "adamw"):
    test_training.run(optimizer=name)
    model = torch.nn.Linear(1, 1)
    optimizer = make_optimizer(model, Training(optimizer=name))
    restore(model, optimizer, flatten(model, optimizer))
sys.exit("torch._dynamo" in sys.modules)
"""
    here = Path(__file__).parent
    assert subprocess.run([sys.executable, "-c", source], cwd=here, check=False).returncode == 0


def test_the_rate_grows_to_its_peak_and_falls_to_zero():
    settings = Training(epochs=10, warmup=2, learning_rate=0.4)
    rates = [learning_rate(settings, step, 7) for step in range(70)]
    assert rates[0] == pytest.approx(0.4 / 14)
    assert rates[13] == rates[14] == pytest.approx(0.4)
    assert rates[14:] == sorted(rates[14:], reverse=True)
    assert rates[42] == pytest.approx(0.4 * (1 + math.cos(math.pi * 28 / 56)) / 2)
    linear = settings.model_copy(update={"schedule": "linear"})
    assert learning_rate(linear, 42, 7) == pytest.approx(0.2)
    assert learning_rate(settings, 69, 7) < 0.001


def test_a_loss_that_is_no_number_names_epoch_step_and_rate():
    with pytest.raises(UserError) as caught:
        run(Squares(bad_at=7), warmup=0, schedule="constant")
    for part in ("nan", "epoch 2", "step 3", "0.05", "no weights"):
        assert part in str(caught.value)


def test_precision_is_bfloat16_only_where_it_is_real(monkeypatch):
    assert precision.dtype_for("float32", CPU) is torch.float32
    assert precision.dtype_for("bfloat16", CPU) is torch.bfloat16
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert precision.dtype_for("auto", CPU) is torch.float32
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert precision.dtype_for("auto", CPU) is torch.bfloat16
