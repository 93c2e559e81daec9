"""One training in two processes: the numbers of one process, and the life of one."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import script_runs
import torch
from test_resume import EXPERIMENT, Workplace, names, result, status_of, until

from modelswitch.config.augment import Augmentation, Colour
from modelswitch.config.experiment import load
from modelswitch.config.job import Job
from modelswitch.config.training import Training
from modelswitch.data.views import Normaliser, Views
from modelswitch.errors import UserError
from modelswitch.execution import ranks
from modelswitch.graph import Graph
from modelswitch.jobs import guards
from modelswitch.storage import artifacts
from modelswitch.training import loop

CHANGES = {"epochs": 2, "learning_rate": 0.02, "clip": 1.0, "average": 0.9}
TRANSFERS = {
    "kd": {"soft": 0.5, "weighting": {"rule": "correctness", "delta": 0.2}, "guides": "ancestors"},
    "joint": {
        "hint": {"mode": "joint"},
        "hints": [
            {"loss": "review", "stages": True, "weight": 0.1, "schedule": "linear", "end": 0.5}
        ],
    },
    "pretrain": {"hint": {"mode": "pretrain"}},
    "stored": {"views": "stored"},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def two_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSWITCH_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("MODELSWITCH_DEVICES", "0,1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, one_thread):
    """Data, and what trainings begin with, made by one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENT, "transfers", TRANSFERS)
        made = Workplace(tmp_path_factory.mktemp("parallel"), **CHANGES)
    spec = made.graph.experiment.data.canonical()
    assert script_runs.run("prepare", "--spec", spec, "--data", made.data).status == 0
    assert made.run("train").status == 0
    return made


def run(workplace: Workplace, kind: str, out: Path, gpus: int) -> script_runs.Ended:
    script, values = workplace.arguments(kind, out)
    return script_runs.run(script, *values, "--gpus", gpus)


def history(folder: Path) -> list[dict[str, float]]:
    """What was measured in each epoch, seconds excepted."""
    with (folder / "history.csv").open() as lines:
        return [
            {k: float(v) for k, v in row.items() if k != "stage" and "seconds" not in k}
            for row in csv.DictReader(lines)
        ]


