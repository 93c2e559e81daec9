"""Nothing is pooled that differs in more than the seed, and rows are found by lineage."""

import json

import pandas as pd
import pytest
import tidy_examples

from modelswitch.config.claims import Claim
from modelswitch.errors import UserError
from modelswitch.report.summaries.chains import chains_sheet
from modelswitch.report.summaries.rules import rules_sheet
from modelswitch.report.summaries.selection import selection_sheet
from modelswitch.results import differences, findings, pooling, seeds
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import assess

CHAIN = "teacher/middle@kd/student@kd"


def changed(folder, change, name="models.csv"):
    """Tables of which one was changed by `change(frame)`."""
    frame = pd.read_csv(folder / name, keep_default_na=False)
    for column in pooling.IDENTITY:
        if column in frame and column != "epochs":
            frame[column] = frame[column].astype(object)
    change(frame).to_csv(folder / name, index=False)
    return Tables(folder)


@pytest.fixture
def folder(tmp_path):
    return tidy_examples.write(tmp_path, images=60, epochs=2, seeds=(0, 1, 2))


def of(frame, lineage, *seeds):
    return (frame["lineage"] == lineage) & frame["seed"].isin(seeds)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("code", ['{"distil":"a"}', '{"distil":"b"}'], "code of distil (a, b)"),
        ("code", ['{"distil":"a","own:f":"x"}', '{"distil":"a","own:f":"y"}'], "own:f (x, y)"),
        ("data", ["one", "another"], "data (one, another)"),
        ("shapes", ["3x3", "5x5"], "shapes of the weights (3x3, 5x5)"),
        ("epochs", [30, 60], "epochs (30, 60)"),
        (
            "settings",
            ['{"training":{"epochs":30,"batch":8}}', '{"training":{"epochs":60,"batch":8}}'],
            "settings: training.epochs (30, 60)",
        ),
    ],
)
def test_a_seed_that_differs_in_more_is_left_out_everywhere(folder, column, values, said):
    before = {row["lineage"]: row for row in chains_sheet(Tables(folder)).rows}

    def change(frame):
        frame[column] = values[0]
        frame.loc[of(frame, CHAIN, 1), column] = values[1]
        frame.loc[of(frame, CHAIN, 1), "accuracy"] = 0.0
        return frame

    tables = changed(folder, change)
    [line] = tables.remarks
    assert line.startswith(f"{CHAIN} on pictures: seed 1 is left out")
    assert "differs from seed 0, 2 in" in line
    assert said in line
    for name in ("models", "history", "predictions", "per_class", "class_confusions", "weights"):
        table = getattr(tables, name)
        assert not of(table, CHAIN, 1).any(), name
        assert of(table, CHAIN, 0).any(), name
    sheet = chains_sheet(tables)
    rows = {row["lineage"]: row for row in sheet.rows}
    assert line in sheet.warnings
    assert (rows[CHAIN]["seeds"], rows["student"]["seeds"]) == (2, 3)
    kept = tables.models[(tables.models["lineage"] == CHAIN) & (tables.models["split"] == "test")]
    assert rows[CHAIN]["accuracy"] == pytest.approx(kept["accuracy"].mean())
    assert rows["student"]["accuracy"] == before["student"]["accuracy"], "others' rows stay"
    [claim] = assess({"c": Claim(better="chain", than="scratch")}, tables)
    assert claim["seeds"] == 2
    assert line in claim["note"]


def test_seeds_whose_teachers_differ_are_not_alike(folder):
    def change(frame):
        frame["code"] = '{"train":"a"}'
        frame.loc[of(frame, "teacher", 2), "code"] = '{"train":"b"}'
        return frame

    tables = changed(folder, change)
    gone = {lineage: set(rows["seed"]) for lineage, rows in tables.models.groupby("lineage")}
    assert gone[CHAIN] == gone["teacher/student@kd"] == gone["teacher"] == {0, 1}
    assert gone["student"] == {0, 1, 2}
    assert any("in code of train of teacher (a, b)" in line for line in tables.remarks)


def test_of_equally_many_seeds_those_of_the_lowest_stay_and_what_is_unknown_tells_nothing(folder):
    def change(frame):
        frame["data"] = ""
        frame.loc[of(frame, CHAIN, 1), "data"] = "b"
        frame.loc[of(frame, CHAIN, 2), "data"] = "a"
        return frame[frame["seed"] > 0]

    tables = changed(folder, change)
    assert set(tables.models.loc[tables.models["lineage"] == CHAIN, "seed"]) == {1}
    unknown = changed(folder, lambda frame: frame.assign(data=""))
    assert unknown.remarks == []


