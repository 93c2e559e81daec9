"""Repeats: several trainings of one model for a seed, of which no statistic counts more than
one."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import tidy_examples
from safetensors.torch import load as load_tensors
from scipy import stats
from test_jobs import EXPERIMENT, Runner

from modelswitch.config.claims import Claim
from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import ModelFolder, Replicate
from modelswitch.report.summaries import missing
from modelswitch.report.summaries.chains import chains_sheet
from modelswitch.report.summaries.run_times import run_times_sheet
from modelswitch.results import collect, pooling, repeats
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import read_table, write_table
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import assess, pooled_mcnemar
from modelswitch.storage import artifacts

THREE = {"repeats": {"student": 3}}


def graph(**changes: object) -> Graph:
    return Graph(load(EXPERIMENT | changes))


# ------------------------------------------------------------------------------ what is trained


def test_a_branch_reads_back_and_says_which_repeat():
    for text in ("seed4", "seed4.repeat2", "seed4.fold1of3"):
        assert str(Replicate.parse(text)) == text
    assert Replicate.parse("seed4.repeat12") == Replicate(4, repeat=12)
    assert Replicate.parse("seed4.repeat12").first == Replicate(4)
    for text in ("seed4.repeat0", "seed4.repeat02", "seed4.fold1of3.repeat1", "seed4.repeat"):
        with pytest.raises(UserError, match="is not of the form"):
            Replicate.parse(text)


def test_repeats_are_added_to_what_there_is_and_change_nothing_of_it():
    responses = {"responses": {"views": 2, "folds": 2}, "seeds": [0, 5]}
    once, thrice = graph(**responses), graph(**responses, **THREE)
    before = {place: once.train_job(place).canonical() for place in once.all_places()}
    after = {place: thrice.train_job(place).canonical() for place in thrice.all_places()}
    assert {place: after[place] for place in before} == before
    # Every lineage that ends in the student, ends of chains and others, and no teacher's fold.
    students = {place.lineage for place in before if len(place.lineage) > 1}
    added = {(str(p.branch), str(p.lineage)) for p in after.keys() - before.keys()}
    assert added == {
        (f"seed{seed}.repeat{repeat}", str(lineage))
        for seed in (0, 5)
        for repeat in (1, 2)
        for lineage in students
    }
    assert len({thrice.train_job(place).digest for place in after}) == len(after)


def test_a_repeat_has_the_teachers_of_its_seed_and_the_weights_of_the_same_repeat():
    thrice = graph(**THREE)
    for text in (
        "teacher/student@kd",
        "teacher/student@stored",
        "teacher/student@wide/student@dense",
    ):
        first, again = (
            thrice.place("digits", branch, text) for branch in ("seed0", "seed0.repeat2")
        )
        assert thrice.teachers(again) == thrice.teachers(first)
        assert thrice.train_job(again).teachers == thrice.train_job(first).teachers
    again = thrice.place("digits", "seed0.repeat2", "teacher/student@match")
    matched = thrice.matched(again)
    assert str(matched.branch) == "seed0.repeat2"
    assert thrice.train_job(again).matched == thrice.train_job(matched).digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"studen": 2}, "repeats: unknown model 'studen' (did you mean 'student'?)"),
        ({"student": 0}, "repeats.student: found 0"),
        ({"student": True}, "repeats.student: found True"),
        ({"both": 2}, "repeats.both: found 2, but 'both' is never trained"),
    ],
)
def test_what_cannot_be_repeated_is_named(given, said):
    both = {"both": {"family": "ensemble", "of": ["teacher", "student"]}}
    with pytest.raises(UserError) as error:
        load(EXPERIMENT | {"models": EXPERIMENT["models"] | both, "repeats": given,
                           "chains": {"a": "both/student@kd"}})  # fmt: skip
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Scratch and stored students, twice a seed, and what their tables are."""
    folder = tmp_path_factory.mktemp("trained")
    training = EXPERIMENT["training"] | {"epochs": 1, "warmup": 0}
    chains = {"scratch": "student", "stored": "teacher/student@stored"}
    changes = {"chains": chains, "training": training, "seeds": [0]}
    runner = Runner(folder, repeats={"student": 2}, **changes)
    for place in runner.graph.models():
        runner.train(place)
    collect.write(collect.StoredResults(runner.graph.experiment, folder), folder / "tables")
    return runner, changes


