"""Exported files as steps of the workflow: what is written, refused, planned, and shown."""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import script_runs
import tidy_examples
import yaml
from scipy import stats
from test_jobs import Runner

from modelswitch.config.deploy import CARD_FILE, exported_file
from modelswitch.config.experiment import load
from modelswitch.data.arrays import ImageArrays
from modelswitch.deployment import latency, runtimes
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.planning.model_checks import check_models
from modelswitch.report import contents
from modelswitch.report.card import model_card
from modelswitch.report.figures import devices as figure
from modelswitch.report.summaries.devices import devices_sheet
from modelswitch.report.summaries.make import all_sheets
from modelswitch.report.summaries.selector_files import selector_files_sheet
from modelswitch.report.write import Report
from modelswitch.results.collect import StoredResults
from modelswitch.results.devices import exported, pareto
from modelswitch.results.tables import Tables
from modelswitch.results.timings import selector_timings, timings
from modelswitch.selector.graph import SelectorGraph
from modelswitch.storage import artifacts

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    # Long enough that there is accuracy to lose.
    training = {"epochs": 10, "batch": 64, "learning_rate": 0.05, "precision": "float32"}
    settings = {"deploy": {"formats": ["onnx"]}, "seeds": [0], "training": training}
    runner = Runner(tmp_path_factory.mktemp("deploy"), **settings)
    runner.train(runner.place("teacher/student@kd"))
    return runner


def export(runner, path, tolerance=0.02, **changes):
    place = runner.place("teacher/student@kd")
    deploy = runner.graph.deploy_job("onnx").model_copy(update={"tolerance": tolerance, **changes})
    return script_runs.run(
        *("export", "--job", runner.graph.train_job(place).canonical()),
        *("--deploy", deploy.canonical(), "--data", runner.data, "--file", path),
        *("--model", runner.file(place, "model.safetensors")),
        *("--outputs", runner.file(place, "outputs.safetensors")),
    )


def test_an_export_is_judged_on_the_test_set_and_collected(runner):
    place = runner.place("teacher/student@kd")
    path = runner.file(place, exported_file("onnx"))
    ended = export(runner, path)
    assert ended.status == 0, ended.said
    outputs, _ = artifacts.load(runner.file(place, "outputs.safetensors"))
    labels = outputs["test.labels"].numpy()
    accuracy = float((outputs["test.logits"].argmax(1).numpy() == labels).mean())
    stored = StoredResults(runner.graph.experiment, _results(runner))
    [row] = stored.exports().to_dict("records")
    assert row["lineage"] == "teacher/student@kd"
    assert row["images"] == len(labels)
    assert row["network_accuracy"] == pytest.approx(accuracy)
    assert row["accuracy"] == pytest.approx(accuracy)
    assert row["file_bytes"] == path.stat().st_size
    # A float file is what its network is.
    [network] = (
        stored.models()
        .query("split == 'test' and lineage == 'teacher/student@kd'")
        .to_dict("records")
    )
    assert row["balanced_accuracy"] == pytest.approx(network["balanced_accuracy"])
    assert row["ece"] == pytest.approx(network["ece"], abs=1e-4)
    assert runtimes.describe(path)["classes"] == [str(digit) for digit in range(10)]
    assert f"onnx: {100 * accuracy:.2f} % on {len(labels)} test images" in ended.said


def _results(runner):
    return runner.folder