def test_machines_that_differ_are_told_and_pooled(folder):
    def change(frame):
        frame["surroundings"] = json.dumps({"threads": 1, "versions": {"torch": "2.9"}})
        threads = json.dumps({"threads": 2, "versions": {"torch": "2.9"}})
        frame.loc[frame["seed"] == 1, "surroundings"] = threads
        return frame

    tables = changed(folder, change)
    [line] = tables.remarks
    assert "(threads: 1, 2)" in line
    assert tables.models["seed"].nunique() == 3


@pytest.mark.parametrize(
    ("column", "values"), [("data", ("a", "b")), ("code", ('{"distil":"a"}', '{"distil":"b"}'))]
)
def test_lineages_of_other_data_or_code_are_not_paired(folder, column, values):
    def change(frame):
        frame[column] = values[0]
        frame.loc[frame["lineage"] == "teacher/student@kd", column] = values[1]
        return frame

    tables = changed(folder, change)
    direct = [p for p in differences.of_chains(tables.models) if p.group == differences.DIRECT]
    assert [pair.difference.count for pair in direct] == [0]
    assert "(a, b)" in direct[0].refused
    assert any("are not compared" in line for line in chains_sheet(tables).warnings)
    [row] = assess({"c": Claim(better="chain", than="direct")}, tables)
    assert row["verdict"] == "not tested"
    assert "(a, b)" in row["note"]


def test_first_models_and_switches_run_different_scripts(folder):
    def change(frame):
        first = ~frame["lineage"].str.contains("/")
        frame["code"] = first.map({True: '{"train":"a"}', False: '{"distil":"b"}'})
        return frame

    pairs = differences.of_chains(changed(folder, change).models)
    assert {pair.refused for pair in pairs} == {""}
    assert {pair.difference.count for pair in pairs} == {3}


def test_one_thing_said_twice_is_refused(folder):
    def change(frame):
        return pd.concat([frame, frame[of(frame, "student", 1)].assign(accuracy=0.1)])

    with pytest.raises(UserError, match=r"models.csv: two rows for .*seed 1, lineage student, spl"):
        _ = changed(folder, change).models


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", 400),
        ("transfer.guides", "ancestors"),
        ("transfer.drop", 0.5),
        ("transfer.hint", {"weight": 5.0}),
        ("transfer.temperature", 2.0),
        ("stored_views", 8),
    ],
)
def test_rules_are_compared_only_if_all_else_is_the_same(tmp_path, key, value):
    chains = {name: f"teacher/student@{name}" for name in ("fixed", "correctness_0.1", "wsl")}
    tidy_examples.write(tmp_path, chains, images=60, epochs=2)

    def change(frame):
        for index in frame.index[frame["transfer"] == "wsl"]:
            settings = json.loads(frame.loc[index, "settings"])
            inner = settings
            *path, last = key.split(".")
            for part in path:
                inner = inner[part]
            inner[last] = value
            frame.loc[index, "settings"] = json.dumps(settings)
        return frame

    tables = changed(tmp_path, change)
    rules = {rule.rule: rule for rule in differences.of_rules(tables)}
    assert rules["correctness"].baseline == "teacher/student@fixed"
    assert rules["correctness"].difference.count == 3
    assert (rules["wsl"].baseline, rules["wsl"].difference) == ("", None)
    assert key in rules["wsl"].refused
    [warning] = [w for w in rules_sheet(tables).warnings if "wsl" in w]
    assert "not the same as teacher/student@fixed but for the rule" in warning


@pytest.mark.parametrize("label", ["student", "teacher", "teacher/student@kd"])
def test_a_chain_called_like_another_model_is_not_averaged_with_it(folder, label):
    plain = Tables(folder)
    [expected] = assess({"c": Claim(better="chain", than="direct")}, plain)

    def change(frame):
        frame.loc[frame["lineage"] == CHAIN, "chains"] = label
        return frame

    tables = changed(folder, change)
    than = "direct" if label != "teacher/student@kd" else "scratch"
    if than == "scratch":
        [expected] = assess({"c": Claim(better="chain", than="scratch")}, plain)
    [row] = assess({"c": Claim(better=label, than=than)}, tables)
    assert row["estimate"] == pytest.approx(expected["estimate"])
    assert f"{label!r} is taken for the chain {CHAIN}" in row["note"]


def test_several_data_sets_are_compared_each_by_itself(folder):
    def change(frame):
        shifted = frame.assign(dataset="other", accuracy=frame["accuracy"] - 0.3)
        # The other data set lacks a seed of one side: that seed has no difference.
        return pd.concat([frame, shifted[~of(shifted, "student", 2)]])

    models = Tables(folder).models
    test = models[(models["split"] == "test") & models["seed"].isin([0, 1])]
    means = test.groupby("lineage")["accuracy"].mean()
    [row] = assess({"c": Claim(better="chain", than="scratch")}, changed(folder, change))
    assert row["seeds"] == 2
    assert row["estimate"] == pytest.approx(means[CHAIN] - means["student"])
    assert "mean over pictures, other" in row["note"]


