"""Comparing two runs: by hand-made tables whose answer is known."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tidy_examples import write_selection

from modelswitch.errors import UserError
from modelswitch.report import two_runs
from modelswitch.results import intervals, tables

ROOT = Path(__file__).parents[1]


def run(folder: Path, accuracies: dict[int, float], lineage: str = "teacher") -> tables.Tables:
    (folder / "tables").mkdir(parents=True)
    pd.DataFrame(
        [{"dataset": "d", "seed": seed, "lineage": lineage, "model": "m", "split": "test",
          "accuracy": value, "parameters": 100, "chains": "x"}
         for seed, value in accuracies.items()]
    ).to_csv(folder / "tables" / "models.csv", index=False)  # fmt: skip
    return two_runs.tables_of(str(folder))


def test_runs_with_the_same_seeds_are_paired(tmp_path):
    first = run(tmp_path / "a", {0: 0.80, 1: 0.90, 2: 0.70})
    second = run(tmp_path / "b", {0: 0.82, 1: 0.925, 2: 0.715})
    [row] = two_runs.compare(first, second, ["accuracy"])
    expected = intervals.paired_difference([0.82, 0.925, 0.715], [0.80, 0.90, 0.70])
    assert row["difference"] == pytest.approx(0.02)
    assert (row["first"], row["second"]) == (pytest.approx(0.8), pytest.approx(2.46 / 3))
    assert (row["low"], row["high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert (row["paired_seeds"], row["split"], row["name"]) == (3, "test", "x")
    assert row["moved"] == pytest.approx(0.02 / ((expected.high - expected.low) / 2))
    assert row["moved"] > 1
    assert two_runs.moves(row)


@pytest.mark.parametrize("seeds", [(3, 4, 5), (2, 4, 5)], ids=["none in common", "one in common"])
def test_runs_with_other_seeds_are_compared_as_they_are(tmp_path, seeds):
    before, after = [0.80, 0.90, 0.70], [0.82, 0.92, 0.75]
    first = run(tmp_path / "a", dict(enumerate(before)))
    second = run(tmp_path / "b", dict(zip(seeds, after, strict=True)))
    [row] = two_runs.compare(first, second, ["accuracy"])
    # Welch: variances of the means add up, degrees of freedom after Satterthwaite.
    errors = np.var(after, ddof=1) / 3, np.var(before, ddof=1) / 3
    freedom = sum(errors) ** 2 / sum(error**2 / 2 for error in errors)
    difference = np.mean(after) - np.mean(before)
    half = stats.t.ppf(0.975, freedom) * sum(errors) ** 0.5
    assert row["paired_seeds"] == 0
    assert [row[key] for key in ("first", "second", "difference", "low", "high", "moved")] == (
        pytest.approx([0.8, np.mean(after), difference, difference - half, difference + half,
                       difference / half])
    )  # fmt: skip
    assert not two_runs.moves(row)


@pytest.mark.parametrize(
    ("moved", "difference", "yes"),
    [(1.0, 0.1, True), (-1.0, -0.1, True), (0.99, 0.1, False), (-0.99, -0.1, False),
     (math.nan, 0.0, False), (math.nan, -0.1, True)],
)  # fmt: skip
def test_what_moves_is_at_the_end_of_its_interval_or_beyond(moved, difference, yes):
    assert two_runs.moves({"moved": moved, "difference": difference}) == yes


def test_the_table_begins_with_what_moved_most_and_shows_percentage_points(tmp_path):
    values = {"least": ([0.5, 0.6, 0.7], [0.51, 0.59, 0.71]), "fell": ([0.9, 0.8, 0.7],
              [0.85, 0.74, 0.64]), "rose": ([0.4, 0.5, 0.6], [0.42, 0.525, 0.628]),
              "one": ([0.7, 0.7, 0.7], [0.7, 0.7, 0.7])}  # fmt: skip
    for at, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        pd.DataFrame(
            [{"dataset": "d", "seed": seed, "lineage": lineage, "model": lineage, "split": "test",
              "accuracy": value, "nll": 1 + value, "parameters": 100, "chains": lineage}
             for lineage, both in values.items() for seed, value in enumerate(both[at])]
        ).to_csv(tmp_path / folder / "models.csv", index=False)  # fmt: skip
    folders = [two_runs.tables_of(str(tmp_path / name)) for name in "ab"]
    rows = two_runs.compare(*folders, ["accuracy", "nll"])
    sheet = two_runs.comparison(rows)
    moved = [abs(row["moved"]) for row in sheet.rows if not math.isnan(row["moved"])]
    assert moved == sorted(moved, reverse=True)
    assert [row["name"] for row in sheet.rows][-2:] == ["one", "one"]
    shown = {(row["name"], row["metric"]): cells
             for row, cells in zip(sheet.rows, sheet.cells(), strict=True)}  # fmt: skip
    gains = np.subtract(*reversed(values["fell"]))
    low, high = stats.ttest_1samp(gains, 0).confidence_interval()
    mean, half = gains.mean(), (high - low) / 2
    # Of shares a hundred times as much, with a digit more than usual; a likelihood as it is.
    assert shown["fell", "accuracy"] == [
        "fell", "accuracy", "80.00 %", "74.33 %", f"{100 * mean:+.2f}",
        f"[{100 * low:+.2f}, {100 * high:+.2f}]", f"{mean / half:+.1f}", "3",
    ]  # fmt: skip
    assert shown["fell", "nll"][2:6] == [
        "1.8000", "1.7433", f"{mean:+.4f}", f"[{low:+.4f}, {high:+.4f}]",
    ]  # fmt: skip
    assert shown["one", "accuracy"][4:7] == ["+0.00", "[+0.00, +0.00]", "–"]


def test_data_that_differ_and_what_was_configured_are_told(tmp_path):
    folders = [run(tmp_path / name, {0: 0.8, 1: 0.9}) for name in "ab"]
    for tables_, held in zip(folders, ("1234", "5678"), strict=True):
        frame = pd.read_csv(tables_.folder / "models.csv").assign(data=held)
        frame.to_csv(tables_.folder / "models.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    first, second = (two_runs.tables_of(str(tmp_path / name)) for name in "ab")
    [line] = two_runs.data_changes(first, second)
    assert line.startswith("d: the first is of data 1234, the second of 5678;")
    assert two_runs.data_changes(first, first) == []
    assert two_runs.configuration_changes(first, second) == []
    for tables_, text in ((first, "name: a\nsoft: 0.7\n"), (second, "name: a\nsoft: 0.9\n")):
        (tables_.folder / "configuration.yaml").write_text(text)
    assert two_runs.configuration_changes(first, second) == [
        "--- first", "+++ second", "@@ -1,2 +1,2 @@", " name: a", "-soft: 0.7", "+soft: 0.9",
    ]  # fmt: skip


def test_one_seed_moves_without_an_interval(tmp_path):
    first, second = run(tmp_path / "a", {0: 0.8}), run(tmp_path / "b", {0: 0.9})
    [row] = two_runs.compare(first, second, ["accuracy"])
    assert math.isnan(row["moved"])
    assert two_runs.moves(row)


def test_what_only_one_run_has_is_listed(tmp_path):
    first, second = run(tmp_path / "a", {0: 0.8}), run(tmp_path / "b", {0: 0.9}, "other")
    assert two_runs.only_in_one(first, second) == (["teacher"], ["other"])
    assert two_runs.compare(first, second) == []


def test_seeds_that_only_one_run_has_are_listed(tmp_path):
    first = run(tmp_path / "a", {0: 0.8, 1: 0.7, 2: 0.9})
    second = run(tmp_path / "b", {0: 0.9})
    assert two_runs.only_in_one(first, second) == (["teacher (seed 1, 2)"], [])


def test_a_folder_or_configuration_without_results_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("name: study\n")
    for where, said in (("x", "x: no such folder"), ("c.yaml", "c.yaml: no folder results/study")):
        with pytest.raises(UserError, match=said):
            two_runs.tables_of(where)
    with pytest.raises(UserError, match=r"no tables/models\.csv there"):
        two_runs.tables_of(str(tmp_path))


def test_the_script_prints_what_moved_and_what_was_changed(tmp_path):
    run(tmp_path / "a", {0: 0.80, 1: 0.90, 2: 0.70})
    run(tmp_path / "b", {0: 0.82, 1: 0.925, 2: 0.715})
    (tmp_path / "a/tables/configuration.yaml").write_text("soft: 0.7\n")
    (tmp_path / "b/tables/configuration.yaml").write_text("soft: 0.9\n")
    script = [sys.executable, ROOT / "workflow/scripts/compare.py"]
    done = subprocess.run(
        [*script, tmp_path / "a", tmp_path / "b"], capture_output=True, text=True, check=True
    )
    assert "+2.00 " in done.stdout
    assert "percentage" in done.stdout
    assert "-soft: 0.7\n+soft: 0.9" in done.stdout
    assert "1 of 2 figures did not move" in done.stdout
    failed = subprocess.run(
        [*script, tmp_path / "a", tmp_path / "c"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1


def test_ways_to_select_are_compared_in_every_situation(tmp_path):
    for name in ("a", "b"):
        run(tmp_path / name, {0: 0.8, 1: 0.9, 2: 0.7})
        write_selection(tmp_path / name / "tables")
    path = tmp_path / "b" / "tables" / "selection.csv"
    changed = pd.read_csv(path)
    seen = changed["seen"] & (changed["level"] > 0) & (changed["side"] != "both")
    changed.loc[seen & (changed["method"] == "selector"), "accuracy"] += 0.01
    changed.to_csv(path, index=False)
    rows = two_runs.compare(*(two_runs.tables_of(str(tmp_path / name)) for name in ("a", "b")))
    # A rule that fuses picks no modality, and is as accurate as before.
    for name in ("a", "b"):
        table = pd.read_csv(tmp_path / name / "tables" / "selection.csv")
        table.loc[table["method"] == "sum_rule", "selection_accuracy"] = math.nan
        table.to_csv(tmp_path / name / "tables" / "selection.csv", index=False)
    rows = two_runs.compare(*(two_runs.tables_of(str(tmp_path / name)) for name in ("a", "b")))
    compared = {row["metric"] for row in rows if row["name"].endswith("sum rule")}
    assert compared == {"accuracy"}
    [moved] = [row for row in rows if two_runs.moves(row)]
    assert moved["name"].endswith("seen: selector")
    assert (moved["metric"], moved["difference"]) == ("accuracy", pytest.approx(0.01))
    compared = {row["metric"] for row in rows if "always" in row["name"]}
    assert compared == {"accuracy", "selection_accuracy"}


def test_seeds_that_are_left_out_are_named(tmp_path):
    """Of the second run, a model's seed 2 and a selector's seed 1; both are in no mean."""
    for name in ("a", "b"):
        run(tmp_path / name, {0: 0.8, 1: 0.9, 2: 0.7})
        write_selection(tmp_path / name / "tables")
    for table, own in (("models", 2), ("selection", 1)):
        path = tmp_path / "b" / "tables" / f"{table}.csv"
        changed = pd.read_csv(path)
        changed["data"] = [("x", "y")[seed == own] for seed in changed["seed"]]
        changed.loc[changed["seed"] == own, "accuracy"] = 0.0
        changed.to_csv(path, index=False)
    done = subprocess.run(
        [sys.executable, ROOT / "workflow/scripts/compare.py", tmp_path / "a", tmp_path / "b"],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    said = " ".join(done.stdout.split())
    left_out = "is left out, for it differs from seed"
    assert f"In the second: teacher on d: seed 2 {left_out} 0, 1 in data (x, y)." in said
    assert f"In the second: selector mms: seed 1 {left_out} 0, 2 in data (x, y)." in said
    assert "In the first" not in said
    assert "figures did not move" in said
    first, second = (two_runs.tables_of(str(tmp_path / name)) for name in ("a", "b"))
    [row] = two_runs.compare(first, second, ["accuracy"])[:1]
    assert row["second"] == pytest.approx(0.85), "the mean of the seeds that are left"


def test_only_what_both_were_tried_on_is_compared(tmp_path):
    """A mean over other levels is another quantity, and so is one over other seeds."""
    first, second = (run(tmp_path / name, {0: 0.8, 1: 0.9, 2: 0.7}) for name in "ab")
    for tables_ in (first, second):
        write_selection(tables_.folder)
    table = pd.read_csv(second.folder / "selection.csv")
    table[table["level"].isin((0, 1))].to_csv(second.folder / "selection.csv", index=False)
    rows = two_runs.compare(*(tables.Tables(t.folder) for t in (first, second)), ["accuracy"])
    of_selection = [row for row in rows if row["name"].startswith("mms")]
    assert len(of_selection) > 10
    assert all(row["difference"] == 0 for row in of_selection)
    other = run(tmp_path / "c", {0: 0.81, 1: 0.91, 5: 0.1})
    [row] = two_runs.compare(first, other, ["accuracy"])
    assert row["paired_seeds"] == 2
    assert row["second"] - row["first"] == pytest.approx(row["difference"]) == pytest.approx(0.01)


def test_runs_on_other_data_are_refused_and_others_are_listed(tmp_path, capsys):
    first, second = (run(tmp_path / name, {0: 0.8}, lineage=name) for name in "ab")
    compare = ROOT / "workflow/scripts/compare.py"
    command = [sys.executable, str(compare), str(first.folder), str(second.folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Only in the first: a" in told.stdout
    path = second.folder / "models.csv"
    path.write_text(path.read_text().replace("\nd,", "\nother,"))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    assert f"{second.folder}: is on other, and {first.folder} on d; only what was measured" in said
