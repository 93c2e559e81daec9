"""The plan says what it should: every number is worked out here by hand."""

import dataclasses
import io
import json

import pytest
from rich.console import Console
from torch import nn

from modelswitch.config.experiment import load
from modelswitch.config.training import Training
from modelswitch.config.transfer import LayerPair
from modelswitch.data.shapes import DataSize
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.models.cost import share_until
from modelswitch.models.designs import model_costs
from modelswitch.planning import memory, plan, sharing, speed
from modelswitch.planning.speed import MeasuredPace
from modelswitch.planning.tasks import ANSWERS, TRAININGS, Tasks
from modelswitch.storage import cache_folder
from modelswitch.wording import part_of

VALUES = {
    "name": "study",
    "data": {"source": "digits", "validation": 0.2},
    "models": {
        "teacher": {"family": "plain", "stages": [[8], [16]]},
        "student": {"family": "resnet", "widths": [4, 8], "blocks": [1, 1]},
    },
    "transfers": {
        "kd": {},
        "fit": {
            "hint": {
                "mode": "pretrain", "student_layer": 0.25, "teacher_layer": 0.75,
                "training": {"epochs": 6, "warmup": 1},
            }
        },
        "joint": {"hint": {"mode": "joint"}},
        "stored": {"views": "stored"},
        "stored-joint": {"views": "stored", "hint": {"mode": "joint"}},
        "stored-hints": {
            "views": "stored",
            "hints": [{"end": 0.5}, {"loss": "attention", "stages": True, "end": 0.2}],
        },
        "dense": {"guides": "ancestors", "drop": 0.5},
        "slow": {"training": {"epochs": 20}},
        "own": {"weighting": {"rule": "correctness", "delta": 0.1}},
        "same": {"weighting": {"rule": "matched", "to": "own"}},
    },
    "seeds": [0],
    "training": {"epochs": 10, "batch": 100, "warmup": 1},
}  # fmt: skip
# 1,000 images, of which 200 are held back: 8 steps of 100.
SIZES = {"digits": DataSize((8, 8, 1), 10, train=1000, test=300)}


class GivenPace:
    """Seconds for a batch of 100 and shares of a pass; what is asked for in other sizes takes as
    much an image."""

    STEP = {"teacher": 0.5, "student": 0.25}
    ANSWER = {"teacher": 0.1, "student": 0.05}
    SLOWER = {"iris": 2.0}

    def step(self, dataset: str, model: str, training: Training, images: int) -> float:
        return self.STEP[model] * self.SLOWER.get(dataset, 1.0) * images / 100

    def answer(self, dataset: str, model: str, training: Training, images: int) -> float:
        return self.ANSWER[model] * self.SLOWER.get(dataset, 1.0) * images / 100

    def front(self, dataset: str, model: str, layer: str | float) -> float:
        assert isinstance(layer, float)
        return {"teacher": 0.8, "student": 0.9}[model] * layer

    def hints(self, dataset, student, teacher, pairs, training, images) -> float:
        assert (student, teacher) == ("student", "teacher")
        return 0.02 * len(pairs) * images / 100

    def degrade(self, dataset: str) -> float:
        return {"periocular": 0.01, "iris": 0.002}[dataset]

    def selector_step(self, name: str, images: int) -> float:
        assert images == 256
        return 0.03


def experiment(**changes: object):
    return load(json.loads(json.dumps(VALUES)) | changes)


def tasks(sizes=SIZES, **changes: object) -> Tasks:
    return Tasks(Graph(experiment(**changes)), sizes, GivenPace())


def seconds(found: Tasks) -> dict[str, float]:
    """By what a job makes, below the data set's folder."""
    return {task.makes.split("/", 2)[2]: task.seconds for task in found}


