"""Trainings as Snakemake starts them: what a result depends on, and on what it does not."""

import csv
import os
import time
from pathlib import Path

import pytest
import script_runs
import torch

from modelswitch.config.experiment import load
from modelswitch.data.splits import fold_of
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.jobs.guards import refuse_future
from modelswitch.jobs.session import Session, undisturbed
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.results.collect import StoredResults
from modelswitch.storage import artifacts

EXPERIMENT = {
    "name": "jobs",
    "data": {"source": "digits", "augment": {"crop": 1, "flip": True}},
    "models": {
        "teacher": {"family": "plain", "stages": [[6], [8]]},
        "student": {"family": "resnet", "widths": [4, 6], "blocks": [1, 1]},
    },
    "transfers": {
        "kd": {},
        "wide": {"soft": 0.5},
        "stored": {"soft": 0.5, "views": "stored"},
        "hinted": {
            "views": "stored",
            "hints": [
                {"loss": "mse", "schedule": "cosine", "end": 0.5},
                {"loss": "attention", "stages": True, "weight": 10},
            ],
        },
        "right": {"soft": 0.5, "weighting": {"rule": "correctness", "delta": 0.3}},
        "match": {"soft": 0.5, "weighting": {"rule": "matched", "to": "right"}},
        "own": {
            "soft": 0.5,
            "weighting": {
                "rule": "import",
                "path": "modelswitch.transfer.weighting:correctness",
                "arguments": {"delta": 0.3},
            },
        },
        "dense": {"guides": "ancestors", "drop": 0.3},
    },
    "chains": {
        "direct": "teacher/student@kd",
        "stored": "teacher/student@stored",
        "hinted": "teacher/student@hinted",
        "match": "teacher/student@match",
        "own": "teacher/student@own",
        "dense": "teacher/student@wide/student@dense",
    },
    "responses": {"views": 2},
    "training": {"epochs": 3, "batch": 128, "learning_rate": 0.05, "precision": "float32"},
}