def measured_without_torch(path, folder, *options):
    """What `modelswitch measure` prints where numpy and ONNX Runtime are all that is installed."""
    for package in ("torch", "pandas", "pydantic", "safetensors", "onnx", "snakemake"):
        (folder / f"{package}.py").write_text(f"raise ImportError('no {package} here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "modelswitch", "measure", path, "--threads", "1", *options],
        env=os.environ | {"PYTHONPATH": f"{folder}:{Path(runtimes.__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_second_machine_s_table_joins_the_page(runner, tmp_path):
    place = runner.place("teacher/student@kd")
    path = runner.file(place, exported_file("onnx"))
    if not path.exists():
        assert export(runner, path).status == 0
    said = measured_without_torch(path, tmp_path, "--machine", "a small board")
    table = tmp_path / "board.csv"
    table.write_text(said)
    values = runner.graph.experiment.model_dump(mode="json", exclude_defaults=True)
    values["deploy"] |= {"measured": [str(table)]}
    stored = StoredResults(load(values), _results(runner))
    rows = stored.latency()
    assert list(rows["machine"]) == ["a small board"] * 2
    assert set(rows["lineage"]) == {"teacher/student@kd"}
    assert list(rows["batch"]) == [1, 32]
    # Of other files than this run's nothing joins.
    [sha256] = set(pd.read_csv(table)["sha256"])
    for before, after, message in (
        (sha256, "0" * 64, "another file than this run's"),
        ("student@kd", "student@wide", "which this run has not"),
        ("batch", "images", "column 'batch' is missing"),
    ):
        table.write_text(said.replace(before, after))
        with pytest.raises(UserError, match=rf"deploy.measured: .*board.csv: .*{message}"):
            stored.latency()
    table.unlink()
    with pytest.raises(UserError, match=r"board\.csv: no such file"):
        stored.latency()


def test_a_file_that_loses_too_much_is_not_there(runner, tmp_path, monkeypatch):
    """Here a runtime that is wrong on half of the images stands for a bad quantisation."""
    from modelswitch.deployment import export as module

    opened = module.open_file

    def wrong(path, threads=1):
        run = opened(path, threads)

        def answers(batch):
            result = run(batch).copy()
            result[::2] = np.roll(result[::2], 1, axis=1)
            return result

        return answers

    monkeypatch.setattr(module, "open_file", wrong)
    path = tmp_path / "deploy" / "onnx.onnx"
    ended = export(runner, path, tolerance=0.1)
    assert ended.status == 1
    assert "teacher/student@kd: as onnx it loses" in ended.said
    assert "deploy.tolerance allows 10" in ended.said
    assert not list(tmp_path.rglob("*.*"))


def test_too_few_images_to_calibrate_with_are_told(runner, tmp_path):
    ended = export(runner, tmp_path / "a.onnx", calibration=4, format="onnx-int8")
    assert ended.said.splitlines()[-1].startswith("error: deploy.calibration: found 4, fewer than")
    # A format without ranges to find needs none.
    assert export(runner, tmp_path / "b" / "onnx.onnx", calibration=4).status == 0
    # Known before anything is trained, for the data say how many classes there are.
    few = {"deploy": {"calibration": 9, "formats": ["onnx", "executorch-int8"]}}
    with pytest.raises(UserError, match=r"calibration: found 9, fewer .* 10 classes; executorch-"):
        check_models(load(BASE | few))
    check_models(load(BASE | {"deploy": {"calibration": 9, "formats": ["onnx"]}}))


BASE = {
    "name": "x",
    "data": {"source": "digits"},
    "models": {
        "a": {"family": "plain", "stages": [[4]]},
        "b": {"family": "plain", "stages": [[2]]},
    },
    "transfers": {"kd": {}},
    "chains": {"direct": "a/b@kd", "scratch": "b"},
}


def test_by_default_the_ends_of_chains_are_deployed():
    assert [str(end) for end in load(BASE | {"deploy": {}}).deployed] == ["a/b@kd", "b"]
    chosen = load(BASE | {"deploy": {"models": ["a", "direct", "a/b@kd"]}})
    assert [str(lineage) for lineage in chosen.deployed] == ["a", "a/b@kd"]
    assert load(BASE).deployed == []


def test_models_of_chosen_seeds_alone_become_files():
    def seeds(deploy):
        return [place.branch.seed for place in Graph(load(BASE | deploy)).exported()]

    assert seeds({"deploy": {"models": ["b"]}}) == [0, 1, 2]
    assert seeds({"deploy": {"models": ["b"], "seeds": [2]}}) == [2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deploy": {"models": ["c"]}}, "deploy.models: unknown chain or lineage 'c'"),
        ({"deploy": {"seeds": [0, 7]}}, "deploy.seeds: found 7, which is none of seeds"),
        ({"deploy": {"formats": ["onnx", "onnx"]}}, "deploy.formats: formats repeat"),
        ({"deploy": {"formats": ["tensorrt"]}}, "deploy.formats.0: found 'tensorrt'"),
        ({"deploy": {}, "report": {"split": "validation"}}, "judged on the test set"),
    ],
)
def test_what_cannot_be_deployed_is_told_before_anything_runs(changes, message):
    with pytest.raises(UserError, match=message):
        load(BASE | changes)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Made-up tables in which the numbers of every file are known."""
    folder = tidy_examples.write(tmp_path_factory.mktemp("devices"), images=200, epochs=2)
    models = pd.read_csv(folder / "models.csv")
    lineage = tidy_examples.FEW["chain"]
    own = models[(models["lineage"] == lineage) & (models["split"] == "test")].sort_values("seed")
    rows = [
        {"dataset": row.dataset, "seed": row.seed, "lineage": lineage, "format": name,
         "file_bytes": size, "images": 200, "accuracy": row.accuracy - lost + 0.001 * row.seed,
         "network_accuracy": row.accuracy, "agreement": 1 - lost, "largest_difference": lost}
        for name, size, lost in (("onnx", 220_000, 0.0), ("onnx-int8", 80_000, 0.01))
        for row in own.itertuples()
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "exports.csv", index=False)
    times = [
        {"dataset": own["dataset"].iloc[0], "seed": 0, "lineage": lineage, "format": name,
         "machine": "this one", "threads": threads, "batch": batch, "median_ms": factor * batch,
         "p5_ms": 0.9 * factor * batch, "p95_ms": 1.5 * factor * batch, "peak_memory_mb": 70.0}
        for name, factor in (("torch", 0.8), ("onnx", 0.1), ("onnx-int8", 0.05))
        for threads in (1, 2)
        for batch in (1, 32)
    ]  # fmt: skip
    pd.DataFrame(times).to_csv(folder / "latency.csv", index=False)
    return Tables(folder), own


def of_selector(folder: Path) -> Path:
    """Made-up tables of a selector's files, beside others."""
    files = [
        {"experiment": "x", "seed": seed, "selector": "mms", "format": "onnx",
         "modalities": "iris;periocular", "file_bytes": 400_000, "images": 800,
         "accuracy": 0.80 + 0.01 * seed, "network_accuracy": 0.81 + 0.012 * seed,
         "agreement": 0.99, "selection_agreement": 0.97}
        for seed in (0, 1, 2)
    ]  # fmt: skip
    pd.DataFrame(files).to_csv(folder / "selector_exports.csv", index=False)
    times = [
        {"seed": 0, "selector": "mms", "format": "onnx", "machine": machine, "threads": threads,
         "batch": batch, "median_ms": ms * batch / threads, "p5_ms": ms, "p95_ms": ms,
         "peak_memory_mb": 70.0}
        for machine, ms in (("this one", 0.3), ("a board", 30.0))
        for threads in (1, 2)
        for batch in (1, 32)
    ]  # fmt: skip
    pd.DataFrame(times).to_csv(folder / "selector_latency.csv", index=False)
    return folder


def test_files_of_selectors_have_a_table_of_their_own(tables, tmp_path):
    read, _ = tables
    assert selector_files_sheet(read) is None
    shutil.copytree(read.folder, tmp_path / "tables")
    both = Tables(of_selector(tmp_path / "tables"))
    sheet = selector_files_sheet(both)
    assert [(row["machine"], row["median_ms"], row["all_threads_ms"]) for row in sheet.rows] == [
        ("this one", 0.3, 0.15),
        ("a board", 30.0, 15.0),
    ]
    row, lost = sheet.rows[0], np.array([0.01, 0.012, 0.014])
    assert row["accuracy"] == pytest.approx(0.81)
    assert (row["lost"], row["batch_ms"]) == (pytest.approx(lost.mean()), pytest.approx(9.6))
    low, high = stats.ttest_1samp(lost, 0).confidence_interval()
    assert (row["lost_low"], row["lost_high"]) == (pytest.approx(low), pytest.approx(high))
    text = sheet.markdown()
    assert "97.00" in text
    assert "iris, periocular" in text
    assert "selector_files" in [sheet.name for sheet in all_sheets(both)]
    # On the page, in the section of devices, where a configuration has both.
    eyes = BASE | {
        "data": {"source": "eyes", "identities": 4, "train": 4, "test": 2},
        "selector": {"selectors": {"mms": {"recognisers": "direct"}}},
        "deploy": {},
    }
    elsewhere = eyes | {"deploy": {"formats": ["openvino"]}}
    alone = BASE | {"deploy": {}}
    for values, shown in ((eyes, True), (elsewhere, False), (alone, False)):
        entries = {item.name: item for item in contents.tables(contents.facts_of(load(values)))}
        assert ("selector_files" in entries) == shown
    assert contents.facts_in(both).deploys_selectors


def test_times_of_a_selector_join_by_the_digest_of_its_file(tmp_path):
    values = BASE | {
        "data": {"source": "eyes", "identities": 4, "train": 4, "test": 2},
        "selector": {"selectors": {"mms": {"recognisers": "direct"}}},
        "deploy": {"measured": [str(tmp_path / "board.csv")]},
    }
    [own, *_] = SelectorGraph(Graph(load(values))).exported()
    assert own == ("seed0", "mms", "x/selector/seed0/mms/deploy/onnx.onnx")
    file = tmp_path / own[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"a graph")
    row = dict.fromkeys(latency.COLUMNS, "") | {
        "branch": "seed0", "format": "onnx", "selector": "mms", "machine": "a board",
        "threads": 1, "batch": 1, "median_ms": 2.0, "p5_ms": 1.0, "p95_ms": 3.0,
        "sha256": hashlib.sha256(b"a graph").hexdigest(),
    }  # fmt: skip
    pd.DataFrame([row]).to_csv(tmp_path / "board.csv", index=False)
    experiment = load(values)
    [found] = selector_timings(experiment, tmp_path).to_dict("records")
    assert (found["selector"], found["seed"], found["median_ms"]) == ("mms", 0, 2.0)
    assert timings(experiment, tmp_path).empty
    for changes, message in (
        ({"sha256": "0" * 64}, r"times selector mms as onnx \(seed0\), another file than this run"),
        ({"selector": "other"}, r"times selector other as onnx \(seed0\), which this run has not"),
    ):
        pd.DataFrame([row | changes]).to_csv(tmp_path / "board.csv", index=False)
        with pytest.raises(UserError, match=message):
            selector_timings(experiment, tmp_path)


def test_the_table_says_what_was_measured(tables):
    read, own = tables
    rows = {row["format"]: row for row in devices_sheet(read).rows}
    assert list(rows) == ["torch", "onnx", "onnx-int8"]
    accuracy = own["accuracy"].to_numpy()
    lost = 0.01 - 0.001 * own["seed"].to_numpy()
    quantised = rows["onnx-int8"]
    assert quantised["accuracy"] == pytest.approx((accuracy - lost).mean())
    assert quantised["lost"] == pytest.approx(lost.mean())
    low, high = stats.ttest_1samp(lost, 0).confidence_interval()
    assert quantised["lost_low"] == pytest.approx(low)
    assert quantised["lost_high"] == pytest.approx(high)
    assert quantised["median_ms"] == 0.05
    assert quantised["batch_ms"] == pytest.approx(1.6)
    assert quantised["all_threads_ms"] == 0.05
    assert quantised["file_bytes"] == 80_000
    assert rows["torch"]["accuracy"] == pytest.approx(accuracy.mean())
    assert math.isnan(rows["torch"]["lost"])
    text = devices_sheet(read).markdown()
    assert f"{100 * quantised['accuracy']:.1f} ±" in text
    assert "0.050" in text


def test_every_machine_has_rows_of_its_own(tables, tmp_path):
    read, _ = tables
    folder = tmp_path / "tables"
    shutil.copytree(read.folder, folder)
    times = pd.read_csv(folder / "latency.csv")
    board = times[times["format"] != "torch"].assign(machine="a board")
    board["median_ms"] *= 100
    pd.concat([times, board]).to_csv(folder / "latency.csv", index=False)
    both = Tables(folder)
    sheet = devices_sheet(both)
    found = {(row["format"], row["machine"]): row["median_ms"] for row in sheet.rows}
    assert found == {
        ("torch", "this one"): 0.8, ("onnx", "this one"): 0.1, ("onnx-int8", "this one"): 0.05,
        ("onnx", "a board"): pytest.approx(10), ("onnx-int8", "a board"): pytest.approx(5),
    }  # fmt: skip
    assert [column.heading for column in sheet.visible(brief=True)].count("on") == 1
    assert "on" not in [column.heading for column in devices_sheet(read).visible()]
    # A trade-off is one on a machine.
    left, _ = figure.tradeoff(both).axes
    assert left.get_xlabel().endswith("this one")
    points = {line.get_xdata()[0] for line in left.lines if line.get_linestyle() == "None"}
    assert points == {0.8, 0.1, 0.05}


def test_the_terminal_ends_with_the_files_where_asked_to(tables, tmp_path, capsys):
    """As `make demo` does, in the 80 columns that a terminal has."""
    read, _ = tables
    shutil.copytree(read.folder, tmp_path / "study" / "tables")
    printed = []
    for options in ([], ["--last", "devices"]):
        with script_runs.arguments("show", *options, tmp_path / "study"):
            script_runs.load("show").main()
        printed.append(capsys.readouterr().out)
    first, said = printed
    assert said.count("Files for devices") == first.count("Files for devices") == 1
    assert first.index("Files for devices") < first.index("half of the 95 % t interval")
    end = said[said.index("half of the 95 % t interval") :]
    rows = [line.split() for line in end.splitlines() if "onnx" in line or "torch" in line]
    assert [row[1] for row in rows] == ["torch", "onnx", "onnx-int8"]
    assert rows[2][-3:] == ["80.0", "k", "0.050"]
    assert max(map(len, end.splitlines())) <= 80


def test_the_figure_s_points_are_those_of_the_table(tables):
    read, _ = tables
    rows = {row["format"]: row for row in devices_sheet(read).rows}
    left, right = figure.tradeoff(read).axes
    for axes, key, scale in ((left, "median_ms", 1), (right, "file_bytes", 1000)):
        points = {
            (line.get_xdata()[0], line.get_ydata()[0])
            for line in axes.lines
            if line.get_linestyle() == "None"
        }
        expected = {(row[key] / scale, 100 * row["accuracy"]) for row in rows.values()}
        np.testing.assert_allclose(sorted(points), sorted(expected))
        upright = {
            (line.get_xdata()[0], *line.get_ydata())
            for line in axes.lines
            if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"
        }
        expected = {(row[key] / scale, 100 * row["accuracy_low"], 100 * row["accuracy_high"])
                    for row in rows.values()}  # fmt: skip
        np.testing.assert_allclose(sorted(upright), sorted(expected))


def test_the_front_is_what_nothing_else_beats():
    rng = np.random.default_rng(0)
    points = [(float(c), float(g)) for c, g in rng.integers(0, 12, (60, 2))]
    front = pareto(points)
    on_it = {points[i] for i in front}
    for cost, gain in points:
        beaten = any((c <= cost and g > gain) or (c < cost and g >= gain) for c, g in points)
        assert ((cost, gain) in on_it) == (not beaten)
    assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)