# Ten epochs of 8 steps, 200 images validated in each, and 200 + 300 answered at the end.
TEACHER = 10 * 8 * 0.5 + 10 * 200 * 0.001 + 500 * 0.001
ANSWERS_OF_STUDENT = 10 * 200 * 0.0005 + 500 * 0.0005
ALONE = 10 * 8 * 0.25 + ANSWERS_OF_STUDENT


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        ("kd", 10 * 8 * (0.25 + 0.1) + ANSWERS_OF_STUDENT),
        # The hint layer lies on the way of the teacher's answer.
        ("joint", 10 * 8 * (0.25 + 0.1 + 0.02) + ANSWERS_OF_STUDENT),
        ("fit", 10 * 8 * (0.25 + 0.1) + ANSWERS_OF_STUDENT),
        ("stored", ALONE),
        ("stored-joint", ALONE + 10 * 8 * (0.1 * 0.8 * 0.5 + 0.02)),
        # Two epochs to the last stage, three more to the middle, five without.
        ("stored-hints", ALONE + 8 * 0.1 * (2 * 1 + 3 * 0.8 * 0.5) + 8 * 0.02 * (2 * 2 + 3)),
        ("slow", 20 * 8 * 0.35 + 20 * 200 * 0.0005 + 500 * 0.0005),
    ],
)
def test_a_switch_takes_what_its_student_and_its_teacher_take(transfer, expected):
    found = seconds(tasks(chains={"one": f"teacher/student@{transfer}"}))
    assert found["seed0/teacher/model.safetensors"] == pytest.approx(TEACHER)
    assert found[f"seed0/teacher/student@{transfer}/model.safetensors"] == pytest.approx(expected)


def test_a_first_model_has_nobody_beside_it():
    assert seconds(tasks(chains={"one": "student"})) == {
        "seed0/student/model.safetensors": pytest.approx(ALONE)
    }


def test_pre_training_runs_two_fronts_once_and_validates_nothing():
    found = seconds(tasks(chains={"one": "teacher/student@fit"}))
    student, teacher = 0.25 * 0.9 * 0.25, 0.1 * 0.8 * 0.75
    hint = found.pop("seed0/teacher/student@fit/hint.safetensors")
    assert hint == pytest.approx(6 * 8 * (student + teacher))
    assert len(found) == 2


def test_several_guides_answer_and_some_are_left_out_of_a_step():
    found = seconds(tasks(chains={"one": "teacher/student@kd/student@dense"}))
    # Of two guides one is there in half of the steps and both in a quarter; where both would be
    # missing, one stays: 1.25 of 2 on average.
    guides = (0.05 + 0.1) * 1.25 / 2
    expected = 10 * 8 * (0.25 + guides) + ANSWERS_OF_STUDENT
    name = "seed0/teacher/student@kd/student@dense/model.safetensors"
    assert found[name] == pytest.approx(expected)


def test_stored_responses_are_counted_once_and_by_fold():
    responses = {"views": 4, "folds": 3}
    chains = {"one": "teacher/student@stored", "two": "teacher/student@stored-joint"}
    found = seconds(tasks(chains=chains, responses=responses))
    # Four views of the 800 images, each answered by one of the folds' teachers.
    assert found["seed0/teacher/responses.safetensors"] == pytest.approx(4 * 800 * 0.001)
    # A fold's teacher has 533 images: five steps of 100, and 33 (6 %) left out.
    fold = 10 * 5 * 0.5 + 10 * 200 * 0.001 + 500 * 0.001
    assert found["seed0.fold2of3/teacher/model.safetensors"] == pytest.approx(fold)
    assert len(found) == 1 + 3 + 1 + 2


def test_the_longest_chain_goes_through_responses_fronts_and_rules_that_wait():
    stored = tasks(chains={"one": "teacher/student@stored"})
    assert stored.longest == pytest.approx(TEACHER + 8 * 800 * 0.001 + ALONE)
    assert stored.longest == pytest.approx(stored.seconds)
    switch = 10 * 8 * 0.35 + ANSWERS_OF_STUDENT
    front = 6 * 8 * (0.25 * 0.9 * 0.25 + 0.1 * 0.8 * 0.75)
    found = tasks(chains={"one": "teacher/student@fit", "two": "student", "three": "teacher"})
    assert found.longest == pytest.approx(TEACHER + front + switch)
    assert found.seconds == pytest.approx(TEACHER + front + switch + ALONE)
    # Its weights are the mean of those that another training used.
    matched = tasks(chains={"one": "teacher/student@same"})
    assert matched.longest == pytest.approx(TEACHER + 2 * switch)


def test_small_sets_take_the_steps_that_they_are_cut_into():
    sizes = {"digits": DataSize((8, 8, 1), 10, train=200, test=40)}
    found = seconds(tasks(sizes, chains={"one": "student"}))
    # 160 images: 60 would be left out of batches of 100, so there are two steps of 80.
    expected = 10 * 2 * 0.25 * 0.8 + 10 * 40 * 0.0005 + 80 * 0.0005
    assert found == {"seed0/student/model.safetensors": pytest.approx(expected)}