def weights(runner: Runner, lineage: str, branch: str) -> bytes:
    return runner.train(runner.place(lineage, branch)).read_bytes()


def test_the_first_is_trained_as_without_repeats_and_the_others_draw_anew(trained, tmp_path):
    runner, changes = trained
    alone = Runner(tmp_path, **changes)
    for lineage in ("student", "teacher/student@stored"):
        first, again = (weights(runner, lineage, branch) for branch in ("seed0", "seed0.repeat1"))
        assert weights(alone, lineage, "seed0") == first
        one, other = load_tensors(first), load_tensors(again)
        assert one.keys() == other.keys()
        # Counts of batches and biases that begin at 0 may agree; weights do not.
        assert not any(one[n].equal(other[n]) for n in one if one[n].dim() > 1)
    places = [runner.place("student", branch) for branch in ("seed0", "seed0.repeat1")]
    labels = [
        artifacts.load(runner.file(place, "outputs.safetensors"))[0]["validation.labels"]
        for place in places
    ]
    assert labels[0].equal(labels[1]), "the images held back are the seed's"


def test_tables_have_a_row_for_every_repeat_and_one_a_seed_for_whoever_reads_them(trained):
    folder = trained[0].folder / "tables"
    raw = read_table(folder, "models")
    counts = raw[raw["split"] == "test"].groupby("lineage")["repeat"].apply(list).to_dict()
    assert counts == {"student": [0, 1], "teacher": [0], "teacher/student@stored": [0, 1]}
    tables = Tables(folder)
    for name in ("models", "history", "per_class", "class_confusions", "weights"):
        schema = SCHEMAS[name]
        every, means = tables.every(name), getattr(tables, name)
        assert set(every["repeat"]) == {0, 1}, name
        assert not means.duplicated([key for key in schema.key if key != "repeat"]).any(), name
    assert "repeat" not in tables.predictions
    assert not tables.predictions.duplicated(list(SCHEMAS["predictions"].key)).any()
    # As many images as a single training has, and the share that both get right together.
    per_class = tables.per_class
    own = per_class[(per_class["lineage"] == "student") & (per_class["split"] == "test")]
    of_models = tables.models.set_index(["lineage", "split"]).loc[("student", "test")]
    right = (own["recall"] * own["images"]).sum() / own["images"].sum()
    assert right == pytest.approx(of_models["accuracy"])
    confused = tables.class_confusions
    confused = confused[(confused["lineage"] == "student") & (confused["split"] == "test")]
    assert confused["images"].sum() == pytest.approx(own["images"].sum())
    diagonal = confused[confused["label"] == confused["predicted"]]["images"].sum()
    assert diagonal == pytest.approx((own["recall"] * own["images"]).sum())


# ------------------------------------------------------------------------------ what is counted


