"""Models that grow: what they answer right after, that copies can part, and what cannot grow."""

import math
import random

import pytest
import script_runs
import torch
from pydantic import TypeAdapter

import modelswitch
from modelswitch.config.architecture import AdaptedModel, Architecture
from modelswitch.config.experiment import load
from modelswitch.config.file import of_designs
from modelswitch.config.origin import GrownModel
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.models.build import build
from modelswitch.models.designs import model_costs
from modelswitch.models.grow import grown
from modelswitch.models.origins import Images
from modelswitch.planning.model_checks import check_models
from modelswitch.storage import artifacts

SHAPE, CLASSES = (8, 8, 2), 5


def model(**values: object) -> Architecture:
    return TypeAdapter(Architecture).validate_python(values)


def trained(spec: Architecture, seed: int) -> torch.nn.Module:
    """A network whose every tensor has other values than it began with."""
    torch.manual_seed(seed)
    network = build(spec, SHAPE[2], CLASSES)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var") or name.endswith("norm2.weight"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.add_(0.2 * torch.randn_like(tensor))
    return network


def images(seed: int, count: int = 24) -> torch.Tensor:
    height, width, channels = SHAPE
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, height, width, generator=generator)


def grow(spec: Architecture, seed: int, examples: torch.Tensor, **how: object):
    network = trained(spec, seed)
    change = GrownModel.model_validate({"family": "grown", **how})
    first = grown(spec, network, change, Images(SHAPE, CLASSES), examples)
    assert first.network.state_dict().keys() == build(first.architecture, 2, 5).state_dict().keys()
    return network, first


def drawn_model(number: int) -> tuple[Architecture, dict[str, object]]:
    """Any model that can grow, and any growth."""
    of = random.Random(number)
    stages = of.randint(1, 3)
    how = {
        "widen": of.choice([1.0, of.uniform(1.2, 2), of.uniform(2, 4.5)]),
        "deepen": of.choice([0, of.randint(1, 2), [of.randint(0, 2) for _ in range(stages)]]),
        "noise": of.choice([0.0, 0.5, 0.99]),
    }
    if how["widen"] == 1 and not (
        any(how["deepen"]) if isinstance(how["deepen"], list) else how["deepen"]
    ):
        how["deepen"] = 1
    if of.random() < 0.5:
        widths = [of.randint(3, 9) for _ in range(stages)]
        blocks = [of.randint(1, 2) for _ in range(stages)]
        shortcut = of.choice(["pad", "conv"])
        return model(family="resnet", widths=widths, blocks=blocks, shortcut=shortcut), how
    widths = [[of.randint(3, 9) for _ in range(of.randint(1, 2))] for _ in range(stages)]
    deeper = any(how["deepen"]) if isinstance(how["deepen"], list) else how["deepen"]
    activation = "relu" if deeper else of.choice(["relu", "leaky_relu", "silu", "elu", "maxout"])
    norm = of.choice(["batch", "none"])
    return model(family="plain", stages=widths, norm=norm, activation=activation), how


@pytest.mark.parametrize("number", range(40))
def test_it_answers_as_its_parent_with_either_statistics(number):
    """On the images that it was measured on in training, on any in evaluation."""
    spec, how = drawn_model(number)
    seen = images(number)
    network, first = grow(spec, number, seen, **how)
    with torch.no_grad():
        for training, batch in ((False, images(1000 + number)), (True, seen)):
            before = network.train(training)(batch)
            after = first.network.train(training)(batch)
            torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "how"),
    [
        (model(family="plain", stages=[[4, 6], [5]]), {"widen": 1.7}),
        (model(family="resnet", widths=[4, 7], blocks=[1, 2]), {"widen": 1.7, "deepen": 1}),
        (model(family="plain", stages=[[4], [5]], norm="none"), {"widen": 1.7, "deepen": 1}),
    ],
)
def test_only_a_stack_with_batch_statistics_that_is_deeper_depends_on_the_batch(spec, how):
    network, first = grow(spec, 0, images(0), **how)
    other = images(1)
    with torch.no_grad():
        before, after = network.train()(other), first.network.train()(other)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_sizes_are_those_that_were_asked_for():
    plain = model(family="plain", stages=[[8, 8], [12]])
    _, first = grow(plain, 0, images(0), widen=1.5, deepen=[0, 2])
    assert first.architecture == model(family="plain", stages=[[12, 12], [18, 18, 18]])
    resnet = model(family="resnet", widths=[4, 6], blocks=[1, 2])
    _, first = grow(resnet, 0, images(0), widen=2, deepen=1)
    assert first.architecture == model(family="resnet", widths=[8, 12], blocks=[2, 3])


