"""A search for a small model: what it proposes, how far it goes, what it refuses."""

import copy
import itertools
import math
import random

import pytest
import test_jobs
import torch
import yaml
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_figures import not_drawn, overlaps

from modelswitch.config.experiment import Experiment, load
from modelswitch.data.shapes import DataSize
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import CUT_BRANCH, Lineage, ModelFolder, Replicate
from modelswitch.report.figures import style
from modelswitch.search import (
    designs,
    figures,
    flow,
    journal,
    outcome,
    plan,
    proposals,
    ranking,
    shrink,
)
from modelswitch.search.checks import check_once
from modelswitch.search.designs import Known, sizes_of, write
from modelswitch.search.places import cut_places, earlier_place
from modelswitch.search.proposals import Tried, propose
from modelswitch.search.recipe import recipe
from modelswitch.search.schedule import Schedule, trainings
from modelswitch.search.steps import Record, Score, SearchStep, read
from modelswitch.storage import artifacts

SHAPE = ((8, 8, 1), 10)
VALUES = {
    "name": "searched",
    "data": {"source": "digits", "validation": 0.2},
    "models": {
        "teacher": {"family": "plain", "stages": [[16, 16], [32, 32]]},
        "middle": {"family": "plain", "stages": [[12], [16]]},
    },
    "transfers": {
        "kd": {"soft": 0.7},
        "hinted": {"soft": 0.5, "hint": {"mode": "joint"}},
    },
    "chains": {"direct": "teacher/middle@kd"},
    "training": {"epochs": 9, "batch": 128, "learning_rate": 0.05, "precision": "float32"},
    "search": {
        "space": {
            "teachers": ["teacher"],
            "assistants": {"count": [0, 1], "models": ["middle"], "transfer": "kd"},
            "students": [
                {"family": "plain", "width": [4, 6, 8], "depth": [1, 2], "stages": 2},
                {"family": "resnet", "width": [4, 6], "depth": [1], "stages": 2},
                {"family": "pruned", "keep": [0.5, 0.25]},
            ],
            "transfers": ["kd", "hinted"],
            "over": {
                "soft": [0.3, 0.9],
                "weighting": ["fixed", {"rule": "correctness", "delta": [0.05, 0.1]}],
            },
        },
        "budget": {"trainings": 12},
        "rungs": {"count": 3, "reduction": 3, "batches": 2},
    },
}


def experiment(**search) -> Experiment:
    values = copy.deepcopy(VALUES)
    values["search"] |= search
    return load(values)


def changed(path: str, value) -> Experiment:
    values = copy.deepcopy(VALUES)
    *keys, last = path.split(".")
    inner = values
    for key in keys:
        inner = inner[key]
    inner[last] = value
    return load(values)


# ---------------------------------------------------------------- trainings that are cut short


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    return test_jobs.Runner(tmp_path_factory.mktemp("cut"))


def cut(runner, until: int, earlier=None, lineage="teacher/student@hinted"):
    """The outputs of a training that is cut short after so many epochs."""
    place = runner.place(lineage, f"seed0.until{until}")
    teacher, parent = runner.graph.parent(place), runner.train(runner.graph.parent(place))
    more = ["--teachers", parent]
    if runner.graph.stores(place):
        more += ["--responses", runner.respond(teacher, runner.graph.stored_for(place))]
    if earlier:
        more += ["--earlier", earlier]
    files = {
        name: runner.file(place, f"{name}.safetensors") for name in ("model", "outputs", "state")
    }
    job = runner.graph.train_job(place).canonical()
    history = runner.file(place, "history.csv")
    more += ["--resume", runner.folder / place.resume_folder("train")]
    runner.script("distil", "--job", job, *more, data=runner.data, history=history, **files)
    return files | {"history": history}


def rows_without_times(path):
    return [
        {key: value for key, value in row.items() if "seconds" not in key}
        for row in test_jobs.rows(path)
    ]