def test_what_trainings_found_out_about_themselves_is_told(folder):
    def change(frame):
        frame = frame.assign(at_chance="false", same_first_weights="", mixed_arithmetic="false")
        frame.loc[frame["lineage"].isin(["student", "teacher"]), "at_chance"] = "true"
        frame.loc[of(frame, CHAIN, 0, 2), "at_chance"] = "true"
        frame.loc[frame["lineage"] == "student", "same_first_weights"] = "true"
        frame.loc[of(frame, CHAIN, 1), "mixed_arithmetic"] = "true"
        return frame

    tables = changed(folder, change)
    chance, chain, same, mixed = tables.remarks
    assert chance == "student, teacher: seeds 0, 1, 2 ended no better than a constant guess."
    assert chain == f"{CHAIN}: seeds 0, 2 ended no better than a constant guess."
    assert same.startswith("student: seeds 0, 1, 2 began with the same first weights whatever")
    assert mixed.startswith(f"{CHAIN}: seed 1 went on after a stop with other threads, processor")
    assert chains_sheet(tables).warnings[:4] == tables.remarks
    assert tables.models["seed"].nunique() == 3, "told, and pooled"
    unlooked = changed(folder, lambda frame: frame.drop(columns=list(findings.OF_MODELS)))
    assert unlooked.remarks == []


def test_a_selector_that_learned_nothing_is_told_beside_its_numbers(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    tidy_examples.write_selection(tmp_path)

    def change(frame):
        return frame.assign(at_chance=frame["seed"].map({0: "true", 1: "false", 2: ""}))

    tables = changed(tmp_path, change, "selection.csv")
    [line] = selection_sheet(tables).warnings
    assert line == "selector mms: seed 0 ended no better than naming one modality always."


def selection_with(folder, column, values):
    """selection.csv of which the seeds have these values in a column."""
    tidy_examples.write(folder, images=60, epochs=2)
    tidy_examples.write_selection(folder)

    def change(frame):
        frame[column] = frame["seed"].map(dict(enumerate(values)))
        frame.loc[(frame["seed"] == 1) & (frame["method"] == "selector"), "accuracy"] = 0.0
        return frame

    return changed(folder, change, "selection.csv")


IRIS, OTHER = (json.dumps({"iris": lineage}) for lineage in ("teacher", "teacher/student@kd"))


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("settings", ("a", "b", "a"), "settings (a, b)"),
        ("code", ("a", "b", "a"), "code (a, b)"),
        ("data", ("one", "another", "one"), "data (one, another)"),
        ("recognisers", (IRIS, OTHER, IRIS), "recognisers ("),
    ],
)
def test_a_selectors_seed_that_differs_in_more_is_left_out(tmp_path, column, values, said):
    tables = selection_with(tmp_path, column, values)
    assert set(tables.selection["seed"]) == {0, 2}
    [line] = [line for line in selection_sheet(tables).warnings if "left out" in line]
    assert line.startswith("selector mms: seed 1 is left out, for it differs from seed 0, 2 in")
    assert said in line
    rows = [row for row in selection_sheet(tables).rows if row["method"] == "selector"]
    assert {row["seeds"] for row in rows} == {2}
    assert all(row["accuracy"] > 0.5 for row in rows)


def test_a_selectors_seed_goes_with_the_recogniser_that_it_listens_to(tmp_path):
    """Its own digests are the same; but the model below it was trained by other code."""
    tables = selection_with(tmp_path, "recognisers", [json.dumps({"pictures": "teacher"})] * 3)
    assert set(tables.selection["seed"]) == {0, 1, 2}

    def change(frame):
        frame["code"] = '{"train":"a"}'
        frame.loc[of(frame, "teacher", 1), "code"] = '{"train":"b"}'
        return frame

    tables = changed(tmp_path, change)
    assert set(tables.selection["seed"]) == {0, 2}
    [line] = [line for line in selection_sheet(tables).warnings if "selector mms, seed 1" in line]
    assert "code of train (a, b)" in line


def test_what_was_measured_on_two_data_sets_is_not_pooled_unasked(folder):
    models = pd.read_csv(folder / "models.csv")
    both = pd.concat([models.assign(dataset="one"), models.assign(dataset="other")])
    for pooled in (
        lambda: seeds.per_seed(both, "teacher"),
        lambda: seeds.over_seeds(both, "accuracy"),
    ):
        with pytest.raises(ValueError, match="one data set at a time"):
            pooled()
