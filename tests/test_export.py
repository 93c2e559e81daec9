"""Files for devices: what they answer in their own runtimes, and what is refused."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modelswitch.config.deploy import CALIBRATED, exported_file
from modelswitch.config.experiment import load
from modelswitch.config.selector import SelectorSettings
from modelswitch.deployment import export, latency, runtimes
from modelswitch.deployment.deployable import Deployable
from modelswitch.deployment.selecting import DeployableSelector
from modelswitch.errors import UserError
from modelswitch.models.ensemble import Ensemble
from modelswitch.planning.model_checks import check_models
from modelswitch.selector.network import Selector, features

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
SHAPE, CLASSES = (12, 10, 3), ["a", "b", "c", "d"]
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
# Of the test extra.
FORMATS = ["onnx", "onnx-int8"]
# Tried where their packages are installed.
OTHERS = [name for name in export.FORMATS if name not in FORMATS]


class Branching(nn.Module):
    """A network with a shortcut, so that more than a chain of layers is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.head(torch.relu(self.second(x) + x).mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Branching().train()
    for _ in range(20):
        network(torch.randn(32, 3, 12, 10))
    return network.eval().to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def pixels():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (64, *SHAPE), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module", params=[True, False], ids=["pixels", "numbers"])
def model(request, network):
    return Deployable(network, MEAN, STD, preprocessing=request.param)


@pytest.fixture(scope="module", params=FORMATS)
def exported(request, model, pixels, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    about = {"lineage": "teacher/student@kd", "classes": CLASSES, "shape": list(SHAPE)}
    export.export(request.param, model, pixels, path, about)
    return request.param, path


def reference(network, pixels):
    """Probabilities by the definition, not by the module that is exported."""
    images = pixels.numpy().transpose(0, 3, 1, 2) / 255
    mean, std = (np.array(values)[:, None, None] for values in (MEAN, STD))
    with torch.inference_mode():
        logits = network(torch.from_numpy(((images - mean) / std).astype(np.float32)))
    return logits.softmax(1).numpy()


def test_a_file_answers_as_its_network_for_any_number_of_images(exported, model, network, pixels):
    name, path = exported
    run = runtimes.open_file(path)
    expected = reference(network, pixels)
    for count in (1, 2, 7, 64):
        answers = run(model.takes(pixels[:count]).numpy())
        assert answers.shape == (count, len(CLASSES))
        np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
        bound = 1e-5 if name == "onnx" else 0.05
        np.testing.assert_allclose(answers, expected[:count], atol=bound)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    # The exporters of these take up to half a minute to be imported.
    [pytest.param(n, marks=() if n == "openvino" else pytest.mark.long) for n in OTHERS],
)
def test_so_does_a_file_of_every_other_format(name, model, network, pixels, tmp_path):
    for package in export.FORMATS[name].NEEDS:
        pytest.importorskip(package, reason="an extra that is not installed")
    path = tmp_path / Path(exported_file(name)).name
    about = {"lineage": "own", "classes": CLASSES, "shape": list(SHAPE)}
    export.export(name, model, pixels, path, about)
    answers = runtimes.open_file(path)(model.takes(pixels).numpy())
    bound = 0.05 if name in CALIBRATED else 1e-4
    np.testing.assert_allclose(answers, reference(network, pixels), atol=bound)
    known = runtimes.describe(path)
    assert known["classes"] == CLASSES
    assert set(known["files"]) == {file.name for file in tmp_path.iterdir()} - {f"{path.name}.json"}
    [first, *_] = latency.measure(path, threads=1)
    assert (first["format"], first["batch"]) == (name, 1)


@pytest.mark.parametrize("name", export.FORMATS)
def test_a_format_that_is_not_installed_names_the_extra(name, monkeypatch):
    """Also before anything is trained."""
    module = export.FORMATS[name]
    find = importlib.util.find_spec

    def absent(package, *more):
        return None if package in module.NEEDS else find(package, *more)

    monkeypatch.setattr(export.importlib.util, "find_spec", absent)
    message = (
        rf"^deploy\.formats: {name} needs the extra '{module.EXTRA}': pip install "
        rf"'modelswitch\[{module.EXTRA}\]' \(not installed: {', '.join(module.NEEDS)}\)$"
    )
    with pytest.raises(UserError, match=message):
        export.format_of(name)
    values = {
        "name": "x",
        "data": {"source": "digits"},
        "models": {"a": {"family": "plain", "stages": [[2]]}},
        "chains": {"only": "a"},
        "deploy": {"formats": [name]},
    }
    with pytest.raises(UserError, match=message):
        check_models(load(values))


def test_the_judgement_counts_what_differs(exported, model, network, pixels):
    _, path = exported
    expected = reference(network, pixels)
    own = runtimes.open_file(path)(model.takes(pixels).numpy())
    labels = own.argmax(1).copy()
    labels[:16] = (labels[:16] + 1) % len(CLASSES)
    found = export.judge(path, model.takes(pixels).numpy(), labels, expected)
    assert found.images == 64
    assert found.accuracy == 48 / 64
    assert found.network_accuracy == np.mean(expected.argmax(1) == labels)
    assert found.agreement == np.mean(expected.argmax(1) == own.argmax(1))
    assert found.largest_difference == pytest.approx(np.abs(own - expected).max())
    assert found.lost == pytest.approx(found.network_accuracy - 0.75)
    recalls = [(own.argmax(1) == label)[labels == label].mean() for label in np.unique(labels)]
    assert found.balanced_accuracy == pytest.approx(np.mean(recalls))
    sure = own.max(1)
    ends = np.linspace(0, 1, 16)
    bins = [(sure > low) & (sure <= high) for low, high in itertools.pairwise(ends)]
    gaps = [abs((own.argmax(1) == labels)[b].mean() - sure[b].mean()) * b.mean()
            for b in bins if b.any()]  # fmt: skip
    assert found.ece == pytest.approx(sum(gaps), abs=1e-6)


def test_a_device_needs_neither_torch_nor_this_project(exported, model, pixels, tmp_path):
    """The class names travel in the file; a script with numpy and the runtime is enough."""
    _, path = exported
    np.save(tmp_path / "images.npy", model.takes(pixels[:3]).numpy())
    code = (
        "import json, sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1])\n"
        "classes = json.loads(session.get_modelmeta().custom_metadata_map['classes'])\n"
        "answers = session.run(None, {'images': numpy.load(sys.argv[2])})[0]\n"
        "assert 'torch' not in sys.modules and 'modelswitch' not in sys.modules\n"
        "print([classes[i] for i in answers.argmax(1)])"
    )
    command = [sys.executable, "-I", "-c", code, str(path), str(tmp_path / "images.npy")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answers = runtimes.open_file(path)(model.takes(pixels[:3]).numpy())
    assert said.strip() == str([CLASSES[i] for i in answers.argmax(1)])


def test_what_lies_beside_a_file_says_what_it_is(exported, model):
    name, path = exported
    about = runtimes.describe(path)
    assert about["format"] == name
    assert about["classes"] == CLASSES
    assert about["preprocessing"] == model.preprocessing
    assert about["bytes"] == path.stat().st_size


def test_eight_bits_are_smaller(network, pixels, tmp_path):
    wide = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))  # fmt: skip
    model = Deployable(wide, MEAN, STD)
    for name in FORMATS:
        export.export(name, model, pixels, tmp_path / f"{name}.onnx", {"classes": CLASSES})
    sizes = {name: runtimes.describe(tmp_path / f"{name}.onnx")["bytes"] for name in FORMATS}
    assert sizes["onnx-int8"] < 0.5 * sizes["onnx"]


