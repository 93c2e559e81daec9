"""Pruning: what is left, that it can be built anew from its file alone, what cannot be pruned."""

import builtins
import copy
import dataclasses
import io

import numpy as np
import pytest
import script_runs
import torch
from pydantic import TypeAdapter
from rich.console import Console

import modelswitch
from modelswitch.config.architecture import AdaptedModel, Architecture, NarrowedModel
from modelswitch.config.experiment import load
from modelswitch.config.origin import GrownModel, PrunedModel
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.models.build import build
from modelswitch.models.cost import cost
from modelswitch.models.designs import model_costs
from modelswitch.models.grow import grown
from modelswitch.models.narrow import sizes_of
from modelswitch.models.origins import First, Images
from modelswitch.models.prune import pruned, pruned_architecture
from modelswitch.planning.model_checks import check_models
from modelswitch.planning.plan import tree
from modelswitch.results.collect import StoredResults
from modelswitch.storage import artifacts

pytest.importorskip("torch_pruning")

SHAPE, CLASSES = (16, 16, 3), 5
IMAGES = Images(SHAPE, CLASSES)
PLAIN = {"family": "plain", "stages": [[8, 12], [16]]}
RESNET = {"family": "resnet", "widths": [8, 12], "blocks": [1, 2], "shortcut": "conv"}
MOBILE = {"family": "mobile", "widths": [8, 12], "blocks": [1, 2], "expansion": 2}


def model(**values: object) -> Architecture:
    return TypeAdapter(Architecture).validate_python(values)


def pixels(count: int = 20, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, SHAPE[2], *SHAPE[:2], generator=generator)


def trained(spec: Architecture, seed: int = 0) -> torch.nn.Module:
    """A network whose channels differ in how much they do."""
    torch.manual_seed(seed)
    network = build(spec, SHAPE[2], CLASSES)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not name.endswith("running_var"):
                tensor.add_(0.3 * torch.randn_like(tensor))
    return network


def prune(spec: Architecture, network: torch.nn.Module, **how: object) -> First:
    change = PrunedModel.model_validate({"family": "pruned", **how})
    labels = torch.arange(20) % CLASSES
    return pruned(spec, copy.deepcopy(network), change, IMAGES, pixels(), labels)


def amount(spec: Architecture, of: str) -> int:
    return getattr(cost(spec, SHAPE, CLASSES), of)


# ---------------------------------------------------------------------------------- what is left


@pytest.mark.parametrize("values", [PLAIN, RESNET, MOBILE], ids=lambda v: v["family"])
@pytest.mark.parametrize(("scope", "importance"), [
    ("layer", "magnitude"), ("layer", "group_norm"), ("layer", "taylor"),
    ("global", "magnitude"), ("global", "group_norm"), ("global", "taylor"),
])  # fmt: skip
def test_no_more_is_left_than_was_asked_for_and_hardly_less(values, scope, importance):
    spec = model(**values)
    network = trained(spec)
    for of in ("parameters", "macs"):
        first = prune(spec, network, keep=0.5, of=of, scope=scope, importance=importance)
        share = amount(first.architecture, of) / amount(spec, of)
        assert 0.3 < share <= 0.5
        assert sum(p.numel() for p in first.network.parameters()) == amount(
            first.architecture, "parameters"
        )


@pytest.mark.parametrize(
    "values",
    [
        PLAIN,
        PLAIN | {"norm": "group"},
        PLAIN | {"norm": "none", "activation": "silu"},
        RESNET,
        RESNET | {"shortcut": "pad", "widths": [8], "blocks": [3]},
        MOBILE,
        pytest.param({"family": "torchvision", "model": "resnet18"}, marks=pytest.mark.slow),
        pytest.param({"family": "timm", "model": "mobilenetv3_small_050"}, marks=pytest.mark.slow),
    ],
)
def test_what_a_file_says_is_enough_to_build_it_anew(values):
    """As text, without the library, with other first weights: the same answers with its weights."""
    spec = model(**values)
    network = trained(spec)
    first = prune(spec, network, keep=0.5)
    text = first.architecture.model_dump_json()
    again = build(TypeAdapter(Architecture).validate_json(text), SHAPE[2], CLASSES)
    again.load_state_dict(first.network.state_dict())
    images = pixels(8, seed=1)
    assert torch.equal(again.eval()(images), first.network.eval()(images))
    assert amount(first.architecture, "parameters") <= 0.5 * amount(spec, "parameters")