@pytest.mark.parametrize("lineage", ["teacher/student@hinted", "teacher/student@kd"])
def test_from_rung_to_rung_a_training_is_to_the_bit_the_one_that_was_never_cut(runner, lineage):
    whole = runner.train(runner.place(lineage))
    first = cut(runner, 1, lineage=lineage)
    rows = test_jobs.rows(first["history"])
    second = cut(runner, 3, earlier=first["state"], lineage=lineage)
    # Times and all: the first epoch was not trained again.
    assert test_jobs.rows(second["history"])[:1] == rows
    weights, passport = artifacts.load(whole)
    through, other = artifacts.load(second["model"])
    assert all(torch.equal(weights[name], through[name]) for name in weights)
    assert passport["job_digest"] != other["job_digest"]
    beginning = rows_without_times(first["history"])
    history = rows_without_times(whole.with_name("history.csv"))
    assert history[:1] == beginning
    assert rows_without_times(second["history"]) == history
    # What was cut short knows nothing of the test images.
    assert "test.logits" in artifacts.load(whole.with_name("outputs.safetensors"))[0]
    for files in (first, second):
        assert {n.split(".")[0] for n in artifacts.load(files["outputs"])[0]} <= {
            "validation",
            "weight_counts",
        }


def test_a_state_of_another_training_is_refused(runner):
    other = cut(runner, 1, lineage="teacher/student@kd")["state"]
    with pytest.raises(AssertionError, match="key"):
        cut(runner, 2, earlier=other, lineage="teacher/student@right")


@pytest.mark.parametrize("text", ["seed3.until5", "seed0.until12"])
def test_branches_that_are_cut_are_read_back(text):
    import re

    branch = Replicate.parse(text)
    assert str(branch) == text
    assert re.fullmatch(CUT_BRANCH, text)
    assert str(branch.whole) == str(branch.first) == text.split(".")[0]


# ---------------------------------------------------------------------- rungs and budgets


def test_rungs_have_fewer_students_for_longer():
    search = experiment().search
    schedule = Schedule.of(search)
    assert schedule.students(12) == [12, 4, 1]
    assert search.epochs(9) == [1, 3, 9]
    # 12 x 1, then 4 from 1 to 3, then 1 from 3 to 9.
    assert schedule.epochs(12, [1, 3, 9]) == 12 + 8 + 6
    assert [schedule.rung(step) for step in range(schedule.last)] == [0, 0, 1, 2]
    assert [schedule.batch(step, 13) for step in (0, 1)] == [7, 6]


@pytest.mark.parametrize("epochs", [0, 8, 9, 26, 27, 100, 1000])
def test_a_budget_in_epochs_pays_for_as_many_as_possible(epochs):
    schedule, ends = Schedule(batches=1, rungs=3, reduction=3), [1, 3, 9]
    found = schedule.affordable(epochs, ends)
    by_hand = max((n for n in range(1, 1000) if schedule.epochs(n, ends) <= epochs), default=0)
    assert found == by_hand


def test_a_rung_goes_on_from_the_one_below():
    asked, lineage = experiment(), Lineage.parse("teacher/plain2-w4-d1@kd-soft0.3-fixed")
    places = [cut_places(asked, lineage, rung)[0] for rung in range(3)]
    assert [str(place.branch) for place in places] == [
        "seed1000.until1",
        "seed1000.until3",
        "seed1000.until9",
    ]
    assert [earlier_place(asked, place) for place in places] == [None, *places[:2]]


# ----------------------------------------------------------------------------- proposals


def accuracy_of(lineage: str) -> float:
    """Some accuracy that depends on the student as accuracies do, and on nothing else."""
    noise = random.Random(lineage).random() / 50
    width = next((int(part[1:]) for part in lineage.split("/")[-1].split("-") if part[0] == "w"), 3)
    return 0.6 + 0.03 * width + 0.05 * ("hinted" in lineage) + noise


def known_of(asked: Experiment, folder) -> Known:
    write(asked, SHAPE, None, str(folder / "designs.json"))
    return Known(asked, folder / "designs.json")


