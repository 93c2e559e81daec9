"""Before anything is trained, models are tried with all that trainings and evaluations do."""

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from modelswitch.config.experiment import load
from modelswitch.data.shapes import DataSize
from modelswitch.errors import UserError
from modelswitch.planning import checks, model_checks
from modelswitch.planning.model_checks import check_models
from modelswitch.storage import cache_folder

CLASSES = 10
VALUES = {
    "name": "tried",
    "data": {"source": "digits", "validation": 0.2},
    "models": {"teacher": {"family": "plain", "stages": [[4], [6]]}},
    "transfers": {
        "kd": {},
        "fit": {"hint": {"mode": "pretrain"}},
        "joint": {"hint": {"mode": "joint"}},
    },
    "chains": {"one": "own"},
    "seeds": [0],
    "resources": {"gpu": 0},
    "training": {"epochs": 2, "batch": 64, "warmup": 1},
}


class Plain(nn.Module):
    """Works; what is wrong with the others is what they change of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, CLASSES)

    def answer(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(images).mean((2, 3)))

    def forward(self, images: torch.Tensor):
        return self.answer(images)


class Auxiliary(Plain):
    def forward(self, images):
        logits = self.answer(images)
        return (logits, logits) if self.training else logits


class Dictionary(Plain):
    def forward(self, images):
        return {"logits": self.answer(images)}


class Squeezed(Plain):
    """Loses the batch's dimension where it is one."""

    def forward(self, images):
        return self.answer(images).squeeze()


class OtherClasses(Plain):
    def forward(self, images):
        return self.answer(images)[:, :-1]


class OtherClassesInTraining(Plain):
    def forward(self, images):
        logits = self.answer(images)
        return logits[:, :-1] if self.training else logits


class NotANumber(Plain):
    def forward(self, images):
        return self.answer(images) / (1.0 if self.training else 0.0) * 0


class Raises(Plain):
    error: BaseException = KeyError("layer9")
    when = "both"

    def forward(self, images):
        if self.when == "both" or (self.when == "train") == self.training:
            raise self.error
        return self.answer(images)


class RaisesAssertion(Raises):
    error = AssertionError()


class RaisesInTraining(Raises):
    error, when = OSError(28, "No space left on device"), "train"


class RaisesInEvaluation(Raises):
    error, when = IndexError("first\nsecond"), "eval"


class EndsThePython(Raises):
    error = SystemExit(3)