def test_the_least_important_channels_go():
    """Channels that do nothing: the answers stay, however they are ranked."""
    spec = model(**PLAIN)
    network = trained(spec)
    silent = {"stage1_conv1": [1, 4, 6, 7], "stage1_conv2": range(6), "stage2_conv1": range(3, 11)}
    readers = {"stage1_conv1": "stage1_conv2.0", "stage1_conv2": "stage2_conv1.0"}
    with torch.no_grad():
        for layer, those in silent.items():
            block = network.get_submodule(layer)
            for channel in those:
                block[0].weight[channel] *= 1e-6
                block[1].weight[channel], block[1].bias[channel] = 1e-6, 0
                block[1].running_mean[channel] = 0
                reader = network.get_submodule(readers.get(layer, "classifier"))
                reader.weight[:, channel] *= 1e-6
    images = pixels(12, seed=2)
    expected = network.eval()(images)
    for importance in ("magnitude", "group_norm", "taylor"):
        for scope in ("layer", "global"):
            first = prune(
                spec, network, keep=0.5, of="channels", importance=importance, scope=scope
            )
            assert first.architecture == model(family="plain", stages=[[4, 6], [8]])
            torch.testing.assert_close(first.network(images), expected, atol=1e-4, rtol=1e-4)


def test_a_share_of_every_layer_and_multiples_of_a_number():
    spec = model(**PLAIN)
    first = prune(spec, trained(spec), keep=0.25, of="channels")
    assert first.architecture == model(family="plain", stages=[[2, 3], [4]])
    for keep in (0.3, 0.7):
        first = prune(spec, trained(spec), keep=keep, round_to=4)
        assert all(width % 4 == 0 for stage in first.architecture.stages for width in stage)


@pytest.mark.parametrize("values", [PLAIN, RESNET, MOBILE], ids=lambda v: v["family"])
def test_a_share_of_every_layer_is_known_before_there_are_weights(values):
    spec = model(**values)
    change = PrunedModel(family="pruned", keep=0.4)
    assert prune(spec, trained(spec), keep=0.4).architecture == pruned_architecture(
        spec, change, IMAGES
    )


def test_it_is_pruned_again_and_grows_again():
    spec = model(**RESNET)
    once = prune(spec, trained(spec), keep=0.6)
    twice = prune(once.architecture, once.network, keep=0.6)
    assert isinstance(twice.architecture, NarrowedModel)
    assert twice.architecture.network == spec
    assert amount(twice.architecture, "parameters") <= 0.36 * amount(spec, "parameters")
    spec = model(**PLAIN)
    once = prune(spec, trained(spec), keep=0.5)
    change = GrownModel(family="grown", widen=1.5)
    larger = grown(once.architecture, once.network, change, IMAGES, pixels())
    answers = [each.network.eval()(pixels(6, seed=3)) for each in (once, larger)]
    torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)


def test_a_model_with_an_input_of_its_own_is_pruned_inside():
    spec = AdaptedModel(
        network=model(**RESNET), channels=3, classes=7, scale=[1.0, 2.0, 0.5],
        shift=[0.0, 0.1, 0.2], size=(8, 8), order=[6, 1, 2, 3, 0],
    )  # fmt: skip
    first = prune(spec, trained(spec), keep=0.5)
    assert first.architecture.model_copy(update={"network": spec.network}) == spec
    assert isinstance(first.architecture.network, NarrowedModel)
    assert first.network(pixels(2)).shape == (2, CLASSES)


def test_the_last_layer_keeps_its_classes():
    for values in (PLAIN, RESNET, MOBILE):
        spec = model(**values)
        first = prune(spec, trained(spec), keep=0.3)
        assert sizes_of(first.network)["classifier"].outputs == CLASSES


# ------------------------------------------------------------------------------- in an experiment