def searched(asked: Experiment, folder, arm="guided", until=None) -> list[SearchStep]:
    """All steps of a search whose trainings take no time."""
    known, steps = known_of(asked, folder), []
    for step in range((until if until is not None else Schedule.of(asked.search).last) + 1):
        scores = [
            Score(trial.number, steps[-1].rung, accuracy_of(trial.lineage), 0.9)
            for trial in (steps[-1].trials if steps else [])
        ]
        steps.append(flow.next_step(asked, arm, step, steps, scores, known))
        path = folder / f"{arm}{step}.json"
        steps[-1].write(path)
        assert read(path) == steps[-1]
    return steps


GOALS = [
    {},
    {
        "goal": {"minimise": "parameters"},
        "constraints": {"accuracy": {"at_least": "0.9 of teacher"}},
    },
    {"goal": {"maximise": "validation_accuracy", "minimise": ["macs"]}},
]


@pytest.mark.parametrize("goal", GOALS, ids=["tpe", "constrained", "nsga2"])
@pytest.mark.parametrize("arm", ["guided", "random"])
def test_a_search_that_is_done_again_tries_the_same(tmp_path, goal, arm):
    asked = experiment(**goal)
    first = searched(asked, tmp_path, arm)
    assert [len(step.trials) for step in first] == [6, 6, 4, 1, 1]
    lineages = [trial.lineage for step in first[:2] for trial in step.trials]
    assert len(set(lineages)) == 12
    # From the files alone, as after a kill.
    steps = [read(tmp_path / f"{arm}{step}.json") for step in range(3)]
    scores = [Score(t.number, 1, accuracy_of(t.lineage), 0.9) for t in steps[2].trials]
    again = flow.next_step(asked, arm, 3, steps, scores, Known(asked, tmp_path / "designs.json"))
    assert again == first[3]
    assert searched(asked, tmp_path, arm) == first


def test_the_best_of_a_rung_go_on(tmp_path):
    steps = searched(experiment(), tmp_path)
    lowest = [trial for step in steps[:2] for trial in step.trials]
    best = sorted(lowest, key=lambda trial: -accuracy_of(trial.lineage))
    assert {t.number for t in steps[2].trials} == {t.number for t in best[:4]}
    assert steps[3].trials == [best[0]]
    record = Record(steps)
    assert record.highest[best[0].number].rung == 2
    assert record.highest[best[-1].number].rung == 0


def test_the_arms_differ_and_tpe_learns(tmp_path):
    """Over a space of which accuracy is known, later batches of TPE are better than random ones."""
    asked = experiment(budget={"trainings": 60}, rungs={"count": 2, "reduction": 4, "batches": 3})
    means = {}
    for arm in ("guided", "random"):
        last = searched(asked, tmp_path, arm, until=2)[2].trials
        means[arm] = sum(accuracy_of(trial.lineage) for trial in last) / len(last)
    assert means["guided"] > means["random"]


def test_what_breaks_a_constraint_is_not_tried(tmp_path):
    asked = experiment(constraints={"parameters": "1k"})
    known = known_of(asked, tmp_path)
    for step in searched(asked, tmp_path)[:2]:
        for trial in step.trials:
            assert known.of(Lineage.parse(trial.lineage))["parameters"] <= 1000


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_space_that_is_used_up_ends(sampler):
    choices = experiment(
        space=VALUES["search"]["space"]
        | {"over": {}, "students": [{"family": "plain", "width": [4, 8], "depth": [1]}]}
    ).choices
    every = list(proposals.everything(choices))
    assert len(every) == choices.size == 8
    asked = {"sampler": sampler, "seed": 1, "objectives": 1}
    first = propose(choices, [], 5, batch=0, **asked)
    tried = [Tried(values, 0, (at / 5,), 0.0) for at, values in enumerate(first)]
    rest = propose(choices, tried, 5, batch=1, **asked)
    found = sorted(str(choices.lineage(values)) for values in [*first, *rest])
    assert found == sorted(str(choices.lineage(values)) for values in every)
    assert propose(choices, [*tried, *(Tried(v, 1, (1.0,), 0.0) for v in rest)], 5, batch=2,
                   **asked) == []  # fmt: skip


def test_every_chain_of_a_space_can_be_had():
    asked = experiment()
    for values in proposals.everything(asked.choices):
        last = asked.choices.lineage(values).last
        assert last.model in asked.all_models
        transfer = asked.all_transfers[last.transfer]
        assert f"soft{transfer.soft:g}" == values["soft"]
        assert (transfer.hint is not None) == (values["transfer"] == "hinted")