def test_own_images_for_validation_take_none_from_training():
    sizes = {"digits": DataSize((8, 8, 1), 10, train=800, test=300, validation=200)}
    assert seconds(tasks(sizes, chains={"one": "teacher"})) == {
        "seed0/teacher/model.safetensors": pytest.approx(TEACHER)
    }


SELECTION = {
    "data": {"source": "eyes", "validation": 0.2},
    "chains": {"one": "teacher/student@kd"},
    "selector": {
        "selectors": {
            "whole": {"recognisers": "one"},
            "right": {"recognisers": "one", "target": "right"},
        },
        "degradations": {"seen": ["lid"], "unseen": ["jpeg"], "levels": [0.5, 1.0]},
        "training": {"epochs": 5, "batch": 256},
    },
}
EYES = {
    "periocular": DataSize((48, 64, 3), 10, train=1000, test=300),
    "iris": DataSize((32, 96, 1), 10, train=1000, test=300),
}


def test_every_modality_has_its_own_pace_and_selectors_are_counted():
    found = seconds(tasks(EYES, **SELECTION))
    names = {name for name in found if "selector" not in name}
    for name in names:
        assert name.startswith("seed0/teacher")
    by_place = {task.makes: task.seconds for task in tasks(EYES, **SELECTION)}
    folder = "study/{}/seed0/teacher"
    assert by_place[f"{folder.format('periocular')}/model.safetensors"] == pytest.approx(TEACHER)
    assert by_place[f"{folder.format('iris')}/model.safetensors"] == pytest.approx(2 * TEACHER)
    # Clean, and two degradations at two levels: 200 images held back and 300 to test on.
    for modality, answer, degrading in (("periocular", 0.0005, 0.01), ("iris", 0.001, 0.002)):
        name = f"{folder.format(modality)}/student@kd/degraded.safetensors"
        assert by_place[name] == pytest.approx(500 * (5 * answer + degrading))
    # One degradation at two levels on one of two sides: 4 x 200 rows, in batches of 256 with 32
    # (4 %) left out; asked which is right, also clean and with both degraded: 7 x 200 rows, of
    # which 120 (9 %) are left out.
    selector = "study/selector/seed0/{}/selector.safetensors"
    assert by_place[selector.format("whole")] == pytest.approx(5 * 3 * 0.03)
    assert by_place[selector.format("right")] == pytest.approx(5 * 5 * 0.03)
    assert plan.counts(tasks(EYES, **SELECTION), TRAININGS) == (6, "4 models, 2 selectors")
    assert plan.counts(tasks(EYES, **SELECTION), ANSWERS) == (2, "2 sets of degraded outputs")


@pytest.mark.parametrize(("source", "images"), [("eyes", 20 * 4), ("paired", 130)])
def test_what_recognisers_make_of_people_in_no_training_is_counted(source, images):
    """So many people are drawn beside the synthetic ones; of other data some are held back."""
    settings = {"people": 20, "captures": 4} if source == "eyes" else {}
    changes = SELECTION | {"selector": SELECTION["selector"] | {"verification": settings}}
    if source == "paired":
        names = ["periocular", "iris"]
        changes["data"] = {
            "source": source, "path": "eyes.npz", "modalities": names,
            "validation": 0.2, "strangers": 0.1,
        }  # fmt: skip
    sizes = {name: dataclasses.replace(size, strangers=130) for name, size in EYES.items()}
    found = {task.makes: task for task in tasks(sizes, **changes)}
    # As the degraded sets: clean, and two degradations at two levels.
    for modality, answer, degrading in (("periocular", 0.0005, 0.01), ("iris", 0.001, 0.002)):
        folder = f"study/{modality}/seed0/teacher/student@kd"
        task = found[f"{folder}/embeddings.safetensors"]
        assert task.seconds == pytest.approx(images * (5 * answer + degrading))
        assert task.needs == (f"{folder}/model.safetensors",)
    said = "2 sets of degraded outputs, 2 sets of inner vectors of people in no training"
    assert plan.counts(tasks(sizes, **changes), ANSWERS) == (4, said)


