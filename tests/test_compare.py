"""Comparing two runs: by hand-made tables whose answer is known."""

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
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
    assert row["moved"] == pytest.approx(0.02 / ((expected.high - expected.low) / 2))
    assert row["moved"] > 1
    assert two_runs.moves(row)


def test_runs_with_other_seeds_are_compared_as_they_are(tmp_path):
    first = run(tmp_path / "a", {0: 0.80, 1: 0.90, 2: 0.70})
    second = run(tmp_path / "b", {3: 0.82, 4: 0.92, 5: 0.72})
    [row] = two_runs.compare(first, second, ["accuracy"])
    assert row["paired_seeds"] == 0
    assert 0 < row["moved"] < 1
    assert not two_runs.moves(row)


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