# ------------------------------------------------------------------------------- ranking


def test_fronts_are_those_of_comparing_all_with_all():
    draws = random.Random(0)
    vectors = {n: tuple(draws.randrange(6) for _ in range(2)) for n in range(40)}
    layers = ranking.fronts(vectors)
    assert sorted(itertools.chain(*layers)) == sorted(vectors)
    for layer, after in itertools.pairwise([*layers, []]):
        for key in layer:
            assert not any(ranking.dominates(vectors[other], vectors[key]) for other in layer)
        for key in after:
            assert any(ranking.dominates(vectors[other], vectors[key]) for other in layer)


def test_the_winner_keeps_to_the_constraint_and_is_the_smallest_that_does():
    search = experiment(**GOALS[1]).search
    found = [
        ranking.candidate(search, Score(n, 0, accuracy, 1.0), {"parameters": size})
        for n, (accuracy, size) in enumerate([(0.95, 50), (0.91, 30), (0.89, 10), (0.97, 80)])
    ]
    assert ranking.winner(found) == 1
    assert ranking.front(found) == [2, 1, 0, 3]
    assert ranking.winner(found[2:3]) == 2
    assert ranking.spread([2, 1, 0, 3], 2) == [2, 3]


def test_what_is_to_be_small_may_be_named_without_its_unit():
    short, long = (
        experiment(goal={"maximise": "validation_accuracy", "minimise": names}).search
        for names in (["latency", "size"], ["latency_ms", "size_kb"])
    )
    assert short == long
    one = experiment(goal={"maximise": "validation_accuracy", "minimise": "size"}).search
    assert one.goal.least == ["size_kb"]


# -------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("search.space.students", [], "search.space.students"),
        ("search.space.teachers", ["techer"], "did you mean 'teacher'?"),
        ("search.space.transfers", ["kb"], "search.space.transfers: unknown transfer 'kb'"),
        ("search.space.over", {"sofd": [1]}, "sofd"),
        ("search.space.over", {"soft": []}, "search.space.over.soft"),
        ("search.space.over", {"soft": [0.5, 0.5]}, "more than once"),
        ("search.space.assistants.models", ["midle"], "unknown model 'midle'"),
        ("search.space.assistants.count", [2], "found 2, but 1 models"),
        ("search.goal", {"minimise": "weight"}, "search.goal.minimise"),
        ("search.goal", {"minimise": ["size", "size_kb"]}, "'size_kb' is there more than once"),
        ("search.goal", {"minimise": "parameters"}, "recognises nothing"),
        ("search.goal", {}, "give maximise, minimise or both"),
        ("search.constraints", {"parameters": "fifty"}, "search.constraints.parameters"),
        ("search.constraints", {"accuracy": {"at_least": "97 of teacher"}}, "0.97 of teacher"),
        ("search.budget", {}, "give one of trainings, epochs, hours"),
        ("search.budget", {"hours": 1, "epochs": 3}, "give one of trainings, epochs, hours"),
        ("search.seeds", [0], "search.seeds: 0 is among `seeds` too"),
        ("data.validation", 0, "data.validation is 0"),
        ("report", {"split": "validation"}, "report.split"),
        ("models.plain2-w4-d1", {"family": "plain", "stages": [[4]]}, "plain2-w4-d1"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(path, value, said):
    with pytest.raises(UserError) as error:
        changed(path, value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"budget": {"trainings": 8}}, "trainings: found 8; 3 rungs in 2 batches need at least 9"),
        ({"budget": {"epochs": 20}}, "epochs: found 20; 3 rungs in 2 batches need at least 9"),
        ({"rungs": {"count": 6}}, "would end after"),
    ],
)
def test_a_budget_that_does_not_pay_for_all_rungs_is_refused(search, said):
    with pytest.raises(UserError, match=said):
        trainings(experiment(**search))


