"""Ensembles: what they answer, what they are made of, and what they teach."""

from pathlib import Path

import pytest
import script_runs
import torch

import modelswitch
from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.models.designs import model_costs
from modelswitch.models.ensemble import Ensemble
from modelswitch.planning.model_checks import check_models
from modelswitch.storage import artifacts

VALUES = {
    "name": "many",
    "data": {"source": "digits"},
    "models": {
        "a": {"family": "plain", "stages": [[6]]},
        "b": {"family": "resnet", "widths": [4, 6], "blocks": [1, 1]},
        "both": {"family": "ensemble", "of": ["a", "a/b@kd"]},
        "three": {"family": "ensemble", "of": "a", "size": 3, "answer": "logit"},
        "student": {"family": "plain", "stages": [[4]]},
    },
    "transfers": {"kd": {}, "stored": {"views": "stored"}},
    "chains": {
        "both": "both/student@kd",
        "three": "three/student@stored",
    },
    "seeds": [0],
    "responses": {"views": 2},
    "model_training": {"a": {"epochs": 2, "warmup": 0}},
    "training": {"epochs": 1, "warmup": 0, "precision": "float32"},
}


class Constant(torch.nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def test_the_mean_is_of_probabilities_or_of_logits():
    logits = [[2.0, 0.0, -1.0], [0.0, 3.0, 200.0]]
    members = [Constant(row) for row in logits]
    images = torch.zeros(4, 1, 2, 2)
    shares = torch.tensor(logits).double().softmax(1).mean(0)
    found = Ensemble(members, "probability")(images).double().softmax(1)
    torch.testing.assert_close(found, shares.expand(4, -1), atol=1e-7, rtol=1e-5)
    found = Ensemble(members, "logit")(images)
    torch.testing.assert_close(found, torch.tensor(logits).mean(0).expand(4, -1))


@pytest.fixture(scope="module")
def graph():
    return Graph(load(VALUES))


def place(lineage: str) -> ModelFolder:
    return ModelFolder("many", "digits", Replicate(0), Lineage.parse(lineage))


def test_members_are_trained_each_from_a_seed_of_its_own(graph):
    trained = {str(p.lineage) for p in graph.all_places()}
    assert trained == {
        *("a", "a/b@kd", "both", "both/student@kd"),
        *("a.1", "a.2", "a.3", "three", "three/student@stored"),
    }
    jobs = [graph.train_job(place(f"a.{n}")) for n in (1, 2, 3)]
    assert len({job.digest for job in jobs}) == 3
    # They are what the model itself is, also where its training differs from others'.
    assert {job.training.epochs for job in jobs} == {2}
    assert [job.model for job in jobs] == 3 * [graph.experiment.models["a"]]


def test_a_members_change_changes_the_ensemble_and_its_students(graph):
    change = {"model_training": {"a": {"epochs": 3, "warmup": 0}}}
    other = Graph(load(VALUES | change))
    for lineage in ("both", "three", "both/student@kd"):
        assert other.train_job(place(lineage)).digest != graph.train_job(place(lineage)).digest


def test_what_it_costs_is_the_sum_of_its_members():
    costs = model_costs(load(VALUES), (8, 8, 1), 10)
    for figure in ("parameters", "macs"):
        own = {name: getattr(cost, figure) for name, cost in costs.items()}
        assert own["both"] == own["a"] + own["b"]
        assert own["three"] == 3 * own["a"]


def test_it_is_tried_before_anything_is_trained():
    assert "both/student@kd" in check_models(load(VALUES))["models"]["digits"]


def test_it_answers_and_teaches_live_and_stored(graph, tmp_path):
    data = tmp_path / "data.safetensors"
    spec = graph.experiment.data.canonical()
    assert script_runs.run("prepare", "--data", data, "--spec", spec).status == 0

    def file(lineage: str, name: str) -> Path:
        return tmp_path / place(lineage).file(name)

    def run(script: str, lineage: str, *more: object) -> None:
        job = graph.train_job(place(lineage)).canonical()
        outputs = {n: file(lineage, f"{n}.x") for n in ("model", "history", "outputs")}
        options = [part for name, path in outputs.items() for part in (f"--{name}", path)]
        ended = script_runs.run(script, "--job", job, "--data", data, *options, *more)
        assert ended.status == 0, ended.said

    for member in ("a", "a.1", "a.2", "a.3"):
        run("train", member)
    run("distil", "a/b@kd", "--teachers", file("a", "model.x"))
    members = [file(name, "model.x") for name in ("a", "a/b@kd")]
    run("adopt", "both", "--members", *members)
    run("adopt", "three", "--members", *(file(f"a.{n}", "model.x") for n in (1, 2, 3)))

    # The file alone says what it is.
    alone = file("both", "model.x").rename(tmp_path / "alone.safetensors")
    pixels = torch.randint(0, 256, (20, 8, 8, 1), dtype=torch.uint8).numpy()
    expected = sum(modelswitch.load(path).probabilities(pixels) for path in members) / 2
    found = modelswitch.load(alone).probabilities(pixels)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=1e-6, rtol=1e-4)

    run("distil", "both/student@kd", "--teachers", alone)
    responses = file("three", "responses.x")
    job = graph.respond_job(place("three")).canonical()
    options = ["--teachers", file("three", "model.x"), "--responses", responses]
    assert script_runs.run("respond", "--job", job, "--data", data, *options).status == 0
    run("distil", "three/student@stored", "--responses", responses)
    # Three seeds are three models.
    weights = [artifacts.load(file(f"a.{n}", "model.x"))[0]["classifier.weight"] for n in (1, 2)]
    assert not torch.equal(*weights)


BAD = {
    "one": ({"of": "a"}, "models.three.*needs size"),
    "same": ({"of": ["a", "a"]}, "at least two different members"),
    "alone": ({"of": ["a"]}, "at least two different members"),
    "both": ({"of": ["a", "b"], "size": 2}, "leave it out"),
    "unknown": ({"of": ["a", "c"]}, r"models.three.of: unknown model 'c'"),
    "transfer": ({"of": ["a", "a/b@dk"]}, r"models.three.of: unknown transfer 'dk'"),
    "nested": ({"of": ["a", "both"]}, "'both' comes from an ensemble itself"),
    "itself": ({"of": ["a", "three"]}, "'three' comes from an ensemble itself"),
    "itself five times": ({"of": "three", "size": 5}, "'three' is not trained"),
    "no lineage": ({"of": ["a", "a/b"]}, "models.three.of: chain 'a/b' is not of the form"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_can_be_no_ensemble_is_one_line(kind):
    values, said = BAD[kind]
    models = VALUES["models"] | {"three": {"family": "ensemble", **values}}
    with pytest.raises(UserError, match=said):
        load(VALUES | {"models": models})


def test_it_is_never_trained_and_its_members_have_their_names(graph):
    with pytest.raises(UserError, match=r"chains.x: 'both' is an ensemble.*only be the first"):
        load(VALUES | {"chains": {"x": "a/both@kd"}})
    models = VALUES["models"] | {"a.2": VALUES["models"]["a"]}
    with pytest.raises(UserError, match=r"models.three.of: the member 'a.2' is another model's"):
        load(VALUES | {"models": models})