@pytest.mark.parametrize("answer", ["probability", "logit"])
def test_an_ensemble_is_written_with_eight_bits(answer, network, pixels, tmp_path):
    torch.manual_seed(3)
    model = Deployable(Ensemble([network, Branching().eval()], answer), MEAN, STD)
    export.export("onnx-int8", model, pixels, tmp_path / "m.onnx", {"classes": CLASSES})
    answers = runtimes.open_file(tmp_path / "m.onnx")(pixels.numpy())
    np.testing.assert_allclose(answers, model(pixels).numpy(), atol=0.05)


def test_two_exports_of_one_network_are_the_same_file(network, pixels, tmp_path):
    model = Deployable(network, MEAN, STD)
    for number in range(2):
        export.export("onnx", model, pixels, tmp_path / f"{number}.onnx", {"classes": CLASSES})
    assert (tmp_path / "0.onnx").read_bytes() == (tmp_path / "1.onnx").read_bytes()


def test_latency_is_measured_in_a_process_without_torch(exported, monkeypatch):
    _, path = exported
    about = runtimes.describe(path)
    runtimes.sidecar(path).write_text(json.dumps(about | {"shape": list(SHAPE)}))
    rows = latency.measure(path, threads=1)
    assert [(row["threads"], row["batch"]) for row in rows] == [(1, 1), (1, 32)]
    for row in rows:
        assert 0 < row["p5_ms"] <= row["median_ms"] <= row["p95_ms"]
        # torch alone takes more.
        assert 10 < row["peak_memory_mb"] < 200