def test_a_budget_in_hours_is_counted_in_epochs_of_this_machine():
    asked = experiment(budget={"hours": 1})
    assert trainings(asked, 36.0) == Schedule.of(asked.search).affordable(100, [1, 3, 9])
    with pytest.raises(UserError, match="hours: found 1, which at 1e"):
        trainings(asked, 1000.0)


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ({"parameters": 100}, "constraints.parameters: found 100, but the smallest of"),
        ({"macs": 10}, "constraints.macs: found 10, but the smallest of"),
    ],
)
def test_constraints_that_nothing_can_keep_are_refused_before_any_training(constraints, said):
    with pytest.raises(UserError, match=said):
        sizes_of(experiment(constraints=constraints), SHAPE)


def test_sizes_are_those_of_the_models_themselves():
    found = sizes_of(experiment(), SHAPE)
    # 3x3 convolutions 1 -> 4 and 4 -> 8, a scale and a shift for each channel, the classifier.
    assert found["plain2-w4-d1"]["parameters"] == 9 * 4 + 9 * 4 * 8 + 2 * (4 + 8) + 8 * 10 + 10
    assert found["teacher/pruned-0.25"]["parameters"] < found["teacher/pruned-0.5"]["parameters"]
    assert not any(math.isnan(value) for each in found.values() for value in each.values())


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"constraints": {"parameters": 100}}, "constraints.parameters: found 100"),
        (
            {"space": VALUES["search"]["space"] | {"over": {"hint": [{"mode": "joint",
              "teacher_layer": "nowhere"}]}}},
            "nowhere",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_anything_is_trained(search, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        check_once(experiment(**search))


def test_a_search_that_can_work_is_checked_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_once(experiment())
    monkeypatch.setattr(designs, "sizes_of", None)
    check_once(experiment())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'modelswitch\[search\]'"):
        check_once(experiment())


# ------------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("values", [{}, {"transfer": "hinted", "student": "resnet2"}])
def test_the_winners_configuration_is_one_that_trains_the_same_chain(values):
    asked = experiment()
    chosen: dict[str, str] = {}
    for choice in asked.choices.asked(chosen):
        chosen[choice.name] = values.get(choice.name, choice.values[0])
    lineage = asked.choices.lineage(chosen)
    found = load(yaml.safe_load(recipe(asked, lineage)))
    own, theirs = found.lineages["winner"], Graph(found)
    assert own == lineage
    place = ModelFolder(found.name, "digits", Replicate(0), own)
    there = ModelFolder(asked.name, "digits", Replicate(0), lineage)
    assert theirs.train_job(place).digest == Graph(asked).train_job(there).digest


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([0.80, 0.81, 0.79], "The search beat random search"),
        ([0.99, 0.98, 0.99], "The search lost to random search"),
        ([0.89, 0.93, 0.90], "The search did not beat random search"),
        ([0.89], "One seed cannot tell whether the search is better than random search"),
    ],
)
def test_what_is_said_of_a_control_is_no_more_than_the_seeds_say(others, said):
    own = [0.90, 0.92, 0.91][: len(others)]
    found = [
        outcome.Judged(role, lineage, 0.95, test, test, {"parameters": 1.0}, 9.0)
        for role, lineage, test in [("winner", "a/b@kd", own), ("random search", "a/c@kd", others)]
    ]
    [sentence] = outcome.verdict(found)
    assert sentence.startswith(said)
    assert found[0].row()["luck"] == pytest.approx(0.95 - sum(own) / len(own))
    [same] = outcome.verdict(
        [found[0], outcome.Judged("random search", "a/b@kd", 0.95, own, own, {}, 9.0)]
    )
    assert same.startswith("The search found the same model as random search")