class NoBatchOfOne(Plain):
    """Normalises over the batch alone."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, CLASSES))


class Frozen(Plain):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


class Forgetful(Plain):
    """Random wiring that no file holds."""

    def __init__(self):
        super().__init__()
        self.wiring = torch.randperm(4)

    def answer(self, images):
        return self.head(self.layer(images).mean((2, 3))[:, self.wiring])


class WithoutGradient(Plain):
    def forward(self, images):
        with torch.no_grad():
            return self.answer(images)


class OneSize(Plain):
    def forward(self, images):
        assert images.shape[2:] == (16, 16), f"Input height ({images.shape[2]}) doesn't match (16)"
        return self.answer(images)


class NeedsValues(Plain):
    def forward(self, images):
        return self.answer(images) + float(images.abs().mean())


class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))


def build(in_channels: int, num_classes: int, kind: str) -> nn.Module:
    if kind == "fails to be built":
        raise FileNotFoundError(2, "No such file or directory", "weights.pt")
    return globals()[kind]()


def experiment(kind: str = "Plain", chain: str = "own", **changes: object):
    values = copy.deepcopy(VALUES) | {"chains": {"one": chain}}
    values["models"]["own"] = {
        "family": "import", "path": "test_checks:build", "arguments": {"kind": kind},
    }  # fmt: skip
    return load(values | changes)


REFUSED = {
    "Auxiliary": ["in training: returns tuple", "auxiliary outputs", "aux_logits: false"],
    "Dictionary": ["returns dict", "a tensor (1, 10)"],
    "Squeezed": ["returns (10,) for 1 image", "(1, 10)"],
    "OtherClasses": ["(1, 9)", "10 classes"],
    "OtherClassesInTraining": ["in training: returns (2, 9)", "10 classes"],
    "NotANumber": ["no numbers"],
    "Raises": ["8x8x1", "KeyError: 'layer9'"],
    "RaisesAssertion": ["AssertionError"],
    "RaisesInTraining": ["cannot be trained", "OSError: [Errno 28] No space left on device"],
    "RaisesInEvaluation": ["cannot run", "IndexError: first"],
    "EndsThePython": ["SystemExit: 3"],
    "Frozen": ["cannot be trained"],
    "WithoutGradient": ["cannot be trained", "grad"],
    "Forgetful": ["answers otherwise", "buffer"],
    "OneSize": ["8x8x1", "AssertionError: Input height (8) doesn't match (16)"],
    "fails to be built": ["cannot be built", "FileNotFoundError", "weights.pt"],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_job_would_stumble_over_is_one_line_before_it(kind):
    with pytest.raises(UserError) as caught:
        check_models(experiment(kind))
    said = str(caught.value)
    assert said.startswith("models.own: ")
    for part in REFUSED[kind]:
        assert part in said


@pytest.mark.parametrize("kind", ["Plain", "Lazy", "NoBatchOfOne", "NeedsValues"])
def test_what_jobs_can_use_is_accepted(kind):
    assert check_models(experiment(kind))["models"]["digits"]["own"] > 600


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_of_one_is_tried_where_there_may_be_one(batch):
    training = VALUES["training"] | {"batch": batch}
    with pytest.raises(UserError, match=r"training\.batch.*batch of one image.*more than 1 value"):
        check_models(experiment("NoBatchOfOne", training=training))
    check_models(experiment("Plain", training=training))
    # A hint's own training counts as well.
    fit = {"hint": {"mode": "pretrain", "training": {"batch": batch}}}
    values = {"transfers": {"fit": fit}}
    with pytest.raises(UserError, match="batch of one image"):
        check_models(experiment("NoBatchOfOne", chain="teacher/own@fit", **values))


@pytest.mark.parametrize("kind", ["Plain", "NeedsValues", "OneSize"])
def test_large_models_are_tried_without_values_where_they_can_be(kind, monkeypatch):
    monkeypatch.setattr(model_checks, "_LARGE", 0)
    monkeypatch.setattr(model_checks, "check_kept", lambda *_: pytest.fail("too large for that"))
    if kind == "OneSize":
        with pytest.raises(UserError, match=r"Input height \(8\)"):
            check_models(experiment(kind))
    else:
        assert check_models(experiment(kind))["models"]["digits"]["own"] > 600


def colour(model: dict, size: int = 32, **changes: object):
    """A model on colour images of a size."""
    data = {"source": "torchvision", "dataset": "CIFAR10", "size": [size, size]}
    values = copy.deepcopy(VALUES) | {"data": data}
    values["models"]["own"] = model
    return load(values | changes)


def test_models_with_auxiliary_outputs_are_told_how_to_leave_them_out():
    model = {"family": "torchvision", "model": "googlenet"}
    with pytest.raises(UserError, match=r"models\.own.*GoogLeNetOutputs.*aux_logits: false"):
        check_models(colour(model, 64))
    check_models(colour(model | {"arguments": {"aux_logits": False}}, 64))
    with pytest.raises(UserError, match=r"models\.own: cannot run on images of 32x32x3"):
        check_models(colour({"family": "torchvision", "model": "inception_v3"}))


def test_a_transformer_for_images_of_another_size_is_told_in_a_line():
    model = {"family": "timm", "model": "vit_tiny_patch16_224"}
    with pytest.raises(UserError, match=r"models\.own: cannot run on images of 32x32x3.*224"):
        check_models(colour(model))
    arguments = {"img_size": 32, "depth": 2}
    check_models(colour(model | {"arguments": arguments}))


@pytest.mark.parametrize(
    "error", [OSError("Can't load from the Hub"), ConnectionError(), RuntimeError("no network")]
)
def test_weights_that_cannot_be_downloaded_are_told_in_a_line(error, monkeypatch):
    def unreachable(*_, **__):
        raise error

    monkeypatch.setattr(timm, "create_model", unreachable)
    model = {"family": "timm", "model": "resnet18", "arguments": {"pretrained": True}}
    with pytest.raises(UserError, match=rf"models\.own: .*resnet18.*{type(error).__name__}"):
        check_models(colour(model))
    monkeypatch.setattr(torchvision.models, "get_model", unreachable)
    with pytest.raises(UserError, match=rf"models\.own: .*resnet18.*{type(error).__name__}"):
        check_models(colour({"family": "torchvision", "model": "resnet18"}))


class NoInnerLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(64, CLASSES))

    def forward(self, images):
        return images.flatten(1) @ self.weight


def test_several_hints_are_tried_together_and_told_by_their_key(monkeypatch):
    values = copy.deepcopy(VALUES) | {"chains": {"one": "teacher/teacher@kd"}}
    hints = [{"loss": "attention", "stages": True}, {"loss": "relational", "schedule": "linear"}]
    values["transfers"] = {"kd": {"hints": hints}}
    taken: list[set[str]] = []
    step = model_checks._take_step

    def watched(objective, batch, training):
        taken.append(set(objective(batch)))
        step(objective, batch, training)

    monkeypatch.setattr(model_checks, "_take_step", watched)
    check_models(load(values))
    wanted = {"loss_hint_1_attention", "loss_hint_2_relational", "weight_hint_2_relational"}
    assert wanted <= taken[-1]
    hints[1]["loss"] = {"name": "import", "path": "test_checks:no_number"}
    with pytest.raises(UserError, match=r"hints: .*loss_hint_2_import of its first step is nan"):
        check_models(load(values))
    hints[1] = {"student_layer": "nowhere"}
    with pytest.raises(UserError, match=r"transfers\.kd\.hints: .*no inner layer 'nowhere'"):
        check_models(load(values))


def no_number(student, teacher):
    return student.mean() * float("nan")


@pytest.mark.parametrize("transfer", ["fit", "joint"])
def test_a_step_with_every_hint_is_taken(transfer, monkeypatch):
    taken: list[str] = []
    step = model_checks._take_step

    def watched(objective, batch, training):
        taken.append(type(objective).__name__)
        step(objective, batch, training)

    monkeypatch.setattr(model_checks, "_take_step", watched)
    check_models(experiment("Plain", chain=f"teacher/own@{transfer}"))
    kind = {"fit": "HintPretraining", "joint": "JointTransfer"}[transfer]
    assert taken.count(kind) == 1
    with pytest.raises(UserError, match=rf"transfers\.{transfer}\.hint: .*has no inner layer"):
        check_models(experiment("NoInnerLayer", chain=f"teacher/own@{transfer}"))


TOO_FEW = [
    ({"loss": "standardised"}, 2, 64, r"loss: 'standardised' .* 2 classes; it needs at least 3"),
    ({"weighting": "standardised"}, 2, 64, r"loss: 'standardised' .* 2 classes"),
    ({"loss": {"name": "dkd", "alpha": 0}}, 2, 64, "loss: 'dkd' .* at least 3"),
    ({"loss": "dist"}, 2, 64, "loss: 'dist' .* at least 3"),
    ({"hints": [{"loss": "relational"}]}, 2, 2, "hints: 'relational' .* batches of 2; .* 3 images"),
    ({"hint": {"mode": "joint", "loss": "similarity"}}, 2, 1, "hint: 'similarity' .* of 1; .* 2"),
    ({"loss": {"name": "dist", "beta": 0}}, 2, 1, "loss: .*training.batch: 1 makes .* of 1; .* 2"),
]


@pytest.mark.parametrize(("transfer", "classes", "batch", "said"), TOO_FEW)
def test_a_loss_that_classes_or_batches_leave_nothing_to_do_is_refused(
    transfer, classes, batch, said, monkeypatch
):
    size = DataSize((8, 8, 1), classes, 200, 50)
    monkeypatch.setattr(model_checks, "sizes_of", lambda data: {"digits": size})
    values = copy.deepcopy(VALUES) | {"chains": {"one": "teacher/teacher@kd"}}
    values["transfers"] = {"kd": transfer}
    values["training"] = {"epochs": 2, "batch": batch, "warmup": 1}
    with pytest.raises(UserError, match=rf"transfers\.kd\.{said}"):
        check_models(load(values))
    values["transfers"] = {"kd": {"loss": "dkd"}}
    check_models(load(values))


# ----------------------------------------------------------------------------------- remembered


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """How often models have been tried."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache_folder, "FOLDER", tmp_path / "notes")
    count: list[None] = []
    check = model_checks.check_models

    def counted(given):
        count.append(None)
        return check(given)

    monkeypatch.setattr(model_checks, "check_models", counted)
    return count


