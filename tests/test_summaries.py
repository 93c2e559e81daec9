"""Summary tables: their numbers against the tables they come from, and how they are shown."""

import csv
import io
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import tidy_examples
from rich.console import Console
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from modelswitch.config.claims import Claim
from modelswitch.report import contents, page
from modelswitch.report.sheet import probability, share
from modelswitch.report.summaries import make, missing
from modelswitch.report.summaries.chains import chains_sheet
from modelswitch.report.summaries.claims import claims_sheet
from modelswitch.report.summaries.classes import classes_sheet
from modelswitch.report.summaries.data import data_sheet
from modelswitch.report.summaries.rules import rules_sheet
from modelswitch.report.summaries.run_times import run_times_sheet
from modelswitch.report.write import write_claims, write_sheets
from modelswitch.results import differences
from modelswitch.results.tables import Tables
from modelswitch.wording import duration


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tidy_examples.write(tmp_path_factory.mktemp("few"), images=300, epochs=4)
    write_claims({"chain_beats_direct": Claim(better="chain", than="direct")}, folder)
    return Tables(folder)


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    chains = tidy_examples.rule_chains()
    return Tables(tidy_examples.write(folder, chains, images=300, epochs=4))


def test_chains_have_mean_interval_and_gain(few):
    rows = {row["chain"]: row for row in chains_sheet(few).rows}
    models = few.models[few.models["split"] == "test"]
    chain = models[models["chains"] == "chain"].sort_values("seed")["accuracy"].to_numpy()
    scratch = models[models["chains"] == "scratch"].sort_values("seed")["accuracy"].to_numpy()
    low, high = stats.ttest_1samp(chain, 0).confidence_interval()
    assert rows["chain"]["accuracy"] == pytest.approx(chain.mean())
    assert rows["chain"]["accuracy_low"] == pytest.approx(low)
    assert rows["chain"]["accuracy_high"] == pytest.approx(high)
    assert rows["chain"]["gain"] == pytest.approx(np.mean(chain - scratch))
    assert rows["chain"]["times_smaller"] == pytest.approx(559 / 68.8)
    assert math.isnan(rows["scratch"]["gain"])


