"""The loop: rates, histories, losses that are no numbers, and models that learn."""

import math
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modelswitch.config.training import Training
from modelswitch.errors import UserError
from modelswitch.execution.arithmetic import arithmetic, changes
from modelswitch.models import metrics
from modelswitch.training import loop, precision
from modelswitch.training.loop import Interrupted, train
from modelswitch.training.optimizer import learning_rate
from modelswitch.training.resume import ResumeFiles

CPU = torch.device("cpu")
LABELS = torch.tensor([0])


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


def run(objective=None, resume=None, validate=None, **settings):
    values = {"epochs": 4, "batch": 16, "learning_rate": 0.05, "precision": "float32"} | settings
    return train(
        objective or Squares(),
        Numbers(),
        Training(**values),
        device=CPU,
        epoch_seed=lambda epoch: epoch,
        resume=resume,
        validate=validate,
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
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
        hands_on = False

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
for name in ("sgd", "adamw", "rmsprop"):
    test_training.run(optimizer=name, clip=1.0, average=0.9)
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


class Breaks(nn.Module):
    """A line whose last step, or whose buffer, goes wrong."""

    def __init__(self, how: str, last: int = 19) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(3, 1)
        self.how, self.last, self.calls = how, last, 0
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("mask", torch.tensor([0.0, -math.inf]))

    def forward(self, batch):
        x, y = batch
        now = self.calls == self.last
        self.calls += 1
        loss = ((self.line(x)[:, 0] - y) ** 2).mean()
        part = loss.detach()
        if now and self.how == "gradient":
            # A finite loss with a gradient that is none: nothing shows but after the update.
            loss = loss + Explodes.apply(loss)
        if now and self.how == "buffer":
            self.mean += math.inf
        if now and self.how == "part":
            part = part * math.nan
        return {"loss": loss, "loss_part": part}


class Explodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.inf


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("gradient", r"line\.weight holds (nan|-?inf) after epoch 4; no weights were written"),
        ("buffer", r"mean holds inf after epoch 4"),
        ("part", r"^loss_part is nan in epoch 4, step 5"),
    ],
)
def test_the_last_update_is_looked_at(how, said, tmp_path):
    resume = ResumeFiles(tmp_path, "key")
    with pytest.raises(UserError, match=said):
        run(Breaks(how), resume=resume)
    # What is kept is from before it, so that the next start meets it again.
    tensors, state = resume.load()
    assert state["step"] == 0
    assert state["epoch"] < 4
    assert all(torch.isfinite(t).all() for n, t in tensors.items() if "mask" not in n)


@pytest.mark.parametrize("last", [7, 9])
def test_a_state_that_is_no_number_is_not_saved_for_whoever_stops_it(last, tmp_path, monkeypatch):
    class Stops(Breaks):
        def forward(self, batch):
            if self.calls == self.last:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(batch)

    resume = ResumeFiles(tmp_path, "key")
    monkeypatch.setattr(loop, "BETWEEN_SAVES", 0)
    with pytest.raises(UserError, match=r"line\.weight holds .* after epoch 2"):
        run(Stops("gradient", last), resume=resume)
    _, state = resume.load()
    assert (state["epoch"], state["step"]) == (1, 0)


def test_validation_that_is_no_number_ends_a_training():
    def validate():
        return {"validation_accuracy": metrics.accuracy(torch.tensor([[math.nan, 1.0]]), LABELS)}

    with pytest.raises(UserError, match="validation after epoch 1: the answers to 1 of 1 images"):
        run(validate=validate)
    with pytest.raises(UserError, match="validation after epoch 1: validation_nll is inf"):
        run(validate=lambda: {"validation_nll": math.inf})


@pytest.mark.parametrize("source", ["torch", "numpy", "python"])
def test_randomness_of_an_epoch_depends_on_the_epoch_alone(source, tmp_path):
    """From whichever global generator a model draws, also across a stop in mid-epoch."""
    draw = {
        "torch": lambda: torch.randn(()).item(),
        "numpy": np.random.randn,
        "python": lambda: random.gauss(0, 1),
    }[source]

    class Noisy(Squares):
        def __init__(self, stop_at=None):
            super().__init__()
            self.stop_at, self.drawn = stop_at, []

        def forward(self, batch):
            self.drawn.append(draw())
            if len(self.drawn) == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            x, y = batch
            return super().forward((x + self.drawn[-1], y))

    whole = Noisy()
    run(whole)
    first, second = Noisy(stop_at=8), Noisy()
    with pytest.raises(Interrupted):
        run(first, resume=ResumeFiles(tmp_path, "key"))
    draw()
    run(second, resume=ResumeFiles(tmp_path, "key"))
    assert first.drawn + second.drawn == whole.drawn
    assert len(set(whole.drawn)) == len(whole.drawn) == 20
    assert torch.equal(second.line.weight, whole.line.weight)


def test_going_on_by_other_arithmetic_is_told_and_kept(tmp_path, capsys):
    class Stops(Squares):
        def forward(self, batch):
            if self.calls == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(batch)

    def files(**changed):
        return ResumeFiles(tmp_path, "key", arithmetic={"threads": "1", "torch": "2.9"} | changed)

    for turn, threads in enumerate(("1", "4", "4")):
        resume = files(threads=threads, MKL_CBWR="COMPATIBLE") if turn else files()
        with pytest.raises(Interrupted):
            run(Stops(), resume=resume)
        told = "MKL_CBWR not set then, COMPATIBLE now, threads 1 then, 4 now" in (
            capsys.readouterr().out
        )
        # Told once, and not forgotten at the next start.
        assert (told, resume.mixed) == [(False, False), (True, True), (False, True)][turn]
    same = ResumeFiles(tmp_path / "other", "key", arithmetic={"threads": "1"})
    run(resume=same)
    assert not same.mixed


def test_what_decides_the_bits_is_recorded(monkeypatch):
    monkeypatch.delenv("MKL_DYNAMIC", raising=False)
    before = arithmetic()
    assert before["torch"] == torch.__version__
    assert before["instructions"] == torch.backends.cpu.get_cpu_capability()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    monkeypatch.setenv("MKL_DYNAMIC", "TRUE")
    after = arithmetic()
    torch.set_num_threads(threads)
    assert changes(before, before) == ""
    assert changes(before, after) == (
        f"MKL_DYNAMIC not set then, TRUE now, threads {threads} then, {threads + 1} now"
    )


def test_precision_is_bfloat16_only_where_it_is_real(monkeypatch):
    assert precision.dtype_for("float32", CPU) is torch.float32
    assert precision.dtype_for("bfloat16", CPU) is torch.bfloat16
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert precision.dtype_for("auto", CPU) is torch.float32
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert precision.dtype_for("auto", CPU) is torch.bfloat16