@pytest.mark.parametrize(
    ("cores", "threads", "gpus", "expected"),
    [(1, 1, 0, 1), (8, 1, 0, 8), (8, 3, 0, 2), (2, 4, 0, 1), (8, 2, 1, 1), (8, 2, 16, 4)],
)
def test_as_many_run_at_a_time_as_have_their_threads_or_a_gpu(cores, threads, gpus, expected):
    assert plan.slots(cores, threads, gpus) == expected


def test_trainings_that_share_a_gpu_run_at_a_time():
    assert plan.slots(16, 1, 2, 4) == 8
    assert plan.slots(6, 2, 2, 4) == 3
    assert plan.slots(4, 1, 0, 4) == 4


def test_trainings_on_several_gpus_have_them_to_themselves():
    assert plan.slots(16, 1, 8, each=4) == 2
    assert plan.slots(16, 1, 2, each=4) == 1
    assert plan.slots(16, 1, 0, each=4) == 16


def test_the_plan_says_how_many_trainings_a_gpu_has_room_for():
    # 600 MB of each are CUDA's own; no more run than have their threads.
    needed = {"train": 7400, "distil": 1000}
    assert sharing.shares(needed, 80_000, 64) == {"train": 10, "distil": 50}
    assert sharing.shares(needed, 80_000, 16) == {"train": 10, "distil": 16}
    assert sharing.shares(needed, 10_000, 16) == {"train": 1, "distil": 6}
    [line] = sharing.suggestions(needed, 10_000, 16)
    assert "a GPU of 10 GB" in line
    assert "6 of distil (1.0 GB each)" in line
    assert line.endswith("set-resources: {distil: {gpu_share: 6}}")
    assert sharing.suggestions(needed, 10_000, 1) == []
    assert sharing.suggestions({}, 10_000, 16) == []


def test_a_pretended_gpu_has_the_memory_that_is_left(monkeypatch):
    monkeypatch.setenv("MODELSWITCH_DEVICES", "0,1")
    monkeypatch.setattr(sharing, "available_memory", lambda: 5_000_000_000)
    assert sharing.smallest_gpu_mb() == 5000
    monkeypatch.setenv("MODELSWITCH_DEVICES", "")
    assert sharing.smallest_gpu_mb() is None


def test_the_wall_time_is_an_even_share_or_the_longest_chain():
    found = tasks(chains={"one": "teacher/student@kd"}, seeds=[0, 1, 2, 3])
    switch = 10 * 8 * 0.35 + ANSWERS_OF_STUDENT
    assert plan.wall_time(found, 1) == pytest.approx(4 * (TEACHER + switch))
    assert plan.wall_time(found, 2) == pytest.approx(2 * (TEACHER + switch))
    assert plan.wall_time(found, 100) == pytest.approx(TEACHER + switch)


# ------------------------------------------------------------------------------------ the tree

# Grey images of 8x8, ten classes. Weights of convolutions and normalisations, then the classifier.
PARAMETERS = {
    "teacher": 9 * (8 + 8 * 16) + 2 * (8 + 16) + 16 * 10 + 10,
    "student": 9 * (4 + 2 * 4 * 4 + 4 * 8 + 8 * 8) + 2 * (3 * 4 + 2 * 8) + 8 * 10 + 10,
}
MACS = {
    "teacher": 9 * (64 * 8 + 16 * 8 * 16) + 160,
    "student": 9 * (64 * (4 + 2 * 4 * 4) + 16 * (4 * 8 + 8 * 8)) + 80,
}