@pytest.mark.parametrize("family", ["plain", "resnet"])
def test_copies_part_in_training_if_there_is_noise(family):
    shapes = {"plain": {"stages": [[4, 4]]}, "resnet": {"widths": [4], "blocks": [1]}}
    spec = model(family=family, **shapes[family])

    def apart(noise: float) -> float:
        _, first = grow(spec, 3, images(3), widen=2, noise=noise)
        network = first.network.train()
        layer = network[0][0]
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        for _ in range(3):
            labels = torch.arange(24) % CLASSES
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images(3)), labels).backward()
            optimizer.step()
        originals, copies = layer.weight[:4], layer.weight[4:]
        nearest = (copies[:, None] - originals[None]).flatten(2).norm(dim=2).min(1).values
        return nearest.min().item()

    assert apart(0.0) < 1e-6
    assert apart(0.5) > 1e-4


def test_a_model_with_an_input_of_its_own_grows_inside():
    own = model(family="plain", stages=[[4], [5]])
    spec = AdaptedModel(
        network=own, channels=3, classes=7, scale=[1.0, 2.0, 0.5], shift=[0.0, 0.1, 0.2],
        size=(6, 6), order=[6, 1, 2, 3, 0],
    )  # fmt: skip
    shape = (8, 8, 1)
    torch.manual_seed(0)
    network = build(spec, 1, CLASSES)
    pixels = torch.randn(16, 1, 8, 8)
    change = GrownModel(family="grown", widen=1.5, deepen=1)
    first = grown(spec, network, change, Images(shape, CLASSES), pixels)
    for training in (False, True):
        after, before = first.network.train(training)(pixels), network.train(training)(pixels)
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert first.architecture.network == model(family="plain", stages=[[6, 6], [8, 8]])


# ------------------------------------------------------------------------------- in an experiment

VALUES = {
    "name": "growth",
    "data": {"source": "digits"},
    "models": {
        "small": {"family": "plain", "stages": [[6], [8]]},
        "large": {"family": "grown", "widen": 1.5, "deepen": [0, 1]},
        "larger": {"family": "grown", "widen": 2},
        "student": {"family": "plain", "stages": [[4]]},
    },
    "transfers": {"kd": {}, "stored": {"views": "stored"}},
    "chains": {"up-and-down": "small/large@kd/larger@kd/student@kd", "up": "small/larger@stored"},
    "seeds": [0],
    "responses": {"views": 2},
    "training": {"epochs": 1, "warmup": 0, "precision": "float32"},
}


def place(lineage: str, branch: Replicate | None = None) -> ModelFolder:
    return ModelFolder("growth", "digits", branch or Replicate(0), Lineage.parse(lineage))


def test_each_lineage_costs_what_it_is():
    costs = model_costs(load(VALUES), (8, 8, 1), 10)
    assert sorted(costs) == [
        "small", "small/large", "small/large/larger", "small/larger", "student",
    ]  # fmt: skip
    for design, stages in {
        "small/large": [[9], [12, 12]],
        "small/large/larger": [[18], [24, 24]],
        "small/larger": [[12], [16]],
    }.items():
        network = build(model(family="plain", stages=stages), 1, 10)
        assert costs[design].parameters == sum(p.numel() for p in network.parameters())
    assert "small/large@kd/larger@kd" in check_models(load(VALUES))["models"]["digits"]


