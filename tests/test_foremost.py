"""Of very many models some are drawn: which, and what is told of the others."""

import re

import pandas as pd
import pytest
import tidy_examples

from modelswitch.config.claims import Claim
from modelswitch.report import contents
from modelswitch.report.figures import draw, style
from modelswitch.report.summaries.classes import classes_sheet
from modelswitch.report.write import write_claims
from modelswitch.results import differences, foremost, seeds
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import joined_csv, read_csv
from modelswitch.results.tables import Tables
from modelswitch.wording import short

CHAINS = {"scratch": "student", "assisted": "teacher/middle@kd/student@kd"} | {
    f"try_{number}": f"teacher/student@kd_{number}" for number in range(60)
}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Tables of 60 students; the better one is on validation images, the worse on test images."""
    folder = tidy_examples.write(tmp_path_factory.mktemp("crowd"), CHAINS, images=200, epochs=2)
    models = read_csv(folder / "models.csv", SCHEMAS["models"])
    number = models["transfer"].str.extract(r"kd_(\d+)$", expand=False).astype(float)
    tried = number.notna()
    sign = models["split"].map({"validation": 1, "test": -1})
    models.loc[tried, "accuracy"] = 0.8 + 0.001 * number[tried] * sign[tried]
    models.loc[models["rule"] != "", ["rule", "delta"]] = ["fixed", float("nan")]
    models.to_csv(folder / "models.csv", index=False)
    claim = Claim(better="try_7", than="scratch")
    write_claims({"seven_helps": claim}, folder)
    return Tables(folder)


def labels(tables):
    return {label for ends in tables.models["chains"] for label in ends.split(";") if label}


def test_claimed_ones_and_the_best_on_validation_images_are_drawn(crowd):
    few = foremost.foremost(crowd)
    lineages = set(few.models["lineage"])
    assert foremost.DRAWN - 2 <= len(lineages) <= foremost.DRAWN
    assert labels(few) > {"try_7", "scratch", "try_59", "try_58", "try_50"}
    assert not labels(few) & {"try_0", "try_1", "try_6", "try_8"}  # best on test images
    # What they came from is there too, and nothing in the other tables is about anybody else.
    assert "teacher" in lineages
    for table in (few.history, few.per_class, few.answers(CHAINS.values(), "test")):
        assert set(table["lineage"]) <= lineages
    assert few.whole is crowd
    assert foremost.foremost(few) is few


def test_few_models_are_all_drawn(tmp_path):
    whole = Tables(tidy_examples.write(tmp_path, images=100, epochs=1))
    assert foremost.foremost(whole) is whole
    assert foremost.others(whole, "test") == {} == differences.of_others(whole)


def test_a_rule_is_drawn_with_its_fixed_weight_and_its_whole_grid(tmp_path):
    whole = Tables(tidy_examples.write(tmp_path, tidy_examples.rule_chains(), images=100, epochs=1))
    few = foremost.foremost(whole, most=5, drawn=8)
    assert {rule.baseline for rule in differences.of_rules(few)} == {"teacher/student@fixed"}
    drawn = {name.rpartition("@")[2] for name in few.models["lineage"] if "correctness" in name}
    assert drawn in (set(), {f"correctness_{delta}" for delta in (0.05, 0.1, 0.2, 0.4)})


def test_the_others_are_told_as_a_spread(crowd):
    few = foremost.foremost(crowd)
    others = foremost.others(few, "test")
    assert set(others) == set(crowd.models["lineage"]) - set(few.models["lineage"])
    assert others["teacher/student@kd_3"] == pytest.approx(0.797)
    apart = differences.of_others(few)[differences.SCRATCH]
    each = {p.better.lineage: p.difference.estimate for p in differences.of_chains(crowd.models)
            if p.group == differences.SCRATCH}  # fmt: skip
    assert sorted(apart) == pytest.approx(sorted(each[name] for name in others if name in each))


def test_figures_and_the_table_of_classes_say_whom_they_show(crowd, tmp_path):
    items = [item for item in contents.FIGURES if item.name in ("chains", "size", "differences")]
    draw.draw_all(crowd, items, tmp_path, ("svg",))
    with style.look():
        count = foremost.foremost(crowd).models["lineage"].nunique()
        of = crowd.models["lineage"].nunique()
    for item in items:
        drawn = (tmp_path / f"{item.file}.svg").read_text(encoding="utf-8")
        told = re.findall(r"<!-- (\d+) of (\d+) models: claimed, or best on validation", drawn)
        assert told == [(str(count), str(of))], item.name
    sheet = classes_sheet(crowd)
    assert {row["lineage"] for row in sheet.rows} <= set(foremost.foremost(crowd).models["lineage"])
    assert sheet.note.startswith("Of what claims name and of the most accurate on validation")


def test_many_histories_are_read_as_each_by_itself(tmp_path):
    schema, files, frames = SCHEMAS["history"], [], []
    for number in range(7):
        rows = {"epoch": [1, 2], "learning_rate": [0.1, 0.05], "loss": [2.0, number]}
        if number % 3 == 0:
            rows = {"stage": ["hint", "hint"]} | rows | {"validation_accuracy": [None, 0.5]}
        path = tmp_path / f"{number}.csv"
        pd.DataFrame(rows).to_csv(path, index=False)
        key = {"lineage": f"model {number}", "seed": number}
        files.append((key, path))
        frames.append(read_csv(path, schema).assign(**key))
    found = joined_csv(files, schema)
    expected = pd.concat(frames, ignore_index=True)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)
    assert list(found.columns[:2]) == ["lineage", "seed"]


@pytest.mark.parametrize("width", [10, 40, 90, 400])
def test_a_name_is_as_long_as_its_place(width):
    from matplotlib.textpath import TextPath

    def points(text):
        return TextPath((0, 0), text, size=6.5).get_extents().width

    name = "search-soft0.95-temperature5.5-delta0.09"
    with style.look():
        found = style.fitting(name, width, 6.5)
        assert found == name or points(short(name, len(found) + 1)) > width
        assert points(found) <= width or len(found) == 4


def test_means_over_seeds_have_the_intervals_of_scipy(crowd):
    from scipy import stats

    test = crowd.models[crowd.models["split"] == "test"]
    for lineage, found in seeds.over_seeds(crowd.models, "nll").items():
        values = test.loc[test["lineage"] == lineage, "nll"]
        low, high = stats.t.interval(
            0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values)
        )
        assert (found.low, found.high) == pytest.approx((low, high))