def printed(changes: dict, sizes=SIZES, cores: int = 4, costs=None, gpus: int = 0) -> list[str]:
    """The lines of the plan."""
    loaded = experiment(**changes)
    if costs is None:
        costs = {name: model_costs(loaded, size.shape, 10) for name, size in sizes.items()}
    console = Console(file=io.StringIO(), width=200)
    found = Tasks(Graph(loaded), sizes, GivenPace())
    plan.show(loaded, costs, found, sizes, cores, console, gpus)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_plan_prints_sizes_ratios_counts_and_time():
    assert PARAMETERS == {"teacher": 1442, "student": 1334}
    assert MACS == {"teacher": 23_200, "student": 34_640}
    chains = {"chain": "teacher/student@kd/student@fit", "scratch": "student"}
    lines = printed({"chains": chains, "seeds": [3, 4]})
    assert lines[0] == "study: digits; seeds 3, 4"
    table = [line.split() for line in lines[1:]]
    assert table[0] == ["model", "params", "layers", "MACs", "of", "parent", "of", "first",
                        "ends", "chain"]  # fmt: skip
    assert table[1] == ["student", "1.33", "k", "6", "34.6", "k", "scratch"]
    assert table[2] == ["teacher", "1.44", "k", "3", "23.2", "k"]
    assert table[3] == ["└", "student@kd", "1.33", "k", "6", "34.6", "k", "1/1.1", "1/1.1"]
    assert table[4] == ["└", "student@fit", "1.33", "k", "6", "34.6", "k", "1/1.0", "1/1.1",
                        "chain"]  # fmt: skip
    assert lines[6] == ""
    # Two seeds of four models and a front; each chain on its own would take three and one.
    assert lines[7] == "10 trainings: 8 models, 2 pre-trained fronts (8 models without sharing)"
    switch = 10 * 8 * 0.35 + ANSWERS_OF_STUDENT
    later = 10 * 8 * (0.25 + 0.05) + ANSWERS_OF_STUDENT
    front = 6 * 8 * (0.25 * 0.9 * 0.25 + 0.05 * 0.9 * 0.75)
    one = TEACHER + switch + later + front
    total = 2 * (one + ALONE)
    assert (round(one, 1), round(total, 1)) == (101.3, 245.1)
    # 4 cores: the even share would be 61 s, but the chain is longer.
    assert lines[8:] == [
        "time: about 1.7 min on 4 cores, 1 core a training (4.1 min one after the other)"
    ]
    last = printed({"chains": chains, "seeds": [3, 4]}, cores=1)[-1]
    assert last == "time: about 4.1 min on 1 core, 1 core a training (4.1 min one after the other)"
    resources = {"threads": 2}
    last = printed({"chains": chains, "seeds": [3, 4], "resources": resources})[-1]
    assert (
        last == "time: about 2.0 min on 4 cores, 2 cores a training (4.1 min one after the other)"
    )
    last = printed({"chains": chains, "seeds": [3, 4]}, gpus=1)[-1]
    assert last == (
        "time: about 4.1 min on 4 cores and 1 GPU, 1 core a training (4.1 min one after the other)"
    )


def test_modalities_with_sizes_of_their_own_have_a_table_each():
    lines = printed(SELECTION, EYES)
    assert lines[2] == "periocular"
    assert lines[7] == "iris"
    # The first convolution sees three channels, or one.
    both = [line.split()[1:3] for line in lines if line.startswith("teacher")]
    assert PARAMETERS["teacher"] + 9 * 2 * 8 == 1586
    assert both == [["1.59", "k"], ["1.44", "k"]]
    assert "6 trainings: 4 models, 2 selectors (4 models without sharing)" in lines
    assert "beside them 2 sets of degraded outputs" in lines
    same = dict.fromkeys(EYES, EYES["iris"])
    lines = printed(SELECTION, same)
    assert lines[2] == "periocular, iris"
    assert len([line for line in lines if line.startswith("teacher")]) == 1


def test_what_an_incomplete_batch_leaves_out_is_said():
    sizes = {"digits": DataSize((8, 8, 1), 10, train=1040, test=300)}
    changes = {
        "chains": {"one": "teacher/student@kd"},
        "model_training": {"student": {"batch": 500}},
    }
    assert printed(changes, sizes)[6:8] == [
        "digits, batches of 100: about 832 images make 8 steps; 3.8 % are left out, others each "
        "epoch",
        "digits, batches of 500: about 832 images make 2 steps of at most 416, or 39.9 % would be "
        "left out",
    ]


@pytest.mark.parametrize(
    ("keep", "free", "said"),
    [
        ("auto", 40e9, "images: 9.03 GB, in memory"),
        ("auto", 36e9, "images: 9.03 GB, on disk, read as they are used"),
        ("memory", 1e9, "images: 9.03 GB, in memory"),
        ("disk", 99e9, "images: 9.03 GB, on disk, read as they are used"),
    ],
)
def test_where_many_images_are_is_said(monkeypatch, keep, free, said):
    monkeypatch.setattr(memory, "available_memory", lambda: free)
    sizes = {"digits": DataSize((224, 224, 3), 10, train=50_000, test=10_000)}
    changes = {"chains": {"one": "teacher"}, "data": VALUES["data"] | {"keep": keep}}
    assert said in printed(changes, sizes)
    assert not any("images:" in line for line in printed({"chains": {"one": "teacher"}}))