def test_a_runtime_that_is_not_installed_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'modelswitch\[onnx\]'"):
        runtimes.open_file(tmp_path / "model.onnx")


def test_a_file_that_the_runtime_refuses_is_told_in_a_line(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(UserError, match=r"model.onnx: refused by its runtime"):
        runtimes.open_file(tmp_path / "model.onnx")
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"unknown kind of file; known are \.onnx"):
        runtimes.open_file(tmp_path / "model.pt")


def test_a_network_with_two_outputs_is_refused():
    class Two(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)), x

    message = r"a/own@kd returns 2 outputs \(a tensor of shape \[1, 3\], .*has one output"
    with pytest.raises(UserError, match=message):
        export.check_one_output("a/own@kd", Two(), torch.zeros(1, 3, 12, 10))
    with pytest.raises(UserError, match=r"returns a tensor of shape \[1, 3, 12, 10\]"):
        export.check_one_output("own", nn.Identity(), torch.zeros(1, 3, 12, 10))


class Odd(nn.Module):
    """With an operator that no format has."""

    def forward(self, x):
        return torch.linalg.svdvals(x.mean(1))[:, :4]


class Undecided(nn.Module):
    """Goes one way or another by what it sees, which cannot be traced."""

    def forward(self, x):
        return x.mean((2, 3)) if x.mean() > 0 else x.amax((2, 3))


@pytest.mark.parametrize(
    ("part", "reason"), [(Odd(), "svd"), (Undecided(), "data-dependent")], ids=["lacks", "branches"]
)
@pytest.mark.parametrize("name", ["onnx", "executorch", "openvino", "litert"])
def test_an_operator_that_a_format_lacks_is_named_with_its_layer(
    name, part, reason, pixels, tmp_path
):
    for package in export.FORMATS[name].NEEDS:
        pytest.importorskip(package, reason="an extra that is not installed")
    network = nn.Sequential()
    network.add_module("stem", nn.Conv2d(3, 3, 1))
    network.add_module("body", nn.Sequential(nn.ReLU(), part))
    path = tmp_path / f"m{export.SUFFIXES[name][0]}"
    message = rf"{name} cannot hold a/odd@kd, at layer 'body\.1' \(.*{reason}"
    model = Deployable(network, MEAN, STD)
    with pytest.raises(UserError, match=message) as error:
        export.export(name, model, pixels, path, {"lineage": "a/odd@kd"})
    assert "\n" not in str(error.value)
    assert not path.exists()


def test_calibration_has_every_class_and_too_few_images_are_refused():
    labels = torch.tensor([0] * 50 + [1] * 3 + [2])
    images = torch.arange(54)[:, None]
    chosen = export.calibration_images(images, labels, 5, 3, seed=0).flatten()
    assert len(chosen) == 5
    assert set(labels[chosen].tolist()) == {0, 1, 2}
    assert len(set(chosen.tolist())) == 5
    assert len(export.calibration_images(images, labels, 500, 3, seed=0)) == 54
    # A class without a training image has none to give.
    assert len(export.calibration_images(images, labels, 10, 4, seed=0)) == 10
    with pytest.raises(UserError, match=r"deploy\.calibration: found 2, fewer than the 3 classes"):
        export.calibration_images(images, labels, 2, 3, seed=0)