def test_what_is_measured_does_not_depend_on_how_it_was_trained():
    experiment = load(VALUES)
    alone = of_designs(experiment)
    assert list(alone.designs) == list(experiment.designs)
    other = load(VALUES | {"transfers": {"kd": {"soft": 0.1}, "stored": {"views": "stored"}}})
    assert of_designs(other) == alone


def test_a_change_of_the_parent_changes_what_grew():
    graph, other = (
        Graph(load(VALUES)),
        Graph(load(VALUES | {"training": {"epochs": 2, "warmup": 0}})),
    )
    for lineage in ("small/large@kd", "small/larger@stored"):
        assert graph.origin_job(place(lineage)).digest != other.origin_job(place(lineage)).digest
    assert graph.made_from(place("small/larger@stored")) == [place("small")]
    assert graph.made_from(place("small")) == []


def test_it_grows_is_trained_and_teaches(tmp_path):
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

    train("train", "small")
    above = "small"
    for lineage in ("small/large@kd", "small/large@kd/larger@kd"):
        origin, parent = file(lineage, "origin.x"), file(above, "model.x")
        said = run(
            "origin", graph.origin_job(place(lineage)), "--origin", origin, "--parent", parent
        )
        assert "parameters" in said
        pixels = torch.randint(0, 256, (20, 8, 8, 1), dtype=torch.uint8).numpy()
        train("distil", lineage, "--teachers", parent, "--origin", origin)
        above = lineage
    architecture = artifacts.read_passport(file(above, "model.x"))["architecture"]
    assert architecture["stages"] == [[18], [24, 24]]
    # The file alone says what it is.
    alone = file(above, "model.x").rename(tmp_path / "alone.safetensors")
    found = modelswitch.load(alone).probabilities(pixels)
    assert found.shape == (20, 10)
    assert math.isclose(found.sum(), 20, rel_tol=1e-4)
    train("distil", f"{above}/student@kd", "--teachers", alone)


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("spec", "how", "said"),
    [
        ({"family": "mobile", "widths": [4], "blocks": [1]}, {"widen": 2}, "family mobile cannot"),
        ({"family": "plain", "stages": [[4]], "norm": "group"}, {"widen": 2}, "norm: group"),
        (
            {"family": "plain", "stages": [[4]], "activation": "silu"},
            {"deepen": 1},
            "deepen: no layer can be added behind silu",
        ),
        ({"family": "plain", "stages": [[4]]}, {"widen": 1.01}, "widen: 1.01 adds no channel"),
        ({"family": "plain", "stages": [[4]]}, {"deepen": [1, 1]}, "has 2 entries, its parent 1"),
    ],
)
def test_what_cannot_grow_is_told_before_anything_is_trained(spec, how, said):
    models = {"small": spec, "large": {"family": "grown", **how}}
    values = VALUES | {"models": models, "chains": {"up": "small/large@kd"}}
    with pytest.raises(UserError, match=said) as error:
        check_models(load(values))
    assert str(error.value).startswith("models.large: ")


@pytest.mark.parametrize(
    ("large", "chain", "said"),
    [
        ({"widen": 0.5}, "small/large@kd", "models.large.widen: found 0.5"),
        ({"deepen": -1}, "small/large@kd", "models.large.deepen"),
        ({}, "small/large@kd", "nothing grows"),
        ({"widen": 2, "noise": 1}, "small/large@kd", "models.large.noise"),
        ({"widen": 2}, "large/small@kd", "cannot be the first of a chain"),
        ({"widen": 2, "weights": "x.pt"}, "small/large@kd", "unknown key 'weights'"),
    ],
)
def test_growth_that_says_nothing_sensible_is_one_line(large, chain, said):
    models = {"small": VALUES["models"]["small"], "large": {"family": "grown", **large}}
    with pytest.raises(UserError, match=said) as error:
        load(VALUES | {"models": models, "chains": {"up": chain}})
    assert "\n" not in str(error.value)