def test_old_names_that_still_work_are_told_with_the_new_ones():
    transfers = VALUES["transfers"] | {"kd": {"weighting": {"rule": "dkd", "warmup": 4}}}
    lines = printed({"chains": {"one": "teacher/student@kd"}, "transfers": transfers})
    said = " ".join(lines)
    assert "transfers.kd.weighting: 'dkd' is a loss and no rule; it still works" in said
    assert "loss: dkd, weighting: {rule: weighted, warmup: 4} now" in said
    assert "is a loss" not in " ".join(printed({"chains": {"one": "teacher/student@kd"}}))


def test_with_patience_the_plan_counts_all_epochs_and_says_so():
    said = "with patience: all epochs are counted, and trainings may end earlier"
    chains = {"chains": {"one": "teacher/student@kd"}}
    without = printed(chains)
    waits = printed(chains | {"training": VALUES["training"] | {"stop": {"patience": 2}}})
    assert said not in without
    assert [line for line in waits if line != said] == without


def test_what_is_not_known_is_said_to_be_unknown():
    lines = printed({"chains": {"one": "teacher/student@kd"}}, sizes={}, costs={"digits": {}})
    assert [line.split() for line in lines[2:4]] == [
        ["teacher", "?", "?", "?"],
        ["└", "student@kd", "?", "?", "?", "one"],
    ]
    assert lines[5] == "2 trainings: 2 models (2 models without sharing)"
    assert lines[6:] == ["sizes and time: unknown until the data set has been downloaded"]


SWEEP = {"chain": "teacher/student@kd", "over": {"temperature": [1, 2, 3]}}


def test_a_line_says_how_many_variants_it_stands_for():
    lines = [line.split() for line in printed({"sweeps": {"a": SWEEP}})]
    assert lines[2:4] == [
        ["teacher", "1.44", "k", "3", "23.2", "k"],
        ["└", "student@kd-…", "x", "3", "1.33", "k", "6", "34.6", "k", "1/1.1", "1/1.1", "a"],
    ]
    pair = {"chain": "teacher/student@kd", "over": {"temperature": [1, 2]}}
    assert printed({"sweeps": {"b": pair}})[3].split()[:4] == ["└", "student@kd-…", "x", "2"]
    single = {"chain": "teacher/student@kd", "over": {"temperature": [1]}}
    assert printed({"sweeps": {"c": single}})[3].split()[:3] == ["└", "student@kd-…", "1.33"]


def named(**changes: object) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(row.name, row.variants, row.ends) for row in plan.rows(experiment(**changes))]


def test_sweeps_whose_names_begin_alike_stay_apart():
    other = {"chain": "student/student@kd", "over": {"soft": [0.1, 0.2]}}
    assert named(sweeps={"a": SWEEP, "a-b": other}) == [
        ("student", 1, ()),
        ("student@kd-…", 2, ("a-b",)),
        ("teacher", 1, ()),
        ("student@kd-…", 3, ("a",)),
    ]
    # Below one parent they are told apart by their sweep.
    other = {"chain": "teacher/student@kd", "over": {"soft": [0.1, 0.2]}}
    assert named(sweeps={"a": SWEEP, "a-b": other}) == [
        ("teacher", 1, ()),
        ("student@kd-…", 2, ("a-b",)),
        ("student@kd-…", 3, ("a",)),
    ]


def test_a_chain_that_is_named_like_a_sweeps_variant_is_none():
    assert named(sweeps={"a": SWEEP}, chains={"a-b": "teacher"}) == [
        ("teacher", 1, ("a-b",)),
        ("student@kd-…", 3, ("a",)),
    ]


def test_a_variant_that_is_named_or_switched_on_has_a_line_of_its_own():
    chains = {"best": "teacher/student@kd-temperature2"}
    chains |= {"on": "teacher/student@kd-temperature3/student@kd"}
    assert named(sweeps={"a": SWEEP}, chains=chains) == [
        ("teacher", 1, ()),
        ("student@kd-…", 1, ("a",)),
        ("student@kd-temperature2", 1, ("best", "a")),
        ("student@kd-temperature3", 1, ("a",)),
        ("student@kd", 1, ("on",)),
    ]