def images(size: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(size)
    labels = np.arange(40) % CLASSES
    pictures = random.integers(0, 256, (60, size, size, 1), dtype=np.uint8)
    return {
        "x_train": pictures[:40],
        "y_train": labels,
        "x_test": pictures[40:],
        "y_test": labels[:20],
    }


def test_checks_are_remembered_by_what_they_depend_on(tried, tmp_path):
    data = {"data": {"source": "npz", "path": "images.npz", "validation": 0.2}}
    np.savez("images.npz", **images(16))
    checks.check_once(experiment("OneSize", **data))
    checks.check_once(experiment("OneSize", **data))
    assert len(tried) == 1
    # Images of another size behind the same path.
    before = Path("images.npz").stat().st_mtime_ns
    np.savez("images.npz", **images(8))
    os.utime("images.npz", ns=(before, before))
    with pytest.raises(UserError, match=r"Input height \(8\)"):
        checks.check_once(experiment("OneSize", **data))
    # What failed is tried again until it works.
    with pytest.raises(UserError):
        checks.check_once(experiment("OneSize", **data))
    np.savez("images.npz", **images(16))
    checks.check_once(experiment("OneSize", **data))
    assert len(tried) in (3, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"training": VALUES["training"] | {"batch": 2}},
        {"model_training": {"own": {"precision": "float32"}}},
        {"chains": {"one": "teacher/own@fit"}},
        {"data": {"source": "digits", "validation": 0.1}},
    ],
)
def test_another_configuration_is_tried_anew(tried, change):
    checks.check_once(experiment())
    checks.check_once(experiment(**change))
    assert len(tried) == 2


def test_another_version_of_a_library_is_tried_anew(tried, monkeypatch):
    checks.check_once(experiment())
    monkeypatch.setattr(checks, "version", lambda name: f"{name} of tomorrow")
    checks.check_once(experiment())
    assert len(tried) == 2


def test_a_file_that_a_models_arguments_name_is_looked_at(tried, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"one")
    named = {"family": "import", "path": "test_checks:build_from",
             "arguments": {"file": "weights.pt"}}  # fmt: skip
    values = load(copy.deepcopy(VALUES) | {"models": {"own": named}})
    checks.check_once(values)
    checks.check_once(values)
    (tmp_path / "weights.pt").write_bytes(b"other")
    checks.check_once(values)
    assert len(tried) == 2


def build_from(in_channels: int, num_classes: int, file: str) -> nn.Module:
    return Plain()