VALUES = {
    "name": "pruning",
    "data": {"source": "digits"},
    "models": {
        "teacher": {"family": "resnet", "widths": [8, 12], "blocks": [1, 1], "shortcut": "conv"},
        "half": {"family": "pruned", "keep": 0.5},
        "quarter": {"family": "pruned", "keep": 0.5, "scope": "global", "importance": "taylor"},
        "student": {"family": "plain", "stages": [[4]]},
    },
    "transfers": {"kd": {}, "joint": {"hint": {"mode": "joint"}}},
    "chains": {"all": "teacher/half@kd/quarter@kd/student@joint", "one": "teacher/quarter@kd"},
    "seeds": [0, 1],
    "training": {"epochs": 1, "warmup": 0, "precision": "float32"},
}


def place(lineage: str, seed: int = 0) -> ModelFolder:
    return ModelFolder("pruning", "digits", Replicate(seed), Lineage.parse(lineage))


def test_each_lineage_has_a_size_of_its_own_and_the_plan_says_it_is_estimated():
    experiment = load(VALUES)
    costs = model_costs(experiment, (8, 8, 1), 10)
    whole = costs["teacher"].parameters
    assert costs["teacher/half"].parameters <= whole / 2
    assert costs["teacher/half/quarter"].parameters <= whole / 4
    assert whole / 4 < costs["teacher/quarter"].parameters <= whole / 2
    assert experiment.estimated == ["teacher/half", "teacher/half/quarter", "teacher/quarter"]
    assert "teacher/half@kd/quarter@kd" in check_models(experiment)["models"]["digits"]


def test_the_plan_marks_what_is_estimated():
    experiment = load(VALUES)
    table = tree(experiment, model_costs(experiment, (8, 8, 1), 10))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    shown = [line for line in console.export_text().splitlines() if line.strip()]
    lines = {line.replace("└", "").split()[0]: line for line in shown}
    marked = {name for name, line in lines.items() if line.count("~") == 2}
    assert marked == {"half@kd", "quarter@kd"}
    assert not any("~" in line for name, line in lines.items() if name not in marked)


def test_weights_decide_what_is_measured():
    experiment, half = load(VALUES), model(family="plain", stages=[[3]])
    costs = model_costs(experiment, (8, 8, 1), 10, {"teacher/half": half})
    assert costs["teacher/half"] == cost(half, (8, 8, 1), 10)
    assert "teacher/quarter" not in costs


def test_seeds_of_models_with_an_origin_are_pooled(tmp_path):
    """What first weights were made by is of one seed; all else has to be the same."""
    given = VALUES["models"]["teacher"] | {"weights": {"file": "w.pth"}}
    values = VALUES | {"models": VALUES["models"] | {"teacher": given}}
    results = StoredResults(load(values), tmp_path)
    for place in results.graph.models():
        first = dataclasses.replace(place, branch=Replicate(0))
        assert results._settings(place) == results._settings(first)