@pytest.mark.parametrize(
    ("whole", "part", "said"),
    [
        (100, 100, "1/1.0"),
        (750, 100, "1/7.5"),
        (1, 20, "20.0 x"),
        (100, 101, "1.0 x"),
        (3_000_000, 1, "1/3.00 M"),
        (1, 4_000_000, "4.00 M x"),
        (0, 5, ""),
        (5, 0, ""),
    ],
)
def test_a_ratio_is_never_nought(whole, part, said):
    assert part_of(whole, part) == said


# --------------------------------------------------------------------------- measured on the spot


def test_the_share_of_a_front_is_that_of_its_operations():
    spec = experiment(chains={"one": "teacher"}).models["teacher"]
    front = 9 * 64 * 8
    assert share_until(spec, "stage1_conv1", (8, 8, 1), 10) == pytest.approx(
        front / MACS["teacher"]
    )
    with pytest.raises(UserError, match="nowhere"):
        share_until(spec, "nowhere", (8, 8, 1), 10)


def test_what_was_measured_is_kept_until_it_would_be_another(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "FOLDER", tmp_path)
    measured: list[str] = []

    def timed(call) -> float:
        call()
        measured.append(call.__qualname__)
        return float(len(measured))

    monkeypatch.setattr(speed, "_seconds_per_call", timed)
    loaded = experiment(**SELECTION)
    training = loaded.training

    def pace(sizes=EYES, threads=1):
        resources = loaded.resources.model_copy(update={"threads": threads, "gpu": 0})
        return MeasuredPace(loaded.model_copy(update={"resources": resources}), sizes)

    assert pace().step("iris", "student", training, 10) == 1
    assert pace().answer("iris", "student", training, 10) == 2
    assert pace().step("iris", "student", training, 10) == 1
    assert pace().step("iris", "teacher", training, 10) == 3
    assert pace().step("periocular", "student", training, 10) == 4
    assert pace().step("iris", "student", training, 20) == 5
    assert pace(threads=2).step("iris", "student", training, 10) == 6
    other = training.model_copy(update={"optimizer": "adamw"})
    assert pace().step("iris", "student", other, 10) == 7
    assert pace().selector_step("whole", 256) == 8
    assert pace().selector_step("whole", 256) == 8
    assert 0 < pace().degrade("iris") == pace().degrade("iris")
    front = 9 * 32 * 96 * 8
    whole = front + 9 * 16 * 48 * 8 * 16 + 160
    assert pace().front("iris", "teacher", "stage1_conv1") == pytest.approx(front / whole)
    assert len(measured) == 8


def test_what_hints_add_is_measured_beside_a_step_without_them(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "FOLDER", tmp_path)
    steps: list[set[str]] = []

    def timed(call) -> float:
        call()
        objective = next(c.cell_contents for c in call.__closure__
                         if isinstance(c.cell_contents, nn.Module))  # fmt: skip
        steps.append({type(module).__name__ for module in objective.modules()})
        return 5.0 if "JointTransfer" in steps[-1] else 2.0

    monkeypatch.setattr(speed, "_seconds_per_call", timed)
    loaded = experiment(chains={"one": "teacher/student@joint"})
    pairs = [LayerPair(stages=True), LayerPair(teacher_layer=0.5, student_layer=1.0)]
    pace = MeasuredPace(loaded, SIZES)
    args = ("digits", "student", "teacher")
    assert pace.hints(*args, pairs, loaded.training, 10) == 3
    # Of both the same student and teacher; the second has regressors, too.
    assert len(steps) == 2
    assert "Distillation" in steps[0] & steps[1]
    assert "JointTransfer" not in steps[0]
    assert pace.hints(*args, pairs, loaded.training, 10) == 3
    assert len(steps) == 2
    pace.hints(*args, pairs[:1], loaded.training, 10)
    assert len(steps) == 4


def test_seconds_are_a_mean_over_calls(monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    calls: list[None] = []
    # The clock is looked at before the first call, after the third and each later one, at the end.
    assert speed._seconds_per_call(lambda: calls.append(None)) == pytest.approx(4 / 3)
    assert len(calls) == 2 + 3
