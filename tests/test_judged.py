"""What a job judges before it writes: weights, answers, what its file would hold, chance."""

import math
import re

import pytest
import script_runs
import torch
from forgetful_models import Small
from test_jobs import EXPERIMENT, Runner, rows

from modelswitch.jobs.session import Session
from modelswitch.results.collect import StoredResults
from modelswitch.storage import artifacts
from modelswitch.training import precision

TRAINING = {"epochs": 2, "batch": 256, "learning_rate": 0.05, "warmup": 0, "precision": "float32"}


class Bad(Small):
    """Learns, and goes wrong in one way after so many passes."""

    after = 10

    def finish(self):
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))

    def between(self, x):
        if self.training:
            self.passes += 1
        return x


class NanInEvaluation(Bad):
    def behind(self, logits):
        return logits if self.training or self.passes < self.after else logits * math.nan


class NanOnOneImage(Bad):
    """Divides by an image's own deviation: one image, never seen in training, has none."""

    def behind(self, logits):
        if self.training or self.passes < self.after:
            return logits
        return torch.cat([logits[:1] / 0 * 0, logits[1:]])


class ForgetsLate(Bad):
    """Keeps a number outside its buffers that decides only after a while."""

    def finish(self):
        super().finish()
        self.calls = 0

    def between(self, x):
        if self.training:
            self.calls += 1
        return super().between(x) * (3 if self.calls > 3 else 1)


class LastStepTooFar(Bad):
    def behind(self, logits):
        if not self.training or self.passes < self.after:
            return logits
        # The loss is the one that it was, the gradient is not.
        return logits + (logits - logits.detach()) * 1e30


class Dead(Small):
    """No unit ever fires: losses are numbers, and nothing about images is learned."""

    def finish(self):
        with torch.no_grad():
            self.second.bias.fill_(-1e6)


MODELS = {kind.__name__: kind for kind in (Bad, NanInEvaluation, NanOnOneImage, ForgetsLate)}
MODELS |= {"LastStepTooFar": LastStepTooFar, "Dead": Dead}


def build(in_channels, num_classes, kind):
    return MODELS[kind](in_channels, num_classes)


def model(kind: str, path: str = "test_judged:build") -> dict:
    return {"family": "import", "path": path, "arguments": {"kind": kind}}


def runner(folder, teacher, training=None, **changes):
    models = {"teacher": teacher, "student": EXPERIMENT["models"]["student"]}
    return Runner(folder, models=models, training=TRAINING | (training or {}), **changes)


def ended(made, folder, lineage="teacher"):
    """How a training ends, and what files it leaves."""
    job = made.graph.train_job(made.place(lineage)).canonical()
    out = {name: folder / "out" / name for name in ("model", "history", "outputs")}
    options = [part for name, path in out.items() for part in (f"--{name}", path)]
    run = script_runs.run("train", "--job", job, "--data", made.data, *options)
    return run, sorted(path.name for path in folder.glob("out/*"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("NanInEvaluation", "validation after epoch 2: the answers to [0-9]+ of"),
        ("NanOnOneImage", "validation after epoch 2: the answers to [12] of"),
        ("LastStepTooFar", "validation after epoch 2: the answers to [0-9]+ of .* hold nan"),
        ("ForgetsLate", "loaded into a new model, the weights answer otherwise"),
    ],
)
@pytest.mark.parametrize("validation", [0.1, 0])
def test_what_is_no_number_or_would_be_lost_is_not_written(tmp_path, kind, said, validation):
    data = EXPERIMENT["data"] | {"validation": validation}
    run, left = ended(runner(tmp_path, model(kind), data=data), tmp_path)
    assert run.status == 1
    [line] = [line for line in run.said.splitlines() if line.startswith("error: ")]
    # Where nothing is held back for validation, the test images tell.
    said = said if validation else said.replace("validation after epoch 2", "test images")
    assert re.search(said, line)
    assert "Traceback" not in run.said
    assert left == []


def test_the_same_model_without_a_fault_is_written(tmp_path):
    run, left = ended(runner(tmp_path, model("Bad")), tmp_path)
    assert (run.status, left) == (0, ["history", "model", "outputs"]), run.said


@pytest.mark.parametrize(
    "kind", ["PlainWiring", "ExtraState", "ParameterThatIsAView", "LateBuffer"]
)
def test_what_no_file_would_hold_is_refused_before_the_first_epoch(tmp_path, kind):
    made = runner(tmp_path, model(kind, "forgetful_models:build"))
    run, left = ended(made, tmp_path)
    assert run.status == 1
    assert run.said.startswith("error: model ")
    assert run.said.count("\n") == 1
    assert left == []