def test_it_is_pruned_trained_and_teaches(tmp_path):
    graph = Graph(load(VALUES))
    data = tmp_path / "data.safetensors"
    spec = graph.experiment.data.canonical()
    assert script_runs.run("prepare", "--data", data, "--spec", spec).status == 0

    def file(lineage: str, name: str):
        return tmp_path / place(lineage).file(name)

    def run(script: str, job, *more: object) -> str:
        ended = script_runs.run(script, "--job", job.canonical(), "--data", data, *more)
        assert ended.status == 0, ended.said
        return ended.said

    def train(script: str, lineage: str, *more: object) -> None:
        outputs = {n: file(lineage, f"{n}.x") for n in ("model", "history", "outputs")}
        options = [part for name, path in outputs.items() for part in (f"--{name}", path)]
        run(script, graph.train_job(place(lineage)), *options, *more)

    train("train", "teacher")
    above = "teacher"
    for lineage in ("teacher/half@kd", "teacher/half@kd/quarter@kd"):
        origin, parent = file(lineage, "origin.x"), file(above, "model.x")
        job = graph.origin_job(place(lineage))
        assert "pruned from" in run("origin", job, "--origin", origin, "--parent", parent)
        assert artifacts.read_passport(origin)["drawn"]
        train("distil", lineage, "--teachers", parent, "--origin", origin)
        above = lineage
    passports = [
        artifacts.read_passport(file(lineage, "model.x"))
        for lineage in ("teacher", "teacher/half@kd", above)
    ]
    counts = [
        cost(TypeAdapter(Architecture).validate_python(p["architecture"]), (8, 8, 1), 10).parameters
        for p in passports
    ]
    assert counts[1] <= counts[0] / 2
    assert counts[2] <= counts[1] / 2
    # The file alone says what it is.
    alone = file(above, "model.x").rename(tmp_path / "alone.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    assert modelswitch.load(alone).probabilities(images).shape == (20, 10)
    train("distil", f"{above}/student@joint", "--teachers", alone)


def test_a_file_of_another_parent_is_refused(tmp_path):
    graph = Graph(load(VALUES))
    data, other = tmp_path / "data.safetensors", tmp_path / "other.safetensors"
    spec = graph.experiment.data.canonical()
    assert script_runs.run("prepare", "--data", data, "--spec", spec).status == 0
    outputs = [f"--{name}={tmp_path / name}" for name in ("history", "outputs")]
    job = graph.train_job(place("teacher", seed=1)).canonical()
    ended = script_runs.run("train", "--job", job, "--data", data, "--model", other, *outputs)
    assert ended.status == 0, ended.said
    origin = tmp_path / "origin.safetensors"
    job = graph.origin_job(place("teacher/half@kd")).canonical()
    more = ("--origin", origin, "--parent", other)
    ended = script_runs.run("origin", "--job", job, "--data", data, *more)
    assert ended.status == 1
    assert "belongs to another configuration" in ended.said
    assert not origin.exists()


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("teacher", "how", "said"),
    [
        (RESNET | {"shortcut": "pad"}, {"keep": 0.5}, "with shortcut: conv it can"),
        (PLAIN, {"keep": 0.05, "of": "channels"}, "leave none of the 8 channels of stage1_conv1"),
        (PLAIN, {"keep": 1e-4}, "would leave a layer without channels; one channel in every layer"),
        (PLAIN, {"keep": 0.999, "of": "channels"}, "keep: 0.999 removes no channel"),
        (
            {"family": "timm", "model": "vit_tiny_patch16_224",
             "arguments": {"img_size": 8, "patch_size": 4}},
            {"keep": 0.5},
            "cannot be pruned",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_pruned_is_told_before_anything_is_trained(teacher, how, said):
    models = {"teacher": teacher, "less": {"family": "pruned", **how}}
    values = VALUES | {"models": models, "chains": {"down": "teacher/less@kd"}}
    with pytest.raises(UserError, match=said) as error:
        check_models(load(values))
    assert str(error.value).startswith("models.less: ")
    assert str(error.value).count("models.") == 1
    assert "\n" not in str(error.value)


def test_without_the_library_one_line_says_what_brings_it(monkeypatch):
    imported = builtins.__import__

    def without(name: str, *args, **kwargs):
        if name.startswith("torch_pruning"):
            raise ImportError(f"No module named {name!r}")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"models.half: family: pruned: .*'modelswitch\[pruning\]'"):
        check_models(load(VALUES))


@pytest.mark.parametrize(
    ("less", "chain", "said"),
    [
        ({"keep": 1.5}, "teacher/less@kd", "models.less.keep: found 1.5"),
        ({"keep": 0}, "teacher/less@kd", "models.less.keep: found 0"),
        ({}, "teacher/less@kd", "models.less.keep"),
        ({"keep": 0.5, "of": "layers"}, "teacher/less@kd", "models.less.of: found 'layers'"),
        ({"keep": 0.5}, "less/teacher@kd", "cannot be the first of a chain"),
        ({"keep": 0.5, "round_to": 0}, "teacher/less@kd", "models.less.round_to: found 0"),
    ],
)
def test_pruning_that_says_nothing_sensible_is_one_line(less, chain, said):
    models = {"teacher": PLAIN, "less": {"family": "pruned", **less}}
    with pytest.raises(UserError, match=said) as error:
        load(VALUES | {"models": models, "chains": {"down": chain}})
    assert "\n" not in str(error.value)