def drawn(sides: dict[str, float], seeds: int, times: int, seed: int = 0) -> pd.DataFrame:
    """models.csv: sides with levels, by seeds that all sides share, and repeats within them."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(seeds):
        shared = rng.normal(0, 0.02)
        for side, level in sides.items():
            own = rng.normal(0, 0.004)
            rows += [
                {"dataset": "d", "seed": number, "repeat": repeat, "model": "student",
                 "lineage": f"teacher/student@{side}", "chains": side, "split": "test",
                 "parameters": 10, "accuracy": level + shared + own + rng.normal(0, 0.01)}
                for repeat in range(times)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def test_claims_count_seeds_and_average_repeats(tmp_path):
    models = drawn({"a": 0.71, "b": 0.70}, seeds=6, times=4)
    write_table(tmp_path, "models", models)
    [row] = assess({"c": Claim(better="a", than="b")}, Tables(tmp_path))
    cube = {
        side: models[models["chains"] == side]["accuracy"].to_numpy().reshape(6, 4)
        for side in ("a", "b")
    }
    gains = np.array([np.mean(cube["a"][s]) - np.mean(cube["b"][s]) for s in range(6)])
    t = stats.ttest_rel(cube["a"].mean(1), cube["b"].mean(1))
    half = stats.t.ppf(0.975, 5) * np.sqrt(np.var(gains, ddof=1) / 6)
    assert row["seeds"] == 6
    assert row["p"] == pytest.approx(t.pvalue)
    assert [row[key] for key in ("estimate", "low", "high")] == pytest.approx(
        [gains.mean(), gains.mean() - half, gains.mean() + half]
    )
    flips = [np.mean(gains * signs) for signs in itertools.product([1, -1], repeat=6)]
    assert row["permutation_p"] == pytest.approx(
        np.mean(np.abs(flips) >= abs(gains.mean()) - 1e-12)
    )
    # Of as many in each seed the pooled variance is the mean of the seeds'.
    spreads = {side: np.sqrt(values.var(axis=1, ddof=1).mean()) for side, values in cube.items()}
    said = ", ".join(f"'{side}' 4 (spread {100 * spreads[side]:.2f})" for side in ("a", "b"))
    assert row["note"] == f"a seed's value is the mean of repeats: {said}"


def test_repeats_do_not_make_a_difference_of_noise_sure(tmp_path):
    """Twenty students of two seeds are two seeds: as independent ones they would be twenty."""
    shared = drawn({"a": 0.7, "b": 0.7}, seeds=2, times=20, seed=3)
    shared.loc[shared["chains"] == "a", "accuracy"] += 0.04 * shared["seed"]
    write_table(tmp_path, "models", shared)
    [row] = assess({"c": Claim(better="a", than="b")}, Tables(tmp_path))
    assert (row["seeds"], row["verdict"]) == (2, "not supported")
    assert stats.ttest_rel(*(shared[shared["chains"] == s]["accuracy"] for s in "ab")).pvalue < 0.01


def test_the_spread_of_repeats_is_pooled_over_seeds_of_any_number_of_them():
    models = drawn({"a": 0.7}, seeds=3, times=3).iloc[[0, 1, 2, 3, 4, 6]]
    assert models.groupby("seed").size().tolist() == [3, 2, 1]
    values = [models[models["seed"] == seed]["accuracy"].to_numpy() for seed in range(3)]
    residual = sum(((each - each.mean()) ** 2).sum() for each in values)
    found = repeats.spread(models, "teacher/student@a", "accuracy", "test")
    assert found == pytest.approx(math.sqrt(residual / (6 - 3)))
    # One-way analysis of variance by seed has the same mean square within.
    f = stats.f_oneway(*values[:2])
    first_two = models[models["seed"] < 2]
    within = repeats.spread(first_two, "teacher/student@a", "accuracy", "test") ** 2
    grand = np.concatenate(values[:2]).mean()
    between = sum(len(each) * (each.mean() - grand) ** 2 for each in values[:2])
    assert f.statistic == pytest.approx(between / within)
    assert math.isnan(repeats.spread(models.iloc[[5]], "teacher/student@a", "accuracy", "test"))


def test_the_table_of_chains_tells_seeds_repeats_and_their_spread(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    once = chains_sheet(Tables(tmp_path))
    assert not {"repeats", "spread of repeats %"} & {c.heading for c in once.visible()}
    assert "repeats" not in once.note.lower()
    models = pd.read_csv(tmp_path / "models.csv", keep_default_na=False)
    again = models[models["lineage"] == "student"].assign(repeat=1)
    again["accuracy"] = again["accuracy"] + 0.02
    pd.concat([models.assign(repeat=0), again]).to_csv(tmp_path / "models.csv", index=False)
    tables = Tables(tmp_path)
    sheet = chains_sheet(tables)
    rows = {row["lineage"]: row for row in sheet.rows}
    before = {row["lineage"]: row for row in once.rows}
    assert (rows["student"]["seeds"], rows["student"]["repeats"]) == (3, 2)
    assert rows["student"]["accuracy"] == pytest.approx(before["student"]["accuracy"] + 0.01)
    assert rows["student"]["spread_of_repeats"] == pytest.approx(0.02 / math.sqrt(2))
    for side in ("teacher", "teacher/student@kd"):
        assert rows[side]["accuracy"] == before[side]["accuracy"]
        assert math.isnan(rows[side]["spread_of_repeats"])
    gain = before["teacher/student@kd"]["gain"] - 0.01
    assert rows["teacher/student@kd"]["gain"] == pytest.approx(gain)
    assert "intervals count seeds" in sheet.note
    times = {row["lineage"]: row for row in run_times_sheet(tables).rows}
    assert (times["student"]["trainings"], times["teacher"]["trainings"]) == (6, 3)
    assert times["student"]["seconds"] == pytest.approx(6 * 30.0 * 2), "each was trained"
    twice, own = pooled_mcnemar(tables, "student", "teacher"), tables.predictions
    assert twice.images == 3 * own[own["lineage"] == "student"]["index"].nunique()


def test_a_repeat_that_differs_in_more_is_left_out_and_its_seed_stays(tmp_path):
    models = drawn({"a": 0.7}, seeds=3, times=2).assign(code='{"distil":"x"}')
    odd = (models["seed"] == 1) & (models["repeat"] == 1)
    models.loc[odd, "code"] = '{"distil":"y"}'
    models.loc[odd, "accuracy"] = 0.0
    write_table(tmp_path, "models", models)
    tables = Tables(tmp_path)
    [line] = tables.remarks
    assert line.startswith("teacher/student@a on d: seed 1 (repeat 1) is left out")
    assert "differs from seed 0, 0 (repeat 1), 1, 2, 2 (repeat 1) in code of distil (x, y)" in line
    kept = tables.models.set_index("seed")["accuracy"]
    first = models[(models["seed"] == 1) & (models["repeat"] == 0)]["accuracy"].item()
    assert kept[1] == first


def test_the_larger_group_is_that_of_more_seeds_and_not_of_more_repeats():
    many = drawn({"a": 0.7}, seeds=1, times=5).assign(code='{"distil":"x"}')
    two = drawn({"a": 0.7}, seeds=3, times=1).assign(code='{"distil":"y"}')
    models = pd.concat([many, two[two["seed"] > 0]])
    for column in pooling.IDENTITY:
        if column not in models:
            models[column] = ""
    gone = pooling.models_apart(models)
    assert {apart.seed for apart in gone} == {0}
    assert len(gone) == 5


def test_what_never_occurred_in_a_repeat_counts_as_nothing():
    key = {"dataset": "d", "seed": 0, "lineage": "a", "split": "test"}
    answers = [(0, 0, 0, 8), (0, 0, 1, 2), (1, 0, 0, 10)]
    table = pd.DataFrame(
        [key | {"repeat": r, "label": label, "predicted": answer, "images": count}
         for r, label, answer, count in answers]
    )  # fmt: skip
    means = repeats.by_seed(table, SCHEMAS["class_confusions"])
    assert means.set_index("predicted")["images"].to_dict() == {0: 9.0, 1: 1.0}


def test_missing_repeats_are_named(tmp_path):
    models = drawn({"a": 0.7}, seeds=3, times=3)
    gone = (models["seed"] == 2) & (models["repeat"] == 1)
    write_table(tmp_path, "models", models[~gone])
    named, times = {"Chain a": "teacher/student@a"}, {"teacher/student@a": 3}
    lines = missing.missing(Tables(tmp_path), named, [0, 1, 2], ["d"], repeats=times)
    assert lines == ["Chain a (teacher/student@a): fewer than 3 repeats of seed 2 (2)."]


def test_tables_from_before_there_were_repeats_have_the_first_of_each_seed(tmp_path):
    write_table(tmp_path, "models", drawn({"a": 0.7}, 3, 1).drop(columns="repeat"))
    assert read_table(tmp_path, "models")["repeat"].tolist() == [0, 0, 0]
    assert Tables(tmp_path).models["repeats"].tolist() == [1, 1, 1]


def test_places_of_repeats_are_beside_their_seeds(tmp_path):
    place = graph(**THREE).place("digits", "seed0.repeat1", "teacher/student@kd")
    assert isinstance(place, ModelFolder)
    assert place.folder == "jobs/digits/seed0.repeat1/teacher/student@kd"


def test_a_death_in_any_repeat_is_one_of_the_model(tmp_path):
    row = {"dataset": "d", "seed": 0, "lineage": "student", "model": "student", "split": "test"}
    rows = [
        row | {"repeat": repeat, "accuracy": accuracy, "at_chance": died, "parameters": 1}
        for repeat, accuracy, died in ((0, 0.5, "false"), (1, 0.1, "true"), (2, 0.5, ""))
    ]
    write_table(tmp_path, "models", pd.DataFrame(rows))
    assert Tables(tmp_path).models["at_chance"].tolist() == ["true"]
    rows[1]["at_chance"] = "false"
    write_table(tmp_path, "models", pd.DataFrame(rows))
    assert Tables(tmp_path).models["at_chance"].tolist() == ["false"]