@pytest.mark.parametrize(
    "kind", ["TiedParameter", "OldWeightNorm", "Pruned", "VersionedState", "Lazy"]
)
def test_what_a_file_holds_teaches_as_it_answered(tmp_path, kind):
    made = runner(tmp_path, model(kind, "forgetful_models:build"))
    place = made.place("teacher/student@kd")
    made.train(place)
    teacher = made.file(made.place("teacher"), "model.safetensors")
    session = Session(made.graph.train_job(place), made.data, 1)
    loaded = session.teacher(session.job.teachers[0], teacher)
    kept, _ = artifacts.load(made.file(made.place("teacher"), "outputs.safetensors"))
    assert torch.equal(session.outputs(loaded)["test.logits"], kept["test.logits"])


def test_a_hint_whose_last_step_went_too_far_is_not_written(tmp_path):
    transfers = {"kd": {"hint": {"mode": "pretrain"}}}
    chains = {"only": "teacher/student@kd"}
    made = runner(tmp_path, EXPERIMENT["models"]["teacher"], transfers=transfers, chains=chains)
    place = made.place("teacher/student@kd")
    teacher = made.train(made.place("teacher"))
    job = made.graph.hint_job(place)
    # One step, whose loss is that of the first weights.
    one = job.training.model_copy(
        update={"epochs": 1, "batch": 100_000, "learning_rate": 1e25, "schedule": "constant"}
    )
    job = job.model_copy(update={"training": one})
    out = {name: tmp_path / "out" / name for name in ("hint", "history")}
    options = [part for name, path in out.items() for part in (f"--{name}", path)]
    run = script_runs.run(
        *("hint", "--job", job.canonical(), "--data", made.data, "--teacher", teacher), *options
    )
    assert run.status == 1
    assert "error: after the last step: loss is " in run.said
    assert not any(path.exists() for path in out.values())


@pytest.mark.parametrize("validation", [0.1, 0])
def test_a_training_that_ends_at_chance_says_so(tmp_path, validation):
    data = EXPERIMENT["data"] | {"validation": validation}
    for network, dies in ((model("Dead"), True), (EXPERIMENT["models"]["teacher"], False)):
        folder = tmp_path / network["family"]
        made = runner(folder, network, {"epochs": 4, "batch": 64}, data=data)
        run, _ = ended(made, folder)
        assert run.status == 0, run.said
        split = "validation" if validation else "test"
        assert ("ends no better than a constant guess" in run.said) == dies, run.said
        assert (f"{split} images accuracy" in run.said) == dies
        assert artifacts.read_passport(folder / "out" / "outputs")["at_chance"] == dies


@pytest.mark.parametrize("kind", ["SeedsItself", "Zeros", "Small"])
def test_first_weights_that_no_seed_changes_are_told(tmp_path, kind):
    made = runner(tmp_path, model(kind, "forgetful_models:build"))
    run, _ = ended(made, tmp_path)
    same = kind != "Small"
    assert ("model teacher: its first weights do not depend on the seed" in run.said) == same
    assert artifacts.read_passport(tmp_path / "out" / "outputs")["same_first_weights"] == same


def test_a_trainings_last_validation_is_what_the_tables_say(tmp_path):
    # Few images and close classes, so that half the precision answers otherwise.
    training = {"precision": "bfloat16", "learning_rate": 0.3}
    made = runner(tmp_path, EXPERIMENT["models"]["teacher"], training, chains={"only": "teacher"})
    place = made.place("teacher")
    made.train(place)
    tables = StoredResults(made.graph.experiment, tmp_path)
    last = rows(made.file(place, "history.csv"))[-1]
    measured = tables.models().set_index("split").loc["validation"]
    assert float(last["validation_accuracy"]) == measured["accuracy"]
    assert float(last["validation_nll"]) == measured["nll"]
    # The training itself was in bfloat16, and its answers would not have been the same.
    session = Session(made.graph.train_job(place), made.data, 1)
    network = session.new_model()
    session.load_weights(network, made.file(place, "model.safetensors"), kind="model")
    with precision.autocast(torch.device("cpu"), torch.bfloat16):
        other = session.outputs(network)["validation.logits"]
    assert not torch.equal(other, tables.answers.tensors(place)["validation.logits"])


def test_first_weights_depend_on_seed_and_lineage_alone_whatever_draws_them(tmp_path):
    teacher = model("DrawsFromNumpy", "forgetful_models:build")
    made = runner(tmp_path, teacher)
    firsts = {}
    for branch in ("seed0", "seed1", "seed0"):
        job = made.graph.train_job(made.place("teacher", branch))
        weights = Session(job, made.data, 1).new_model().state_dict()
        for name in ("first.weight", "second.bias", "head.weight"):
            firsts.setdefault(name, []).append(weights[name])
    for one, other, again in firsts.values():
        assert torch.equal(one, again)
        assert not torch.equal(one, other)
