"""Views of a transfer that are not those of its teacher's training, stored and live, and what of
mixed labels a student sees."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from test_config import changed
from test_jobs import EXPERIMENT, Runner
from torch import nn

from modelswitch.config.experiment import load
from modelswitch.data.views import Batch
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.jobs.session import Session
from modelswitch.results.collect import StoredResults
from modelswitch.storage import artifacts
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.weighting import fixed

MIXED = {"crop": 1, "erasing": {}, "mixup": 0.5}
TRANSFERS = {
    "same": {"views": "stored", "augment": {"crop": 1, "flip": True}},
    "plain": {"views": "stored"},
    "mixed": {"views": "stored", "augment": MIXED, "soft": 1.0},
    "live": {"augment": MIXED, "soft": 1.0},
    "hint": {"augment": MIXED, "hint": {"mode": "pretrain"}},
}


def values(**more):
    chains = {name: f"teacher/student@{name}" for name in TRANSFERS}
    return EXPERIMENT | {"transfers": TRANSFERS, "chains": chains} | more


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    return Runner(tmp_path_factory.mktemp("views"), transfers=TRANSFERS, chains=values()["chains"])


def test_a_transfer_has_views_of_its_own_and_its_teacher_the_data_s():
    graph = Graph(load(values()))
    own = {str(place.lineage): place for place in graph.all_places() if place.branch.seed == 0}
    assert graph.train_job(own["teacher"]).augmentation.mixup == 0
    for name, mixup in (("same", 0), ("plain", 0), ("mixed", 0.5), ("live", 0.5), ("hint", 0.5)):
        job = graph.train_job(own[f"teacher/student@{name}"])
        assert job.augmentation.mixup == mixup
    assert graph.hint_job(own["teacher/student@hint"]).augmentation.mixup == 0.5


def test_responses_are_stored_once_for_the_same_views_and_apart_for_others():
    graph = Graph(load(values()))
    names = {
        name: graph.stored_for(place)
        for name in ("same", "plain", "mixed")
        for place in graph.all_places()
        if str(place.lineage) == f"teacher/student@{name}"
    }
    assert names["same"] == names["plain"] == ""
    assert names["mixed"] not in ("", names["plain"])
    teacher = next(p for p in graph.all_places() if str(p.lineage) == "teacher")
    jobs = [graph.respond_job(teacher, names[name]) for name in ("plain", "mixed")]
    assert [job.augmentation.mixup for job in jobs] == [0, 0.5]
    assert jobs[0].digest != jobs[1].digest


@pytest.mark.slow
def test_a_student_sees_the_views_that_its_teacher_answered(runner, tmp_path):
    student = runner.place("teacher/student@mixed")
    runner.train(student)
    runner.train(runner.place("teacher/student@plain"))
    stored = runner.respond(runner.place("teacher"), runner.graph.stored_for(student))
    logits, _ = artifacts.load(stored)
    session = Session(runner.graph.train_job(student), runner.data, 1)
    [teacher] = session.job.teachers
    model = session.teacher(teacher, str(runner.train(runner.place("teacher"))))
    for epoch in (0, 1, 2):
        batch = next(session.views("train", session.job.training).epoch(epoch))
        assert batch.shares.min() < 0.9
        with torch.no_grad():
            live = model(batch.images).softmax(1)
        kept = logits["logits"][batch.view][batch.positions].float().softmax(1)
        torch.testing.assert_close(kept, live, atol=2e-3, rtol=0)
    # The results tell of both files as of one teacher's.
    results = StoredResults(runner.graph.experiment, runner.folder)
    table = results.responses()
    assert table[["seed", "lineage", "views"]].to_dict("records")[0] == {
        "seed": 0, "lineage": "teacher", "views": 4,
    }  # fmt: skip


@pytest.mark.parametrize("mixed_labels", ["both", "leading", "soft"])
def test_what_the_hard_loss_sees_of_mixed_labels(mixed_labels):
    torch.manual_seed(0)
    logits = torch.randn(4, 3)
    labels, others = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    shares = torch.tensor([0.8, 0.5, 0.1, 1.0])
    batch = Batch(logits, labels, torch.arange(4), None, others, shares)
    transfer = Distillation(
        nn.Identity(), [lambda batch: logits], fixed, soft=0.0, temperature=1.0,
        mixed_labels=mixed_labels,
    )  # fmt: skip
    own, other = (F.cross_entropy(logits, of, reduction="none") for of in (labels, others))
    expected = {
        "both": shares * own + (1 - shares) * other,
        "leading": torch.stack([own[0], own[1], other[2], own[3]]),
        "soft": torch.stack([0 * own[0], 0 * own[1], 0 * own[2], own[3]]),
    }[mixed_labels]
    torch.testing.assert_close(transfer(batch)["loss"], expected.mean())
    whole = dataclasses.replace(batch, others=None, shares=None)
    torch.testing.assert_close(transfer(whole)["loss"], own.mean())


def test_labels_are_mixed_where_views_are():
    values = changed("transfers.kd", {"mixed_labels": "soft"})
    with pytest.raises(UserError, match=r"kd.mixed_labels: found 'soft', but no view is mixed"):
        load(values)
    values["transfers"]["kd"]["augment"] = {"cutmix": 1.0}
    assert load(values).transfers["kd"].augment.mixes
    del values["transfers"]["kd"]["augment"]
    values["data"] = {"source": "digits", "augment": {"mixup": 0.2}}
    assert load(values)
    with pytest.raises(UserError, match=r"transfers.kd.augment.mixup: found -1"):
        load(changed("transfers.kd", {"augment": {"mixup": -1}}))


def test_one_image_cannot_be_mixed(runner):
    job = runner.graph.train_job(runner.place("teacher/student@live"))
    session = Session(job, runner.data, 1)
    session.train_index = session.train_index[:1]
    with pytest.raises(UserError, match="mix an image with another; found 1 to train on"):
        session.views("train", job.training)


def test_a_session_samples_as_its_training_says(runner):
    job = runner.graph.train_job(runner.place("teacher/student@live"))
    session = Session(job, runner.data, 1)
    for sampling in ("all", "balanced"):
        training = job.training.model_copy(update={"sampling": sampling})
        seen = torch.cat([b.positions for b in session.views("train", training).epoch(0)])
        # Classes are nearly equal here, so that few images come twice, but some do.
        assert (len(seen.unique()) == len(seen)) == (sampling == "all")


def test_a_step_of_one_s_own_is_code_that_a_job_depends_on():
    path = "test_views:tinted"
    own = {"own": {"path": path, "arguments": {"most": 40.0}}}
    graph = Graph(load(values(data={"source": "digits", "augment": own})))
    place = next(p for p in graph.all_places() if str(p.lineage) == "teacher")
    assert graph.train_job(place).code[path]
    transfers = TRANSFERS | {"live": {"augment": own}}
    graph = Graph(load(values(transfers=transfers)))
    codes = {str(p.lineage): graph.train_job(p).code for p in graph.all_places()}
    assert path in codes["teacher/student@live"]
    assert path not in codes["teacher"]