def test_what_sharing_saves_is_counted_by_hand(tmp_path):
    asked = experiment()
    saved = outcome.savings(asked, Record(searched(asked, tmp_path)))
    steps = [read(tmp_path / f"guided{step}.json") for step in range(4)]
    rungs = [trial.lineage for step in steps for trial in step.trials]
    above = {str(a) for lineage in rungs for a in Lineage.parse(lineage).ancestors()}
    assert saved["students"] == 12
    assert saved["trainings"] == 12 + 4 + 1 + len(above)
    # 12 to epoch 1, of which 4 go on to 3 and 1 to 9; 9 of every model above.
    assert saved["epochs"] == 12 + 4 * 2 + 6 + 9 * len(above)
    assert saved["trainings_alone"] == sum(len(Lineage.parse(lineage)) for lineage in rungs)
    models_above = sum(len(Lineage.parse(lineage)) - 1 for lineage in rungs)
    assert saved["epochs_alone"] == 12 * 1 + 4 * 3 + 9 + 9 * models_above
    # Without rungs, all twelve to their end.
    chains = [trial.lineage for step in steps[:2] for trial in step.trials]
    assert saved["trainings_whole"] == sum(len(Lineage.parse(lineage)) for lineage in chains)
    assert saved["epochs_whole"] == 9 * saved["trainings_whole"]


SWITCH = "hinted-soft0.7-temperature4-correctness-delta0.05"
PATHS = [
    f"teacher/plain3-w10-d1@{SWITCH}",
    f"teacher/large@kd/pruned-0.05@{SWITCH}",
    "/".join(["teacher", *(f"a-model-with-a-long-name-{n}@{SWITCH}" for n in range(5))]),
]


def judged_of(lineage: str) -> list[outcome.Judged]:
    roles = (outcome.WINNER, outcome.FRONT, outcome.RANDOM_SEARCH, outcome.OWN_CHAIN)
    return [
        outcome.Judged(role, lineage, 0.9 if at < 3 else math.nan, [0.88], [0.87, 0.88], {}, 9.0)
        for at, role in enumerate([*roles, outcome.SCRATCH])
    ]


def drawn_figures(lineage: str, dots: int):
    """All figures of a search with this many students an arm, anywhere on the plane."""
    draw = random.Random(dots)
    rows = [
        {
            "arm": arm, "rung": draw.choice([1, 2, 3]), "epochs": draw.choice([1, 3, 9]),
            "validation": draw.random(), "parameters": 10 ** draw.uniform(3, 4),
            "front": number < 3, "winner": number == 0,
        }
        for arm in ("guided", "random") for number in range(dots)
    ]  # fmt: skip
    path = Lineage.parse(lineage)
    with style.look():
        yield figures.front_figure(rows, "parameters", 3, 10_000)
        yield figures.importance_figure({f"resnet{n}.width": n / 55 for n in range(11)})
        yield figures.path_figure(path, [98_700.0] * len(path), [0.877] * len(path))
        yield figures.judged_figure(judged_of(lineage))


@pytest.mark.parametrize("lineage", PATHS)
def test_figures_of_a_search_can_be_read(lineage):
    for figure in drawn_figures(lineage, 300):
        # This draws it, too.
        assert overlaps(figure) == []
        edges, renderer = figure.bbox.padded(1), figure.canvas.get_renderer()
        for text in figure.findobj(Text):
            if not text.get_text().strip() or text in beyond_axes(figure):
                continue
            box = text.get_window_extent(renderer)
            assert edges.x0 <= box.x0 <= box.x1 <= edges.x1, text.get_text()
            assert edges.y0 <= box.y0 <= box.y1 <= edges.y1, text.get_text()
            assert text.get_fontsize() >= style.SMALLEST
            for dots in (d for axes in figure.axes for d in axes.collections):
                if isinstance(dots, PathCollection):
                    assert not any(box.overlaps(dot) for dot in extents(dots)), text.get_text()


def beyond_axes(figure) -> list[Text]:
    return [label for axes in figure.axes for label in not_drawn(axes)]


def extents(dots: PathCollection):
    """Boxes of the points of a scatter plot, in pixels."""
    places = dots.get_offset_transform().transform(dots.get_offsets())
    for (x, y), size in zip(places, itertools.cycle(dots.get_sizes()), strict=False):
        half = math.sqrt(size) / 2 * dots.get_figure().dpi / 72
        yield Bbox([[x - half, y - half], [x + half, y + half]])