def test_the_page_has_the_section_only_where_models_are_deployed(tables):
    read, _ = tables
    with_it = contents.facts_of(load(BASE | {"deploy": {}}))
    assert "devices" in [item.name for item in contents.tables(with_it)]
    assert "devices" not in [item.name for item in contents.tables(contents.facts_of(load(BASE)))]
    assert contents.facts_in(read).deploys
    assert len(exported(read)) == 3


def test_descriptions_are_json_that_anybody_reads(runner):
    path = runner.file(runner.place("teacher/student@kd"), exported_file("onnx"))
    about = json.loads(runtimes.sidecar(path).read_text(encoding="utf-8"))
    assert about["judgement"]["images"] == len(ImageArrays.load(runner.data).test_labels)
    assert about["preprocessing"] is True


def test_a_card_tells_the_facts_of_its_model(tables):
    read, own = tables
    lineage = tidy_examples.FEW["chain"]
    about = {"dataset": "pictures", "shape": [32, 32, 3], "preprocessing": True, "data": "0" * 64,
             "classes": [f"class{i}" for i in range(10)]}  # fmt: skip
    text = model_card(read, lineage, 1, about)
    one = own[own["seed"] == 1].iloc[0]
    mean = 100 * own["accuracy"].mean()
    low, high = stats.ttest_1samp(own["accuracy"], 0).confidence_interval()
    assert (
        f"| accuracy % | {100 * one['accuracy']:.1f} | {mean:.1f} | "
        f"[{100 * low:.1f}, {100 * high:.1f}] |"
    ) in re.sub(" +", " ", text)
    places = [text.index(step) for step in ("`teacher`", "`middle`", "`student`")]
    assert places == sorted(places)
    assert "switched to by `kd`" in text
    assert "`class0`, `class1`" in text
    exports = pd.read_csv(read.folder / "exports.csv")
    quantised = exports[(exports["format"] == "onnx-int8") & (exports["seed"] == 1)].iloc[0]
    line = next(line for line in text.splitlines() if "`onnx-int8`" in line)
    assert [cell.strip() for cell in line.split("|")[2:5]] == [
        "80.0 kB", f"{100 * quantised['accuracy']:.1f}", "0.05",
    ]  # fmt: skip
    answers = read.predictions
    answers = answers[(answers["lineage"] == lineage) & (answers["seed"] == 1)]
    answers = answers[answers["split"] == "test"]
    right = (answers["predicted"] == answers["label"]).mean()
    assert (
        f"gives its answers {100 * answers['confidence'].mean():.1f} % on average, and "
        f"{100 * right:.1f} % of them are right"
    ) in text
    for name, column in (("balanced accuracy", "balanced_accuracy"),
                         ("most frequent class", "majority_share")):  # fmt: skip
        line = next(line for line in text.splitlines() if name in line and line[0] == "|")
        assert line.split("|")[2].strip() == f"{100 * one[column]:.1f}"
    # Half of the images of these tables are of one class.
    assert "always answering the most frequent class would be right on 50.0 %" in text
    assert text.count("to be filled in by whoever passes the model on") == 2
    assert "nan" not in text