def same_as_one(workplace: Workplace, kind: str, folder: Path) -> None:
    one, two = folder / "one", folder / "two"
    for out, gpus in ((one, 1), (two, 2)):
        ended = run(workplace, kind, out, gpus)
        assert ended.status == 0, ended.said
    for alone, together in zip(history(one), history(two), strict=True):
        # An answer on the edge may fall to the other side.
        accuracy = alone.pop("validation_accuracy", 0), together.pop("validation_accuracy", 0)
        assert accuracy[0] == pytest.approx(accuracy[1], abs=0.03)
        assert alone == pytest.approx(together, abs=1e-4)
    assert names(one) == names(two)
    for name in names(one) & {"model.safetensors", "hint.safetensors", "outputs.safetensors"}:
        (mine, said), (theirs, also) = artifacts.load(one / name), artifacts.load(two / name)
        assert (also["arithmetic"].pop("processes"), said["job_digest"]) == (
            "2",
            also["job_digest"],
        )
        assert said["arithmetic"] == also["arithmetic"]
        for key in mine:
            torch.testing.assert_close(mine[key], theirs[key], atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_two_processes_train_as_one_does(workplace, tmp_path):
    # Batch normalisation, clipped gradients, an average of the weights, counts of weights.
    same_as_one(workplace, "kd", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["train", "hint", "joint", "stored"])
def test_two_processes_train_as_one_does_whatever_is_transferred(workplace, tmp_path, kind):
    if kind == "stored":
        assert workplace.run("respond").status == 0
    same_as_one(workplace, kind, tmp_path)


def children(process: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def states(out: Path) -> set[tuple[str, int]]:
    """The resume files that are there, and when each was written."""
    return {(path.name, path.stat().st_mtime_ns) for path in out.glob("state/resume?.safetensors")}


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def slowly() -> None:
    """Let every step of this process wait."""
    set_rate = loop.set_rate

    def later(*given):
        time.sleep(0.03)
        set_rate(*given)

    loop.set_rate = later


class Long(Workplace):
    """A training that draws random numbers, and takes long enough to be ended in its middle."""

    def __init__(self, folder: Path, data: Path) -> None:
        super().__init__(folder)
        models = {"teacher": {"family": "plain", "stages": [[6], [8]], "dropout": 0.2},
                  "student": {"family": "plain", "stages": [[4]]}}  # fmt: skip
        training = EXPERIMENT["training"] | {"epochs": 12, "batch": 128}
        self.graph = Graph(
            load(EXPERIMENT | {"models": models, "training": training, "transfers": {"kd": {}},
                               "chains": {"kd": "teacher/student@kd"}})
        )  # fmt: skip
        self.data = data

    def begun(self, out: Path) -> tuple[int, int]:
        """Ids of both processes of a training that has saved a state, and takes its time."""
        script, values = self.arguments("train", out)
        before = states(out)
        process = script_runs.fork(script, *values, "--gpus", 2, prepare=slowly)
        until(lambda: states(out) != before, seconds=120)
        [other] = children(process)
        return process, other


@pytest.mark.long
@pytest.mark.slow
def test_processes_of_a_training_end_as_one_and_it_goes_on_to_the_same_bits(
    workplace, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(loop, "BETWEEN_SAVES", 0)
    trained = Long(tmp_path, workplace.data)
    ended = run(trained, "train", tmp_path / "peace", 2)
    assert ended.status == 0, ended.said
    out = tmp_path / "killed"
    process, other = trained.begun(out)
    os.kill(other, signal.SIGKILL)
    assert status_of(process) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert "process 1 of 2 (counted from 0) was killed (SIGKILL), and the training" in last
    # All at once, without a word.
    process, other = trained.begun(out)
    os.kill(process, signal.SIGKILL)
    status_of(process)
    until(lambda: gone(other))
    # The devices are free, and nothing is left of either.
    ended = run(trained, "train", out, 2)
    assert ended.status == 0, ended.said
    assert "resumed after epoch" in ended.said
    assert "otherwise than it began" not in ended.said
    assert result(out) == result(tmp_path / "peace")
    assert names(out) == names(tmp_path / "peace")


@pytest.mark.long
def test_a_signal_saves_in_the_middle_of_an_epoch_and_ends_both(
    workplace, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(loop, "BETWEEN_SAVES", 0)
    trained = Long(tmp_path, workplace.data)
    assert run(trained, "train", tmp_path / "peace", 2).status == 0
    out, last_steps = tmp_path / "told", []
    for _ in range(2):
        process, other = trained.begun(out)
        time.sleep(0.05)
        # As a batch system does: both are told, and rank 0 heeds it.
        os.kill(other, signal.SIGTERM)
        os.kill(process, signal.SIGTERM)
        assert status_of(process) == 128 + signal.SIGTERM
        until(lambda other=other: gone(other))
        last_steps += re.findall(r"saved in epoch \d+ after step (\d+)", capfd.readouterr().err)
    assert len(last_steps) == 2
    # Epochs have nine steps.
    assert set(last_steps) != {"9"}
    assert run(trained, "train", out, 2).status == 0
    assert result(out) == result(tmp_path / "peace")


@pytest.mark.long
def test_going_on_in_another_number_of_processes_is_told(workplace, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "BETWEEN_SAVES", 0)
    trained = Long(tmp_path, workplace.data)
    process, _ = trained.begun(tmp_path / "out")
    os.kill(process, signal.SIGKILL)
    status_of(process)
    ended = run(trained, "train", tmp_path / "out", 1)
    assert ended.status == 0
    assert "otherwise than it began" in ended.said
    assert "processes 2 then, not set now" in ended.said


@pytest.mark.long
def test_a_fault_of_one_process_is_the_training_s_and_is_told_in_its_words(
    workplace, tmp_path, monkeypatch, capfd
):
    # Another file than rank 0 has read, which waits for the other one when that ends.
    script, values = workplace.arguments("train", tmp_path)
    start = ranks.subprocess.Popen

    def with_other_data(command, **how):
        return start([word.replace(str(workplace.data), "nowhere") for word in command], **how)

    monkeypatch.setattr(ranks.subprocess, "Popen", with_other_data)
    assert status_of(script_runs.fork(script, *values, "--gpus", 2)) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: process 1 of 2 (counted from 0): nowhere")


SYNCHRONISED = """
import os, sys, torch
from torch import nn
from modelswitch.training import parallel
from modelswitch.training.parallel import Place
torch.set_num_threads(1)
torch.manual_seed(0)
dtype = getattr(torch, sys.argv[1])
images = torch.randn(7, 3, 4, 5, dtype=dtype)
weights = torch.randn(7, 3, 4, 5, dtype=dtype)
model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, momentum=eval(sys.argv[2]))).to(dtype)
alone = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, momentum=eval(sys.argv[2]))).to(dtype)
alone.load_state_dict(model.state_dict())
store = parallel.meeting_point(2)
number = 0 if (child := os.fork()) else 1
place = Place(number, 2, store if number == 0 else store.port)
part = images.tensor_split(2)[number]
with parallel.joined(place, torch.device("cpu")), parallel.norm_synchronised(model):
    team = parallel.current()
    share = len(part) * 2 / len(images)
    whole = team.wrapped(model)
    for _ in range(2):
        answers = whole(part)
        loss = (answers * weights.tensor_split(2)[number]).square().flatten(1).mean(1)
        (loss.mean() * share).backward()
    terms = team.mean({"loss": loss.mean()}, share)
    assert team.told(lambda: number) == 0
    assert team.same(torch.tensor(number)) == 0
if number:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
for _ in range(2):
    expected = (alone(images) * weights).square().flatten(1).mean(1).mean()
    expected.backward()
torch.testing.assert_close(terms["loss"], expected.detach().float())
for (name, mine), theirs in zip(model.named_parameters(), alone.parameters()):
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)
for (name, mine), theirs in zip(model.named_buffers(), alone.buffers()):
    torch.testing.assert_close(mine, theirs, msg=name)
model.eval(), alone.eval()
torch.testing.assert_close(model(images), alone(images))
"""


@pytest.mark.parametrize(("dtype", "momentum"), [("float32", "0.1"), ("float64", "None")])
def test_normalisation_over_processes_is_torch_s_over_the_whole_batch(dtype, momentum):
    command = [sys.executable, "-c", SYNCHRONISED, dtype, momentum]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def views(part: tuple[int, int], batch: int = 5) -> Views:
    images = torch.arange(23 * 6 * 6, dtype=torch.int64).remainder(251).to(torch.uint8)
    return Views(
        images.view(23, 6, 6, 1),
        torch.arange(23) % 4,
        Normaliser([0.5], [0.5]),
        batch=batch,
        augmentation=Augmentation(crop=1, flip=True, mixup=0.4, colour=Colour(brightness=0.3)),
        order_seed=lambda epoch: epoch,
        part=part,
    )


@pytest.mark.parametrize("count", [2, 3])
def test_parts_of_a_batch_are_the_batch_with_the_same_views(count):
    whole = list(views((0, 1)).epoch(3))
    parts = [views((number, count)) for number in range(count)]
    for step, (batch, *shared) in enumerate(
        zip(whole, *(part.epoch(3) for part in parts), strict=True)
    ):
        for field in ("images", "labels", "positions", "others", "shares"):
            joined = torch.cat([getattr(part, field) for part in shared])
            assert torch.equal(joined, getattr(batch, field))
        shares = [part.share(step) for part in parts]
        assert shares == [len(part.labels) * count / len(batch.labels) for part in shared]
        assert sum(shares) == pytest.approx(count)


def test_a_batch_that_is_too_small_to_be_shared_is_refused():
    with pytest.raises(UserError, match=r"training\.batch: 2 makes .* which 3 processes"):
        views((0, 3), batch=2)


def distilled(**transfer: object) -> Job:
    chains = {"kd": "teacher/student@kd"}
    loaded = load(EXPERIMENT | {"transfers": {"kd": transfer}, "chains": chains})
    graph = Graph(loaded)
    student, *_ = [place for place in graph.models() if place.lineage.parent]
    return graph.train_job(student)


@pytest.mark.parametrize(
    ("transfer", "said"),
    [
        ({"loss": {"name": "dist"}}, r"transfers\.kd\.loss: 'dist' compares"),
        ({"loss": {"name": "multi_level"}}, r"transfers\.kd\.loss: 'multi_level'"),
        (
            {"hint": {"mode": "pretrain", "loss": "relational"}},
            r"transfers\.kd\.hint: 'relational'",
        ),
        ({"hints": [{"loss": "similarity"}]}, r"transfers\.kd\.hint: 'similarity'"),
    ],
)
def test_what_compares_the_images_of_a_batch_is_refused_before_the_training(transfer, said):
    with pytest.raises(UserError, match=said + ".* which 2 processes share; allowed: .*gpu: 1"):
        guards.refuse_together(distilled(**transfer), 2)


def test_what_looks_at_single_images_is_not_refused(capsys):
    guards.refuse_together(distilled(loss={"name": "dkd"}, hints=[{"loss": "attention"}]), 2)
    guards.refuse_together(distilled(loss={"name": "dist", "gamma": 0}), 2)
    assert capsys.readouterr().err == ""
    own = {"name": "import", "path": "modelswitch.transfer.output_losses.kl:soft_loss"}
    guards.refuse_together(distilled(loss=own), 2)
    assert "transfers.kd.loss: is called in each process" in capsys.readouterr().err


def test_results_from_before_are_of_the_same_configuration():
    assert "sync_norm" not in Training().canonical()
    assert "sync_norm" not in distilled(training={"clip": 1.0}).canonical()
    assert '"sync_norm":false' in distilled(training={"sync_norm": False}).canonical()
    assert Training(sync_norm=False).canonical() != Training().canonical()