def test_answers_that_are_no_numbers_are_refused(network, pixels, tmp_path):
    broken = Branching()
    with torch.no_grad():
        broken.head.bias.fill_(float("nan"))
    model = Deployable(broken, MEAN, STD)
    export.export("onnx", model, pixels, tmp_path / "m.onnx", {"classes": CLASSES})
    with pytest.raises(UserError, match="answers 64 of 64 test images with no numbers"):
        export.judge(tmp_path / "m.onnx", pixels.numpy(), np.zeros(64, int), np.ones((64, 4)))


@pytest.mark.parametrize("parts", ["whole", "sorted", "matched"])
@pytest.mark.parametrize("preprocessing", [True, False], ids=["pixels", "numbers"])
def test_recognisers_and_selector_are_one_graph(parts, preprocessing, tmp_path):
    """Two images in, person and picked modality out, as the selector's own arithmetic has it."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(2)
    shapes = {"iris": (4, 16, 1), "periocular": (12, 10, 3)}
    recognisers, pixels = [], []
    for height, width, channels in shapes.values():
        layers = nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        network = nn.Sequential(*layers, nn.Linear(8, len(CLASSES)))
        recognisers.append(Deployable(network, MEAN[:channels], STD[:channels], preprocessing))
        size = (40, height, width, channels)
        pixels.append(torch.randint(0, 256, size, dtype=torch.uint8, generator=random))
    settings = SelectorSettings(recognisers="full", parts=parts, top=2, values="logits")
    with torch.inference_mode():
        logits = torch.stack(
            [r.network(r.normalised(own)) for r, own in zip(recognisers, pixels, strict=True)]
        )
        seen = features(logits, settings)
        selector = Selector(seen.shape[1], 2, [8])
        selector.standardise(seen)
        scores = selector(seen)
        # So that each is picked for half of the samples.
        selector.layers[-1].bias[0] -= (scores[:, 0] - scores[:, 1]).quantile(0.5)
        picked = selector(seen).argmax(1)
    assert 0 < picked.sum() < 40
    whole = DeployableSelector(recognisers, selector.eval(), settings)
    about = {
        "selector": "mms",
        "branch": "seed0",
        "modalities": list(shapes),
        "classes": CLASSES,
        "shapes": list(map(list, shapes.values())),
        "scales": [part.scale.flatten().tolist() for part in recognisers],
        "shifts": [part.shift.flatten().tolist() for part in recognisers],
    }
    export.export_selector(whole, pixels, tmp_path / "mms.onnx", about)
    takes = dict(zip(shapes, (own.numpy() for own in whole.takes(pixels)), strict=True))
    for count in (1, 40):
        batch = {name: own[:count] for name, own in takes.items()}
        person, chosen, probabilities = runtimes.open_selector(tmp_path / "mms.onnx")(batch)
        answer = logits[picked[:count], torch.arange(count)]
        assert chosen.tolist() == picked[:count].tolist()
        assert person.tolist() == answer.argmax(1).tolist()
        np.testing.assert_allclose(probabilities, answer.softmax(1), atol=1e-5)
    with pytest.raises(UserError, match=r"takes 2 images at once \(iris, periocular\)"):
        runtimes.open_file(tmp_path / "mms.onnx")
    if parts == "whole":
        # What it is timed with are images as it takes them.
        shown = latency.example(runtimes.describe(tmp_path / "mms.onnx"), 5)
        for name, own in shown.items():
            assert (own.shape[1:], own.dtype) == (takes[name].shape[1:], takes[name].dtype)
        assert len(runtimes.open_selector(tmp_path / "mms.onnx")(shown)[0]) == 5
        rows = latency.measure(tmp_path / "mms.onnx", threads=1)
        assert [(row["selector"], row["branch"], row["batch"]) for row in rows] == [
            ("mms", "seed0", 1),
            ("mms", "seed0", 32),
        ]
        assert all(row["median_ms"] > 0 and row["dataset"] == row["lineage"] == "" for row in rows)


def test_a_selector_s_file_that_is_none_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match=r"mms\.onnx: no such file"):
        runtimes.open_selector(tmp_path / "mms.onnx")
    (tmp_path / "mms.onnx").write_bytes(b"no protobuf")
    with pytest.raises(UserError, match=r"mms\.onnx: refused by its runtime"):
        runtimes.open_selector(tmp_path / "mms.onnx")