@pytest.mark.parametrize(
    ("origin", "transfer", "epochs", "said"),
    [
        ("fresh", "", 5, "trained first, on labels"),
        ("given", "", 5, "from given weights, trained on labels"),
        ("given", "", 0, "from given weights, taken as it is"),
        ("merged", "", 0, "answers of several models together"),
        ("given", "kd", 5, "switched to by `kd`"),
        ("pruned", "kd", 5, "pruned from the one before and trained on by `kd`"),
        ("grown", "kd", 5, "grown from the one before and trained on by `kd`"),
        ("quantised", "qat", 5, "the one before, trained on as integers by `qat`"),
    ],
)
def test_a_card_tells_where_its_model_comes_from(tables, tmp_path, origin, transfer, epochs, said):
    read, _ = tables
    shutil.copytree(read.folder, tmp_path / "tables")
    for name in ("models", "exports"):
        table = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        chain, lineage = tidy_examples.FEW["chain"], "teacher"
        if transfer:
            lineage = f"teacher/middle@kd/student@{transfer}"
            table["lineage"] = table["lineage"].replace(chain, lineage)
        chosen = table["lineage"] == lineage
        if name == "models":
            table["origin"] = "fresh"
            values = {"origin": origin, "epochs": epochs, "transfer": transfer}
            for column, value in values.items():
                table.loc[chosen, column] = value
        table.to_csv(tmp_path / "tables" / f"{name}.csv", index=False)
    about = {"dataset": "pictures", "shape": [32, 32, 3], "preprocessing": True, "data": "0" * 64,
             "classes": ["a", "b"]}  # fmt: skip
    text = re.sub(" +", " ", model_card(Tables(tmp_path / "tables"), lineage, 0, about))
    assert f"| {said} |" in text