class Runner:
    """Runs trainings and what they need, in this process, below a folder."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.folder, self.graph = folder, Graph(load(EXPERIMENT | changes))
        self.data = folder / "data.safetensors"
        self.script("prepare", "--spec", self.graph.experiment.data.canonical(), data=self.data)

    def script(self, name: str, *values: object, **outputs: Path) -> None:
        options = [part for key, path in outputs.items() for part in (f"--{key}", path)]
        ended = script_runs.run(name, *values, *options)
        assert ended.status == 0, ended.said

    def place(self, lineage: str, branch: str = "seed0") -> ModelFolder:
        return ModelFolder("jobs", "digits", Replicate.parse(branch), Lineage.parse(lineage))

    def file(self, place: ModelFolder, name: str) -> Path:
        return self.folder / place.file(name)

    def respond(self, place: ModelFolder, views: str = "") -> Path:
        path = self.file(place, f"responses{views}.safetensors")
        if not path.exists():
            teachers = [self.train(teacher) for teacher in self.graph.responders(place)]
            job = self.graph.respond_job(place, views).canonical()
            self.script(
                "respond", "--job", job, "--teachers", *teachers, data=self.data, responses=path
            )
        return path

    def pretrain(self, place: ModelFolder) -> Path:
        path = self.file(place, "hint.safetensors")
        self.script(
            *("hint", "--job", self.graph.hint_job(place).canonical()),
            *("--teacher", self.train(self.graph.parent(place))),
            data=self.data,
            hint=path,
            history=self.file(place, "hint_history.csv"),
        )
        return path

    def train(self, place: ModelFolder, live: bool = False) -> Path:
        """The weights of a place; with ``live``, from live teachers even if it stores responses."""
        model = self.file(place, "live.safetensors" if live else "model.safetensors")
        if model.exists():
            return model
        more: list[object] = []
        if self.graph.stores(place) and not live:
            views = self.graph.stored_for(place)
            teachers = self.graph.teachers(place)
            more = ["--responses", *(self.respond(teacher, views) for teacher in teachers)]
        if live or self.graph.needs_live_teachers(place):
            teachers = [self.train(teacher) for teacher in self.graph.teachers(place)]
            more += ["--teachers", *teachers] if teachers else []
        if self.graph.pretrains(place):
            more += ["--hint", self.pretrain(place)]
        if matched := self.graph.matched(place):
            self.train(matched)
            more += ["--matched", self.file(matched, "history.csv")]
        job = self.graph.train_job(place).canonical()
        script = "train" if place.lineage.parent is None else "distil"
        rest = {n: model.with_name(f"{model.stem}-{n}") for n in ("history", "outputs")}
        if not live:
            rest = {
                "history": self.file(place, "history.csv"),
                "outputs": self.file(place, "outputs.safetensors"),
            }
        self.script(script, "--job", job, *more, data=self.data, model=model, **rest)
        return model


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    return Runner(tmp_path_factory.mktemp("runner"))


def test_the_same_node_twice_is_the_same_to_the_bit(runner, tmp_path):
    place = runner.place("teacher/student@kd")
    first = runner.train(place).read_bytes()
    # Another experiment of other chains, trained in another order.
    again = Runner(tmp_path, chains={"only": "teacher/student@kd"}, seeds=[7, 0])
    other = again.place("teacher", "seed7")
    again.train(other)
    assert again.train(place).read_bytes() == first
    assert again.file(other, "model.safetensors").read_bytes() != (
        again.file(again.place("teacher"), "model.safetensors").read_bytes()
    )


@pytest.mark.parametrize("transfer", ["stored", "hinted"])
def test_stored_responses_train_the_student_that_a_live_teacher_trains(runner, transfer):
    place = runner.place(f"teacher/student@{transfer}")
    runner.train(place), runner.train(place, live=True)
    stored = rows(runner.file(place, "history.csv"))
    live = rows(runner.file(place, "live-history"))
    for ours, theirs in zip(stored, live, strict=True):
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-3)
    logits = [
        artifacts.load(runner.file(place, name))[0]["test.logits"]
        for name in ("outputs.safetensors", "live-outputs")
    ]
    # float16 keeps 11 bits of a logit; the difference stays of that size through the training.
    scale = logits[1].abs().max()
    assert (logits[0] - logits[1]).abs().max() < 2e-2 * scale
    assert (logits[0].argmax(1) == logits[1].argmax(1)).float().mean() > 0.99


def test_responses_are_the_teachers_answers_to_every_view(runner):
    place = runner.place("teacher")
    stored, _ = artifacts.load(runner.respond(place))
    assert stored["logits"].dtype == torch.float16
    job = runner.graph.respond_job(place)
    session = Session(job, runner.data, 1)
    model = session.teacher(job.teachers[0], runner.file(place, "model.safetensors"))
    views = session.views("responses", job.training)
    for view in range(2):
        images = torch.cat(list(views.bank_view(view, 1000)))
        with torch.inference_mode():
            logits = model(images)
        expected = (logits - logits.amax(1, keepdim=True)).half()
        torch.testing.assert_close(stored["logits"][view], expected, rtol=2e-3, atol=2e-3)


def test_matched_weights_are_the_means_that_the_other_rule_used(runner):
    runner.train(runner.place("teacher/student@match"))
    used = rows(runner.file(runner.place("teacher/student@right"), "history.csv"))
    mean = sum(float(row["weight_soft"]) for row in used) / len(used)
    assert 0.2 < mean < 0.8
    for row in rows(runner.file(runner.place("teacher/student@match"), "history.csv")):
        assert float(row["weight_soft"]) == pytest.approx(mean, rel=1e-5)


def test_rules_work_with_hints_and_stored_responses_at_every_stage_of_a_chain(tmp_path):
    def transfer(rule, **hint):
        return {"soft": 0.5, "views": "stored", "weighting": rule, "hint": hint}

    transfers = {
        "first": transfer({"rule": "correctness", "delta": 0.3}, mode="joint"),
        "wsl": transfer("wsl", mode="pretrain"),
        "second": transfer({"rule": "matched", "to": "wsl"}, mode="pretrain"),
    }
    end = "teacher/student@first/student@second"
    training = EXPERIMENT["training"] | {"epochs": 2}
    runner = Runner(tmp_path, transfers=transfers, chains={"all": end}, training=training)
    runner.train(runner.place(end))
    for row in rows(runner.file(runner.place("teacher/student@first"), "history.csv")):
        wrong = float(row["teacher_wrong"])
        assert 0 < wrong < 1
        assert float(row["weight_soft"]) == pytest.approx(0.8 - 0.6 * wrong, rel=1e-4)
        assert float(row["loss_hint"]) > 0
    used = rows(runner.file(runner.place("teacher/student@first/student@wsl"), "history.csv"))
    for part in ("weight_soft", "weight_hard"):
        mean = sum(float(row[part]) for row in used) / len(used)
        for row in rows(runner.file(runner.place(end), "history.csv")):
            assert float(row[part]) == pytest.approx(mean, rel=1e-5)
    # Each teacher answered once, for both students below it.
    assert len(list(tmp_path.rglob("responses.safetensors"))) == 2


def test_a_rule_by_import_path_weights_the_samples(runner):
    place = runner.place("teacher/student@own")
    runner.train(place)
    for row in rows(runner.file(place, "history.csv")):
        wrong = float(row["teacher_wrong"])
        assert 0 < wrong < 1
        assert float(row["weight_soft"]) == pytest.approx(0.8 - 0.6 * wrong, rel=1e-4)


def test_a_densely_guided_student_learns_from_all_above_it(runner):
    place = runner.place("teacher/student@wide/student@dense")
    teachers = [str(teacher.lineage) for teacher in runner.graph.teachers(place)]
    assert teachers == ["teacher/student@wide", "teacher"]
    runner.train(place)
    history = rows(runner.file(place, "history.csv"))
    assert float(history[-1]["loss"]) < float(history[0]["loss"])


def test_out_of_fold_responses_come_from_teachers_that_have_not_seen_the_image(tmp_path):
    runner = Runner(tmp_path, responses={"views": 1, "folds": 3})
    place = runner.place("teacher")
    stored, _ = artifacts.load(runner.respond(place))
    job = runner.graph.respond_job(place)
    session = Session(job, runner.data, 1)
    images = torch.cat(list(session.views("responses", job.training).bank_view(0, 2000)))
    here = session.train_index
    folds = fold_of(session.data.train_units[here], session.data.train_labels[here], 3, 0)
    assert len(job.teachers) == 3
    for fold in range(3):
        fold_place = runner.place("teacher", f"seed0.fold{fold}of3")
        seen = Session(runner.graph.train_job(fold_place), runner.data, 1).train_index
        asked = session.train_index[folds == fold]
        assert not set(seen.tolist()) & set(asked.tolist())
        assert len(seen) + len(asked) == len(session.train_index)
        model = session.teacher(job.teachers[fold], runner.file(fold_place, "model.safetensors"))
        with torch.inference_mode():
            logits = model(images[folds == fold])
        expected = (logits - logits.amax(1, keepdim=True)).half()
        torch.testing.assert_close(
            stored["logits"][0, folds == fold], expected, rtol=2e-3, atol=2e-3
        )


def test_results_of_out_of_fold_responses_say_how_the_teacher_itself_does(tmp_path):
    training = EXPERIMENT["training"] | {"epochs": 1}
    runner = Runner(
        tmp_path,
        responses={"views": 2, "folds": 3},
        chains={"stored": "teacher/student@stored"},
        seeds=[0],
        training=training | {"warmup": 0},
    )
    for place in runner.graph.models():
        runner.train(place)
    tables = StoredResults(runner.graph.experiment, tmp_path)
    assert not tables.missing
    [responses] = tables.responses().to_dict("records")
    assert (responses["lineage"], responses["views"], responses["folds"]) == ("teacher", 2, 3)
    models = tables.models().set_index(["lineage", "split"])
    student = models.loc[("teacher/student@stored", "test")]
    assert student["parent_accuracy"] == models.loc[("teacher", "test"), "accuracy"]
    assert student["accuracy_teacher_right"] > student["accuracy_teacher_wrong"]
    # The share that training saw is that of the stored views: the first in epoch 1.
    history = tables.history().set_index("lineage")
    stored, _ = artifacts.load(runner.file(runner.place("teacher"), "responses.safetensors"))
    session = Session(runner.graph.respond_job(runner.place("teacher")), runner.data, 1)
    labels = session.data.train_labels[session.train_index]
    wrong = (stored["logits"].argmax(2) != labels).double().mean(1)
    assert responses["teacher_wrong"] == pytest.approx(wrong.mean().item())
    seen = history.loc["teacher/student@stored", "teacher_wrong"]
    # The last incomplete batch is left out.
    assert seen == pytest.approx(wrong[0].item(), abs=0.02)


def test_files_of_another_configuration_are_refused_by_name(runner, tmp_path):
    place = runner.place("teacher/student@kd")
    teacher = runner.train(runner.place("teacher", "seed5"))
    job = runner.graph.train_job(place).canonical()
    out = {n: tmp_path / n for n in ("model", "history", "outputs")}
    options = [part for key, path in out.items() for part in (f"--{key}", path)]
    ended = script_runs.run(
        "distil", "--job", job, "--data", runner.data, "--teachers", teacher, *options
    )
    assert ended.status == 1
    assert ended.said.startswith(f"error: {teacher}: belongs to another configuration")
    assert not any(path.exists() for path in out.values())


def test_responses_of_another_teacher_or_other_data_are_refused_by_name(runner, tmp_path):
    place = runner.place("teacher/student@stored")
    job = runner.graph.train_job(place).canonical()
    outputs = [f"--{n}={tmp_path / n}" for n in ("model", "history", "outputs")]
    stored, passport = artifacts.load(runner.respond(runner.place("teacher")))
    foreign = tmp_path / "responses.safetensors"
    for key, said in (
        ("job_digest", "belongs to another configuration"),
        ("data", "belongs to another data set"),
    ):
        artifacts.save(foreign, stored, passport | {key: "0" * 16})
        given = ["--job", job, "--data", runner.data, "--responses", foreign, *outputs]
        ended = script_runs.run("distil", *given)
        assert ended.status == 1
        assert ended.said.startswith(f"error: {foreign}: {said}")
    assert not (tmp_path / "model").exists()


def test_responses_that_are_no_numbers_are_refused_by_name(runner, tmp_path):
    place = runner.place("teacher")
    tensors, passport = artifacts.load(runner.train(place))
    loud = tmp_path / "model.safetensors"
    bias = tensors["classifier.bias"].index_fill(0, torch.tensor([3]), torch.inf)
    artifacts.save(loud, tensors | {"classifier.bias": bias}, passport)
    job = runner.graph.respond_job(place).canonical()
    responses = tmp_path / "responses.safetensors"
    given = ["--job", job, "--data", runner.data, "--teachers", loud, "--responses", responses]
    ended = script_runs.run("respond", *given)
    assert ended.status == 1
    assert ended.said.startswith(f"error: {loud}: answers with logits")
    assert not responses.exists()


def test_a_loss_that_is_no_number_writes_nothing(tmp_path):
    training = EXPERIMENT["training"] | {"learning_rate": 1e30, "warmup": 0}
    runner = Runner(tmp_path, training=training)
    place = runner.place("teacher")
    job = runner.graph.train_job(place).canonical()
    outputs = [f"--{n}={tmp_path / n}" for n in ("model", "history", "outputs")]
    ended = script_runs.run("train", "--job", job, "--data", runner.data, *outputs)
    assert ended.status == 1
    [line] = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    for part in ("epoch 1", "step", "learning rate"):
        assert part in line
    assert not (tmp_path / "model").exists()


def test_resume_files_are_kept_where_the_clock_was_set_back(tmp_path, monkeypatch):
    kept = tmp_path / "resume" / "resume0.safetensors"
    for seconds_back, left in ((3600, True), (0, False)):
        with undisturbed(str(tmp_path / "resume")):
            kept.touch()
            now = time.time() - seconds_back
            monkeypatch.setattr(time, "time", lambda now=now: now)
        monkeypatch.undo()
        assert kept.exists() == left


def test_runs_that_share_a_folder_for_resume_files_keep_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSWITCH_RESUME", str(tmp_path / "shared"))
    monkeypatch.delenv("MODELSWITCH_RUN", raising=False)

    def kept_in(folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        return undisturbed("results/study/.resume/digits/seed0/teacher/train")

    with kept_in("one") as first:
        (first / "resume0.safetensors").touch()
        # Nobody waits for the other, asks it to stop or takes what is the other's away.
        with kept_in("two") as second:
            assert not (second / "resume0.safetensors").exists()
            (second / "resume0.safetensors").touch()
        assert (first / "resume0.safetensors").exists()
    assert [first.is_relative_to(tmp_path / "shared"), first.exists()] == [True, False]
    # The folder that they share is not theirs to remove.
    assert list((tmp_path / "shared").iterdir()) == []
    # Without one, what a run keeps is in its own folder.
    monkeypatch.delenv("MODELSWITCH_RESUME")
    with kept_in("one") as first:
        assert first == Path("results/study/.resume/digits/seed0/teacher/train")


def test_a_file_from_the_future_is_refused_with_what_mends_it(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    refuse_future(path)
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    with pytest.raises(UserError, match=r"model\.safetensors: dated 60 minutes.*--touch"):
        refuse_future(path)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_front_whose_training_went_on_elsewhere_is_told_of_its_student(tmp_path, mixed):
    transfers = {"fit": {"hint": {"mode": "pretrain"}}}
    training = EXPERIMENT["training"] | {"epochs": 1, "warmup": 0}
    chains = {"all": "teacher/student@fit"}
    runner = Runner(tmp_path, transfers=transfers, chains=chains, training=training)
    place = runner.place("teacher/student@fit")
    front = runner.pretrain(place)
    tensors, passport = artifacts.load(front)
    assert passport["mixed_arithmetic"] is False
    artifacts.save(front, tensors, passport | {"mixed_arithmetic": mixed})
    runner.pretrain = lambda place: front
    runner.train(place)
    stored = artifacts.read_passport(runner.file(place, "outputs.safetensors"))
    assert stored.get("mixed_arithmetic", False) is mixed


def test_a_hint_s_pre_training_ends_by_its_loss_on_images_held_back(tmp_path):
    hint = {"mode": "pretrain", "training": {"epochs": 6, "learning_rate": 1e-9, "warmup": 0}}
    waits = Runner(
        tmp_path,
        transfers={"fit": {"hint": hint}},
        chains={"fit": "teacher/student@fit"},
        training=EXPERIMENT["training"] | {"epochs": 2, "stop": {"patience": 1}},
    )
    place = waits.place("teacher/student@fit")
    waits.pretrain(place)
    told = rows(waits.file(place, "hint_history.csv"))
    losses = [float(row["validation_loss"]) for row in told]
    # With a rate of nothing, only the statistics of normalisation still move.
    assert len(losses) < 6 or losses[-1] <= min(losses)
    best = losses.index(min(losses))
    assert len(losses) in (best + 2, 6)
    assert "validation_accuracy" not in told[0]


def test_tables_name_the_losses_of_outputs_and_of_several_inner_layers(tmp_path):
    hints = [{"loss": "relational", "end": 0.5}, {"loss": "attention", "stages": True}]
    runner = Runner(
        tmp_path,
        transfers={"kd": {"loss": "dist", "hint": {"mode": "pretrain"}, "hints": hints}},
        chains={"one": "teacher/student@kd"},
        seeds=[0],
        training=EXPERIMENT["training"] | {"epochs": 2},
    )
    for place in runner.graph.models():
        runner.train(place)
    tables = StoredResults(runner.graph.experiment, tmp_path)
    models = tables.models().set_index(["lineage", "split"])
    student = models.loc[("teacher/student@kd", "test")]
    assert student["output_loss"] == "dist"
    assert student["hint"] == "pretrain+joint"
    assert student["hint_losses"] == "mse+relational+attention"
    assert '"end":0.5' in student["settings"]
    history = tables.history().set_index(["lineage", "stage"]).loc[("teacher/student@kd", "train")]
    assert history["weight_hint_1_relational"].tolist() == [1, 0]
    assert history["loss_hint_1_relational"].tolist()[1] == 0
    assert (history["loss_hint_2_attention"] > 0).all()