def test_choices_that_nothing_is_known_of_have_no_importance():
    """Without them there are no bars of length zero for what was never compared."""
    choices = experiment().choices
    tried, of = [], []
    for values in itertools.islice(proposals.everything(choices), 0, None, 7):
        tried.append(Tried(values, 0, (0.0,), 0.0))
        # The best are all plain and of the largest width.
        plain = values["student"] == "plain2"
        of.append(-float(plain) - float(values.get("plain2.width", 0)) / 10)
    found = proposals.importances(choices, tried, of)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert {"student", "plain2.width"} <= set(found)
    assert not {"teacher", "resnet2.width", "resnet2.depth", "pruned.keep"} & set(found)


@pytest.mark.parametrize("goal", GOALS, ids=["one goal", "constrained", "two goals"])
def test_optuna_reads_a_search_from_its_journal(tmp_path, goal):
    asked = experiment(**goal)
    record, known = Record(searched(asked, tmp_path)), known_of(asked, tmp_path)
    optuna = proposals.library()
    path = tmp_path / "optuna.journal"
    journal.write(path, asked, {"guided": record, "random": record}, known)
    # Once more, as after a change: the new one takes its place.
    journal.write(path, asked, {"guided": record, "random": record}, known)
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="guided", storage=storage)
    assert [each.study_name for each in study._storage.get_all_studies()] == ["guided", "random"]
    assert study.metric_names == asked.search.goal.names
    assert len(study.trials) == 12
    [best] = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert sum(trial.state.name == "PRUNED" for trial in study.trials) == 11
    accuracy = accuracy_of(best.user_attrs["chain"])
    assert best.intermediate_values == dict.fromkeys([1, 3, 9], accuracy)
    cost = known.of(Lineage.parse(best.user_attrs["chain"]))
    found = {"validation_accuracy": accuracy, **cost}
    assert best.values == [found[name] for name in asked.search.goal.names]
    assert {p.name for p in tmp_path.iterdir() if "journal" in p.name} == {"optuna.journal"}


# ----------------------------------------------------------------------------- make shrink


@pytest.mark.parametrize(
    ("most", "goal", "constraints"),
    [
        ("parameters<50k", "maximise", {"parameters": 50_000.0}),
        ("parameters<=1.5M,latency_ms<1", "maximise", {"parameters": 1.5e6, "latency_ms": 1.0}),
        ("accuracy>0.97, macs<2M", "minimise", {"macs": 2e6}),
    ],
)
def test_a_limit_becomes_a_search(most, goal, constraints):
    search = load(yaml.safe_load(shrink.configuration("digits", most=most))).search
    assert search.constraints.bounds == constraints
    assert bool(search.goal.maximise) == (goal == "maximise")
    if goal == "minimise":
        assert search.constraints.accuracy.share == 0.97


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"most": "parameter<50k"}, "MAX: found 'parameter<50k'"),
        ({"most": "parameters>50k"}, "MAX: found 'parameters>50k'"),
        ({"most": "parameters<many"}, "MAX: found 'parameters<many'"),
        ({"data": "nowhere"}, "DATA: nowhere: no such"),
        ({"teacher": "nowhere.pth"}, "TEACHER: nowhere.pth: no such file"),
        ({"teacher": __file__}, "AS=torchvision:resnet18"),
        ({"teacher": __file__, "kind": "resnet18"}, "AS: found 'resnet18'"),
        ({"kind": "timm:resnet18"}, "without TEACHER"),
    ],
)
def test_what_shrink_cannot_read_is_said_in_a_line(asked, said):
    with pytest.raises(UserError) as error:
        shrink.configuration(**{"data": "digits"} | asked)
    assert said in str(error.value)


def test_a_model_of_this_project_says_itself_what_it_is(runner):
    model = runner.train(runner.place("teacher"))
    found = load(yaml.safe_load(shrink.configuration("digits", str(model)))).models["teacher"]
    assert found.family == "plain"
    assert found.stages == [[6], [8]]
    assert found.weights.file == str(model)
    assert not found.weights.train


def test_the_plan_says_what_a_search_costs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "seconds_per_epoch", lambda *_: 2.0)
    [line] = plan.lines(experiment(), DataSize((8, 8, 1), 10, 1000, 100))
    # 12, 4, 1 students: 12 + 4 x 2 + 1 x 6 epochs of 2 s, twice.
    assert "12, 4, 1 students" in line
    assert "26 epochs, 2 times (random search), about 1.7 min" in line
