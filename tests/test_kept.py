"""What is kept of a model is what was measured, or it is refused before it is trained."""

import os
import re
import signal

import forgetful_models
import pytest
import torch
import torch.nn.functional as F
from forgetful_models import REFUSED, WORK, SeedsItself, Small, Zeros
from safetensors import safe_open
from torch import nn

from modelswitch.config.models import ImportedModel
from modelswitch.config.training import Training
from modelswitch.errors import UserError
from modelswitch.models.build import build, fill, give_shapes, to_channels_last
from modelswitch.models.kept import check_kept, difference
from modelswitch.randomness import seeded
from modelswitch.storage import artifacts
from modelswitch.training.loop import Interrupted, train
from modelswitch.training.resume import ResumeFiles, state_of

SHAPE, CLASSES = (8, 8, 3), 5
IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % CLASSES


def settings():
    return torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()


@pytest.fixture(autouse=True)
def settings_put_back():
    """Some of these models leave others behind."""
    dtype, gradients, threads = settings()
    yield
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    torch.set_num_threads(threads)


def make(kind: type | str, seed: int = 7) -> nn.Module:
    path = "forgetful_models:build" if isinstance(kind, type) else kind
    arguments = {"kind": kind.__name__} if isinstance(kind, type) else {}
    spec = ImportedModel(family="import", path=path, arguments=arguments)
    with seeded(seed):
        model = build(spec, SHAPE[2], CLASSES)
        give_shapes(model, SHAPE)
    return to_channels_last(model)


def depends(kind) -> bool:
    return check_kept(lambda seed: make(kind, seed), 7, IMAGES, LABELS)


@pytest.mark.parametrize("kind", [Small, *WORK], ids=lambda kind: kind.__name__)
def test_what_a_file_keeps_whole_is_let_through(kind):
    assert depends(kind)


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_what_a_file_would_lose_is_refused_in_one_line(kind):
    with pytest.raises(UserError, match=re.escape(REFUSED[kind])) as refused:
        depends(kind)
    assert "\n" not in str(refused.value)


def test_a_builder_that_gives_the_same_model_twice_is_refused():
    forgetful_models.build_once.cache_clear()
    with pytest.raises(UserError, match=r"shares .* make a new one at every call"):
        depends("forgetful_models:build_once")


@pytest.mark.parametrize("kind", [SeedsItself, Zeros], ids=lambda kind: kind.__name__)
def test_first_weights_that_no_seed_changes_are_found(kind):
    assert not depends(kind)


def test_trying_a_model_draws_no_random_number_of_others():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    depends(Small)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("kind", ["SetsDefaults", "SeedsItself"])
def test_a_builder_changes_nothing_for_those_after_it(kind):
    before = settings()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    make(forgetful_models.KINDS[kind])
    assert torch.equal(torch.rand(4), expected)
    assert settings() == before


def test_tensors_that_do_not_fit_are_refused_by_their_names():
    state = Small(3, CLASSES).state_dict()
    model = Small(3, CLASSES)
    with pytest.raises(UserError, match=r"cannot be loaded|Missing key.*head\.bias"):
        fill(model, {name: t for name, t in state.items() if name != "head.bias"})
    with pytest.raises(UserError, match=r"size mismatch for head\.bias"):
        fill(model, state | {"head.bias": torch.zeros(9)})


def test_answers_are_the_same_but_for_the_order_of_sums():
    logits = 3 * torch.randn(20, 5)
    assert difference(logits, logits) == ""
    assert difference(logits, logits + 1e-6) == ""
    # A common part of the logits is no scale to measure by.
    assert difference(logits + 1e4, logits + 1e4 + 0.5)
    changed = logits.clone()
    changed[3, 2] += 0.1
    assert "by 0.1" in difference(logits, changed)
    changed[3, 2] = torch.nan
    assert difference(logits, changed)


class Learns(nn.Module):
    """What a job trains: the model and, beside it, a part of its own."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch):
        images, labels = batch
        return {"loss": F.cross_entropy(self.scale * self.student(images.clone()), labels)}


class Batches:
    """Three steps an epoch; a signal comes in the one that is asked for."""

    steps = 3

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.stop_at = stop_at

    def epoch(self, epoch, skip=0):
        for step in range(skip, self.steps):
            if (epoch, step) == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            images = IMAGES.roll(3 * epoch + step, dims=0) + 0.1 * step
            yield images.contiguous(memory_format=torch.channels_last), LABELS


def trained(kind, folder, stop_at=None) -> nn.Module:
    model = make(kind)
    objective = Learns(model)

    def validate():
        model.eval()
        with torch.inference_mode():
            return {"validation_nll": F.cross_entropy(model(IMAGES.clone()), LABELS).item()}

    train(
        objective,
        Batches(stop_at),
        Training(epochs=3, batch=6, learning_rate=0.05, warmup=0, precision="float32"),
        device=torch.device("cpu"),
        epoch_seed=lambda epoch: 100 + epoch,
        resume=ResumeFiles(folder, "key"),
        validate=validate,
    )
    return model


@pytest.mark.parametrize("kind", [Small, *WORK], ids=lambda kind: kind.__name__)
def test_what_was_stopped_goes_on_to_the_same_bits_and_the_file_has_them(kind, tmp_path):
    unstopped = trained(kind, tmp_path / "unstopped")
    for stop_at in ((1, 1), (2, 0)):
        with pytest.raises(Interrupted):
            trained(kind, tmp_path / "stopped", stop_at)
    model = trained(kind, tmp_path / "stopped")
    for name, tensor in state_of(unstopped).items():
        assert torch.equal(state_of(model)[name], tensor), name
    artifacts.save(tmp_path / "model", model.state_dict(), {})
    copy = make(kind, seed=8)
    fill(copy, artifacts.load(tmp_path / "model")[0])
    with torch.inference_mode():
        assert torch.equal(copy.eval()(IMAGES.clone()), model.eval()(IMAGES.clone()))


def test_a_tied_weight_is_in_a_file_once(tmp_path):
    model = make(forgetful_models.TiedParameter)
    artifacts.save(tmp_path / "model", model.state_dict(), {})
    with safe_open(tmp_path / "model", "pt") as stored:
        assert set(model.state_dict()) - set(stored.keys()) == {"other.weight"}
    tensors, passport = artifacts.load(tmp_path / "model")
    assert passport["tied"] == {"other.weight": "twin.weight"}
    assert torch.equal(tensors["other.weight"], model.twin.weight)


def test_views_of_one_another_are_written_whole(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"whole": whole, "row": whole[1], "turned": whole.t(), "same": whole}
    artifacts.save(tmp_path / "file", tensors, {})
    loaded, _ = artifacts.load(tmp_path / "file")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)


def test_resume_files_that_do_not_fit_are_told_and_the_training_starts_again(tmp_path):
    with pytest.raises(Interrupted):
        trained(forgetful_models.KeptWiring, tmp_path, (1, 1))
    expected = trained(Small, tmp_path / "other")
    said = []
    objective = Learns(make(Small))
    train(
        objective,
        Batches(),
        Training(epochs=3, batch=6, learning_rate=0.05, warmup=0, precision="float32"),
        device=torch.device("cpu"),
        epoch_seed=lambda epoch: 100 + epoch,
        resume=ResumeFiles(tmp_path, "key"),
        report=said.append,
    )
    assert "resume files not used and removed: does not fit the model (student.order" in said[0]
    assert torch.equal(objective.student.head.weight, expected.head.weight)