@pytest.mark.long
@pytest.mark.slow
def test_whatever_a_model_was_made_from_becomes_a_file(tmp_path, monkeypatch):
    """Pruned, grown, merged from others, and trained as integers: through Snakemake, with cards."""
    pytest.importorskip("torch_pruning")
    values = {
        "name": "made",
        "data": {"source": "digits"},
        "models": {
            "teacher": {
                "family": "resnet",
                "widths": [8, 12],
                "blocks": [1, 1],
                "shortcut": "conv",
            },
            "half": {"family": "pruned", "keep": 0.5},
            "small": {"family": "plain", "stages": [[6], [8]]},
            "larger": {"family": "grown", "widen": 1.5},
            "both": {"family": "ensemble", "of": ["teacher", "small"]},
        },
        "transfers": {
            "kd": {"soft": 0.5},
            "qat": {"quantise": {}, "training": {"epochs": 2, "learning_rate": 0.005}},
        },
        "chains": {
            "pruned": "teacher/half@kd",
            "integers": "teacher/half@kd/half@qat",
            "grown": "small/larger@kd",
            "merged": "both",
        },
        "seeds": [0],
        "training": {"epochs": 6, "batch": 64, "learning_rate": 0.05, "precision": "float32"},
        "resources": {"gpu": 0},
        "deploy": {"formats": ["onnx", "onnx-int8"], "tolerance": 0.05},
    }
    monkeypatch.chdir(tmp_path)
    Path("made.yaml").write_text(yaml.safe_dump(values))
    graph = Graph(load(values))
    places = graph.exported()
    files = [f"results/{place.file(exported_file(name))}"
             for place in places for name in values["deploy"]["formats"]]  # fmt: skip
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [*(sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile", *files),
         *("--cores", "2", "--quiet", "all", "--configfile", "made.yaml")],
        env=os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    exports = StoredResults(graph.experiment, "results").exports()
    assert len(exports) == 8
    plain, small = (exports[exports["format"] == name] for name in values["deploy"]["formats"])
    # What was trained as integers is a network of floats in a format of floats.
    as_trained = plain[~plain["lineage"].str.endswith("@qat")]
    assert as_trained["largest_difference"].max() < 1e-4
    assert (as_trained["accuracy"] == as_trained["network_accuracy"]).all()
    assert (small["network_accuracy"] - small["accuracy"]).max() <= values["deploy"]["tolerance"]
    # Integers that were trained are what was measured; those of the others are found afterwards.
    assert small[small["lineage"].str.endswith("@qat")]["agreement"].min() > 0.99
    whole = Report(graph.experiment, root / "workflow" / "report", Path("results"))
    whole.write_tables()
    whole.write_cards()
    said = {str(place.lineage): Path("results", place.file(CARD_FILE)).read_text()
            for place in places}  # fmt: skip
    assert "answers of several models together" in said["both"]
    assert "pruned from the one before" in said["teacher/half@kd"]
    assert "trained on as integers by `qat`" in said["teacher/half@kd/half@qat"]
    assert "grown from the one before" in said["small/larger@kd"]