def test_the_teacher_stands_beside_its_student_from_scratch(few, tmp_path):
    sheet = chains_sheet(few)
    accuracy = few.models[few.models["split"] == "test"].groupby("lineage")["accuracy"].mean()
    rows = {row["chain"]: row for row in sheet.rows}
    assert rows["chain"]["scratch_accuracy"] == pytest.approx(accuracy["student"])
    assert math.isnan(rows["scratch"]["scratch_accuracy"])
    assert f"First model teacher: {100 * accuracy['teacher']:.1f} ±" in sheet.note
    assert f"student from scratch: {100 * accuracy['student']:.1f} ±" in sheet.note
    assert not sheet.warnings

    tidy_examples.write(tmp_path, images=100, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    models.loc[models["lineage"] == "teacher", "accuracy"] -= 0.2
    models.to_csv(tmp_path / "models.csv", index=False)
    [warning] = chains_sheet(Tables(tmp_path)).warnings
    assert "no better than its student from scratch: First model teacher:" in warning


def test_rules_are_compared_with_fixed_and_corrected(rules):
    rows = {row["rule"]: row for row in rules_sheet(rules).rows if row["rule"] != "correctness"}
    assert math.isnan(rows["fixed"]["p"])
    raw = [row["p"] for row in rules_sheet(rules).rows if not math.isnan(row["p"])]
    assert len(raw) == 12
    smallest = min(rules_sheet(rules).rows, key=lambda r: r["p"] if r["p"] == r["p"] else 2)
    assert smallest["p_holm"] == pytest.approx(min(1, 12 * smallest["p"]))
    assert not rules_sheet(rules).warnings


def test_every_number_of_a_rules_row_follows_from_the_tables(tmp_path):
    chains = {name: f"teacher/student@{name}" for name in ("fixed", "correctness_0.1", "wsl")}
    tidy_examples.write(tmp_path, chains, images=100, epochs=3)
    history = pd.read_csv(tmp_path / "history.csv")
    switched = history["teacher_wrong"].notna()
    # Every epoch, seed and lineage another number.
    history.loc[switched, "teacher_wrong"] = np.linspace(0.1, 0.3, switched.sum())
    history.loc[switched, "weight_soft"] = np.linspace(0.5, 0.9, switched.sum())
    history.loc[switched, "weight_hard"] = np.linspace(0.4, 0.2, switched.sum())
    history.to_csv(tmp_path / "history.csv", index=False)
    tables = Tables(tmp_path)
    sheet = rules_sheet(tables)
    rows = {row["transfer"]: row for row in sheet.rows}
    models = tables.models[tables.models["split"] == "test"]
    models = models.pivot(index="seed", columns="lineage", values="accuracy")
    found = {}
    for transfer, lineage in chains.items():
        row, own = rows[transfer], history[history["lineage"] == lineage]
        assert row["teacher_wrong"] == pytest.approx(own["teacher_wrong"].mean())
        first = own[own["epoch"] == 1]["teacher_wrong"].mean()
        assert row["teacher_wrong_first"] == pytest.approx(first)
        for column in ("weight_soft", "weight_hard"):
            assert row[column] == pytest.approx(own[column].mean())
        accuracy = DescrStatsW(models[lineage])
        low, high = accuracy.tconfint_mean()
        assert [row[f"accuracy{end}"] for end in ("", "_low", "_high")] == pytest.approx(
            [accuracy.mean, low, high]
        )
        assert (row["seeds"], row["split"], row["lineage"]) == (3, "test", lineage)
        if transfer == "fixed":
            ends = ("difference", "difference_low", "difference_high", "p", "p_holm")
            assert all(math.isnan(row[key]) for key in (*ends, "seeds_needed"))
            continue
        gains = models[lineage] - models[chains["fixed"]]
        low, high = stats.ttest_1samp(gains, 0).confidence_interval()
        assert [row[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx(
            [gains.mean(), low, high]
        )
        found[transfer] = row["p"]
        assert row["p"] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
        effect = abs(gains.mean()) / gains.std(ddof=1)
        powers = (TTestPower().power(effect, n, 0.05) for n in range(2, 10_000))
        assert row["seeds_needed"] == next(n for n, p in enumerate(powers, 2) if p >= 0.8)
    (smaller, p), (larger, q) = sorted(found.items(), key=lambda item: item[1])
    assert rows[smaller]["p_holm"] == pytest.approx(2 * p)
    assert rows[larger]["p_holm"] == pytest.approx(max(2 * p, q))
    # What a reader sees, beside its heading.
    row, headings = rows["wsl"], [column.heading for column in sheet.visible()]
    shown = dict(zip(headings, sheet.cells()[list(rows).index("wsl")], strict=True))
    half = 50 * (row["difference_high"] - row["difference_low"])
    assert shown["difference to fixed"] == f"{100 * row['difference']:+.1f} ± {half:.1f}"
    assert shown["views wrong, first epoch %"] == f"{100 * row['teacher_wrong_first']:.1f}"
    assert shown["views wrong, all epochs %"] == f"{100 * row['teacher_wrong']:.1f}"
    assert shown["soft weight"] == f"{row['weight_soft']:.3f}"
    assert shown["hard weight"] == f"{row['weight_hard']:.3f}"
    assert shown["p (Holm)"] == f"{row['p_holm']:.3f}"


def test_rules_of_several_pairs_of_models_are_corrected_together(tmp_path):
    chains = {
        f"{name}-{parent.count('/')}": f"{parent}/student@{name}"
        for parent in ("teacher", "teacher/middle@kd") for name in ("fixed", "wsl")
    }  # fmt: skip
    tidy_examples.write(tmp_path, chains, images=300, epochs=2, seeds=range(5))
    found = [rule for rule in differences.of_rules(Tables(tmp_path)) if rule.difference]
    least, most = sorted(found, key=lambda rule: rule.difference.p)
    assert least.p_holm == pytest.approx(min(1, 2 * least.difference.p))
    assert most.p_holm == pytest.approx(max(least.p_holm, most.difference.p))


def test_rules_of_tables_from_before_settings_were_recorded_are_compared_by_what_is_known(tmp_path):
    chains = {name: f"teacher/student@{name}" for name in ("fixed", "wsl")}
    tidy_examples.write(tmp_path, chains, images=60, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv").drop(columns="settings")
    models.to_csv(tmp_path / "models.csv", index=False)
    tables = Tables(tmp_path)
    fixed, other = differences.of_rules(tables)
    assert (fixed.baseline, other.baseline) == 2 * ("teacher/student@fixed",)
    assert other.refused == ""
    own = models[models["split"] == "test"].pivot(
        index="seed", columns="lineage", values="accuracy"
    )
    gain = (own["teacher/student@wsl"] - own["teacher/student@fixed"]).mean()
    assert other.difference.estimate == pytest.approx(gain)
    # Without a history nothing is known of weights and of the teacher's mistakes.
    (tmp_path / "history.csv").unlink()
    for row in rules_sheet(Tables(tmp_path)).rows:
        unknown = ("weight_soft", "weight_hard", "teacher_wrong", "teacher_wrong_first")
        assert all(math.isnan(row[key]) for key in unknown)
    # One hypothesis needs no correction.
    assert other.p_holm == pytest.approx(other.difference.p, nan_ok=True)
    models.loc[models["lineage"] == "teacher/student@wsl", "temperature"] = 2.0
    models.to_csv(tmp_path / "models.csv", index=False)
    _, other = differences.of_rules(Tables(tmp_path))
    assert (other.baseline, other.difference) == ("", None)
    assert other.refused.startswith("not the same as teacher/student@fixed but for the rule: temp")


@pytest.mark.parametrize("kind", ["chains", "rules", "claims", "selectors", "run_times"])
def test_columns_of_numbers_are_sorted_by_the_numbers_that_they_show(tmp_path, kind):
    tidy_examples.write(tmp_path, images=100, epochs=2)
    if kind == "rules":
        chains = {name: f"teacher/student@{name}" for name in ("fixed", "wsl", "dkd")}
        tidy_examples.write(tmp_path, chains, images=100, epochs=2)
    tidy_examples.write_selection(tmp_path)
    if kind == "claims":
        write_claims(
            {"c": Claim(better="chain", than="scratch", smallest=0.01),
             "d": Claim(better="chain", than="direct", metric="nll")}, tmp_path
        )  # fmt: skip
    [sheet] = [s for s in make.all_sheets(Tables(tmp_path)) if s.name == kind]
    units = {"": 1, "k": 1e3, "M": 1e6, "min": 60, "h": 3600, "s": 1}
    checked = 0
    for column in sheet.visible():
        for row in sheet.rows if column.numeric else ():
            found = re.match(r"\[?([+-]?[\d.]+) ?(k|M|min|h|s)?\b", column.text(row))
            if found is None:
                assert not column.text(row) or column.text(row)[0] in "<1", column.heading
                continue
            key, number = column.key(row), float(found[1]) * units[found[2] or ""]
            shown_in = (1, 100)  # shares are shown in percent
            assert any(
                number == pytest.approx(scale * key, rel=0.01, abs=0.06) for scale in shown_in
            )
            checked += 1
    assert checked > 5


@pytest.mark.parametrize(
    ("p", "said"), [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0625, "0.062"),
                    (1.0, "1.000")],
)  # fmt: skip
def test_probabilities_are_never_said_to_be_nought(p, said):
    assert probability("p", "p").text({"p": p}) == said
    assert probability("p", "p").text({"p": math.nan}) == ""


def test_the_claims_table_shows_what_was_computed(tmp_path):
    tidy_examples.write(tmp_path, images=200, epochs=2)
    claims = {
        "chain_wins": Claim(better="chain", than="scratch", smallest=0.015, statement="It does."),
        "fewer": Claim(better="chain", than="teacher", metric="parameters", smallest=1000),
        "likelier": Claim(better="chain", than=("scratch", "direct"), metric="nll"),
    }
    write_claims(claims, tmp_path)
    assert contents.facts_in(Tables(tmp_path)).claims
    sheet = claims_sheet(Tables(tmp_path))
    headings = [column.heading for column in sheet.visible()]
    wins, fewer, likelier = (dict(zip(headings, c, strict=True)) for c in sheet.cells())
    row, _, other = sheet.rows
    assert wins["claim"] == "chain wins"
    assert wins["estimate"] == f"{100 * row['estimate']:+.2f}"
    assert wins["95 % interval"] == f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"
    assert wins["what is compared"] == "chain over scratch: accuracy, test"
    assert [wins[heading] for heading in ("smallest of interest", "seeds", "in words")] == [
        "1.5", "3", "It does.",
    ]  # fmt: skip
    for heading, key in (("p (Holm)", "p_holm"), ("p (sign flips)", "permutation_p")):
        assert wins[heading] == f"{row[key]:.3f}"
    assert wins["p (McNemar)"] == (
        "< 0.001" if row["mcnemar_p"] < 0.001 else f"{row['mcnemar_p']:.3f}"
    )
    assert wins["seeds needed"] == f"{row['seeds_needed']:.0f}"
    assert (fewer["verdict"], fewer["estimate"], fewer["95 % interval"]) == (
        "supported",
        "+490 k",
        "–",
    )
    assert (fewer["smallest of interest"], fewer["p (Holm)"]) == ("1000", "–")
    assert likelier["estimate"] == f"{other['estimate']:+.4f}"
    assert likelier["what is compared"] == f"chain over {other['than']}: nll, test"


def test_run_times_are_those_of_trainings_each_once(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=4)
    models = pd.read_csv(tmp_path / "models.csv")
    student = models["lineage"] == "student"
    models.loc[student, "train_seconds"] = models.loc[student, "seed"].map(
        {0: 100, 1: 130, 2: None}
    )
    models.to_csv(tmp_path / "models.csv", index=False)
    sheet = run_times_sheet(Tables(tmp_path))
    rows = {row["lineage"]: row for row in sheet.rows}
    assert len(rows) == 5  # a chain of three, a direct switch and a student alone
    row = rows["student"]
    assert (row["trainings"], row["epochs"], row["precision"]) == (2, 4, "float32")
    assert (row["seconds_each"], row["seconds"]) == (115, 230)
    assert row["seconds_per_epoch"] == pytest.approx((100 / 4 + 130 / 4) / 2)
    assert (rows["teacher"]["trainings"], rows["teacher"]["seconds"]) == (3, 360)
    # Four lineages of three seeds at two minutes each, and 230 s.
    assert f"{duration(4 * 360 + 230)} in all for 14 trainings" in sheet.note
    shown = dict(zip((c.heading for c in sheet.visible()), sheet.cells()[sheet.rows.index(row)],
                     strict=True))  # fmt: skip
    assert (shown["s an epoch"], shown["one training"], shown["all"]) == (
        "28.8", duration(115), duration(230)
    )  # fmt: skip


def test_rules_with_one_rule_name_and_other_settings_are_told_apart(rules):
    names = [row.name for row in differences.of_rules(rules)]
    assert len(set(names)) == len(names)
    assert "correctness ±0.1" in names


def test_a_teacher_that_is_hardly_ever_wrong_is_reported(tmp_path):
    chains = dict(list(tidy_examples.rule_chains().items())[:3])
    tables = Tables(tidy_examples.write(tmp_path, chains, teacher_wrong=0.01, images=100))
    [warning] = rules_sheet(tables).warnings
    assert "cannot tell the rules apart" in warning
    assert "1.0 %" in warning


def test_each_teacher_is_judged_by_its_own_mistakes(tmp_path):
    chains = {
        f"{teacher}_{rule}": f"{teacher}/student@{rule}"
        for teacher in ("teacher", "large")
        for rule in ("fixed", "correctness_0.1")
    }
    tidy_examples.write(tmp_path, chains, images=60, epochs=2)
    history = pd.read_csv(tmp_path / "history.csv")
    sure = history["lineage"].str.startswith("large/")
    history.loc[sure, "teacher_wrong"] = 0.01
    history.to_csv(tmp_path / "history.csv", index=False)
    # The mean of the two, 3 %, would be enough.
    [warning] = rules_sheet(Tables(tmp_path)).warnings
    assert "The teacher large is wrong on 1.0 %" in warning


def test_rules_are_shown_where_the_teacher_is_right_and_wrong(rules):
    rows = {row["lineage"]: row for row in rules_sheet(rules).rows}
    models = rules.models[rules.models["split"] == "test"]
    for lineage, row in rows.items():
        own = models[models["lineage"] == lineage]
        for column in ("accuracy", "accuracy_teacher_right", "accuracy_teacher_wrong"):
            assert row[column] == pytest.approx(own[column].mean())
    headings = rules_sheet(rules).markdown().splitlines()[0]
    for heading in ("teacher right %", "teacher wrong %", "p (Holm)", "difference to fixed"):
        assert heading in headings


def test_teacher_passes_are_counted_with_and_without_the_store(tmp_path):
    tidy_examples.write(tmp_path, tidy_examples.rule_chains(), images=40, epochs=4, seeds=(0, 1))
    models = pd.read_csv(tmp_path / "models.csv", keep_default_na=False)
    models["views"] = models["views"].replace("live", "stored")
    models.to_csv(tmp_path / "models.csv", index=False)
    (tmp_path / "responses.csv").write_text(
        "dataset,seed,lineage,views,folds,teacher_wrong\n"
        "pictures,0,teacher,3,0,0.04\npictures,1,teacher,3,0,0.06\n"
    )
    sheet = rules_sheet(Tables(tmp_path))
    assert "6 times" in sheet.note  # 2 seeds of 3 views
    assert "104 times" in sheet.note  # 13 students, 2 seeds, 4 epochs
    assert sheet.rows[0]["teacher_wrong_stored"] == pytest.approx(0.05)


def test_a_search_that_never_touched_the_test_set_is_reported_on_validation(tmp_path):
    tidy_examples.write(tmp_path, images=100, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    models[models["split"] == "validation"].to_csv(tmp_path / "models.csv", index=False)
    headings = [c.heading for c in chains_sheet(Tables(tmp_path)).columns]
    assert "validation accuracy %" in headings


def test_the_terminals_table_fits_80_columns(few, rules):
    for tables in (few, rules):
        for sheet in make.all_sheets(tables):
            console = Console(width=80, file=io.StringIO())
            console.print(sheet.terminal())
            assert "…" not in console.file.getvalue(), f"{sheet.name} is cut off"


def test_markdown_and_csv_have_every_row(few, tmp_path):
    made = make.all_sheets(few)
    write_sheets(made, tmp_path)
    chains = next(sheet for sheet in made if sheet.name == "chains")
    assert len(chains.markdown().splitlines()) == len(chains.rows) + 2
    with (tmp_path / "chains.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(chains.rows)
    with (tmp_path / "verdicts.csv").open() as file:
        [verdict] = csv.DictReader(file)
    assert verdict["verdict"] in ("supported", "not supported", "contradicted")


def test_the_hardest_classes_stand_beside_what_they_are_taken_for(few):
    sheet = classes_sheet(few)
    rows = [row for row in sheet.rows if row["chain"] == "scratch"]
    own = few.predictions[few.predictions["lineage"] == "student"]
    right = (own["label"] == own["predicted"]).groupby([own["seed"], own["label"]]).mean()
    expected = right.groupby("label").mean().nsmallest(5)
    assert [row["label"] for row in rows] == expected.index.tolist()
    assert [row["recall"] for row in rows] == pytest.approx(expected.tolist())
    worst = rows[0]
    # In these tables a class is only ever taken for the next one.
    assert worst["taken_for"] == f"class {(worst['label'] + 1) % 10}"
    mistaken = own[own["label"] == worst["label"]]
    share = (mistaken["predicted"] != mistaken["label"]).mean()
    assert worst["taken_share"] == pytest.approx(share)


def test_ties_are_reported(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    models.loc[models["lineage"] == "student", "ties"] = 0.031
    models.to_csv(tmp_path / "models.csv", index=False)
    [warning] = [w for w in chains_sheet(Tables(tmp_path)).warnings if "share the largest" in w]
    assert warning.startswith("student: on 3.1 % of the images")


def test_missing_parts_are_named(few):
    chains = {"chain": "teacher/middle@kd/student@kd", "long": "teacher/large@kd/student@kd"}
    named = {f"Chain {label}": lineage for label, lineage in chains.items()}
    lines = missing.missing(few, named, [0, 1, 2, 3, 4], ["pictures"])
    # What nothing has is said once, however many models there are.
    assert lines == [
        "No results of seed 3, 4 yet.",
        "Chain long (teacher/large@kd/student@kd): no results.",
    ]


def test_missing_selectors_and_data_sets_are_named(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    tidy_examples.write_selection(tmp_path, seeds=(0, 2))
    tables = Tables(tmp_path)
    lines = missing.missing(
        tables, {"Model student": "student"}, [0, 1, 2], ["pictures", "iris"], ["mms", "other"]
    )
    assert lines == [
        "Model student on iris: no results.",
        "Selector mms: no seed 1.",
        "Selector other: no results.",
    ]
    (tmp_path / "selection.csv").unlink()
    lines = missing.missing(Tables(tmp_path), {}, [0], ["pictures"], ["mms"])
    assert lines == ["Selector mms: no results."]


def test_shares_are_shown_in_percent_with_half_their_interval():
    column = share("accuracy %", "accuracy")
    row = {"accuracy": 0.843, "accuracy_low": 0.839, "accuracy_high": 0.847}
    assert column.text(row) == "84.3 ± 0.4"
    assert column.text(row | {"accuracy_low": math.nan}) == "84.3"
    assert column.text({"accuracy": math.nan}) == ""


def test_summary_opens_with_claims_and_names_what_is_missing(few):
    text = page.summary("study", make.all_sheets(few), [], ["Chain x (t): no results."])
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0] == "## Claims"
    assert "**Missing.** Chain x (t): no results." in text


@pytest.mark.parametrize(
    ("accuracies", "images", "majority", "said"),
    [
        ([0.6], 100, 0.6, "is no better"),  # exactly
        ([0.5, 0.52, 0.54], 1000, 0.6, "is no better"),
        ([0.61], 100, 0.6, "is not shown to be better"),  # one seed, by the number of images
        ([0.61], 100_000, 0.6, ""),
        ([0.6, 0.65, 0.7], 100_000, 0.6, "is not shown to be better"),  # by the interval over seeds
        ([0.8, 0.81, 0.82], 1000, 0.6, ""),
        ([0.941], 34, 0.941, "is no better"),
        ([0.9], 1000, math.nan, ""),  # results from before it was measured
    ],
)
def test_a_model_that_is_no_better_than_the_majority_is_said_to_be_so(
    tmp_path, accuracies, images, majority, said
):
    tidy_examples.write(tmp_path, seeds=range(len(accuracies)), images=100, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    models["majority_share"], models["images"] = 0.01, images
    student = models["lineage"] == "student"
    models.loc[student, "majority_share"] = majority
    models.loc[student, "accuracy"] = models.loc[student, "seed"].map(dict(enumerate(accuracies)))
    models.to_csv(tmp_path / "models.csv", index=False)
    sheet = chains_sheet(Tables(tmp_path))
    found = [warning for warning in sheet.warnings if "most frequent class" in warning]
    assert len(found) == bool(said)
    if said:
        assert found[0].startswith(f"student {said} than always answering the most frequent class")
        assert f"of {images} test images right against {100 * majority:.1f} %" in found[0]
    row = next(row for row in sheet.rows if row["lineage"] == "student")
    assert row["majority_share"] == pytest.approx(majority, nan_ok=True)


def test_the_page_says_what_an_incomplete_batch_leaves_out(tmp_path):
    tidy_examples.write(tmp_path, images=100, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    models["settings"] = json.dumps({"training": {"batch": 128}})
    models.loc[models["model"] == "teacher", "settings"] = json.dumps({"training": {"batch": 32}})
    models.to_csv(tmp_path / "models.csv", index=False)

    def told(train, validation):
        classes = {"label": [0, 1], "label_name": ["a", "b"], "train": train, "test": [50, 50]}
        classes |= {"dataset": "pictures"} | ({"validation": validation} if validation else {})
        pd.DataFrame(classes).to_csv(tmp_path / "data_classes.csv", index=False)
        rows = data_sheet(Tables(tmp_path)).rows
        return {r["fact"]: r["found"] for r in rows if r["fact"].startswith("batches")}

    # 100 images to validate on are held back of 354, or are the data's own.
    expected = {
        "batches of 128": "254 images make 2 steps of at most 127, or 49.6 % would be left out",
        "batches of 32": "254 images make 8 steps of at most 32, or 11.8 % would be left out",
    }
    assert told([300, 54], None) == told([200, 54], [90, 10]) == expected
    assert told([100, 98], None)["batches of 32"] == (
        "98 images make 3 steps; 2.0 % are left out, others each epoch"
    )
    assert told([300, 56], None) == {}


def test_classes_without_images_to_measure_with_are_named_on_the_page(tmp_path):
    tidy_examples.write(tmp_path, images=100, epochs=2)
    assert data_sheet(Tables(tmp_path)) is None
    table = pd.read_csv(tmp_path / "per_class.csv")
    table.loc[table["label"] == 3, "images"] = 0
    table.loc[(table["label"] == 7) & (table["seed"] == 1), "images"] = 0
    table.to_csv(tmp_path / "per_class.csv", index=False)
    [row] = data_sheet(Tables(tmp_path)).rows
    assert row["fact"] == "test lacks"
    assert row["found"] == "no image of 2 of 10 classes: 'class 3', 'class 7' (seed 1)"
    # What was said when the data were read is not said again.
    read = {"dataset": ["pictures"], "fact": ["test lacks"], "found": ["no image of 1 of 10"]}
    pd.DataFrame(read).to_csv(tmp_path / "reading.csv", index=False)
    assert [r["found"] for r in data_sheet(Tables(tmp_path)).rows] == ["no image of 1 of 10"]
