"""From configuration and tables to all files of a report, without training and without data."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tidy_examples
import torch
import yaml

from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.randomness import derive_seed
from modelswitch.report import contents
from modelswitch.report.write import Report
from modelswitch.results.tables import Tables
from modelswitch.storage import artifacts

ROOT = Path(__file__).parents[1]
CONFIGS = ("digits", "digits-selective", "eyes")
EXPERIMENT = {
    "name": "study",
    "data": {"source": "npz", "path": "not-here.npz", "name": "pictures"},
    "models": {
        name: {"family": "plain", "stages": [[4]]} for name in ("teacher", "middle", "student")
    },
    "transfers": {"kd": {}},
    "chains": tidy_examples.FEW,
    "seeds": [0, 1, 2],
    "claims": {"chain_beats_direct": {"better": "chain", "than": "direct"}},
}


def configuration(name: str):
    return load(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_configuration_will_have_is_known_beforehand(name):
    facts = contents.facts_of(configuration(name))
    names = [item.file for item in contents.all_figures(facts)]
    assert len(set(names)) == len(names)
    assert ("delta" in names) == (name == "digits-selective")
    assert ("contact_sheet" in names) == (name == "eyes")
    tables = {item.name for item in contents.tables(facts)}
    assert ("rules" in tables) == (name == "digits-selective")
    assert ("selectors" in tables) == (name == "eyes")
    if name == "eyes":  # several data sets have a figure each
        assert {"chains-periocular", "chains-iris", "selection-mms-both"} <= set(names)


def test_where_there_is_one_model_no_figure_compares():
    experiment = configuration("demo-eyes")
    facts = contents.facts_of(experiment.model_copy(update={"claims": {}}))
    names = {item.name for item in contents.figures(facts)}
    assert names == {"learning", "calibration", "confusions"}
    # Its claims, where there are several, stand below each other in one.
    names = {item.name for item in contents.figures(contents.facts_of(experiment))}
    assert names == {"differences", "learning", "calibration", "confusions"}


def test_all_files_of_a_report_come_from_the_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = load(EXPERIMENT)
    report = Report(experiment, ROOT / "workflow/report", command="snakemake …", source=ROOT)
    tidy_examples.write(report.tables, images=60, epochs=2)
    report.write_figures()
    report.write_page()
    for item in contents.all_figures(report.facts):
        assert (report.figures / f"{item.file}.svg").stat().st_size
        assert (report.figures / f"{item.file}.png").stat().st_size
    for item in contents.tables(report.facts):
        assert "<table" in (report.folder / "pages" / f"{item.name}.html").read_text()
    assert "snakemake …" in (report.folder / "summary.md").read_text()
    assert "not-here.npz" in (report.folder / "results.html").read_text()


def store(experiment, folder: Path) -> None:
    """Outputs as trainings leave them: on the test set all models are far better."""
    graph = Graph(experiment)
    for place in graph.all_places():
        generator = torch.Generator().manual_seed(derive_seed(place.branch.seed, place.lineage))
        outputs = {}
        for split, noise in (("validation", 3.0), ("test", 0.01)):
            labels = torch.arange(40) % 4
            logits = torch.nn.functional.one_hot(labels, 4).float()
            outputs[f"{split}.logits"] = logits + noise * torch.randn(40, 4, generator=generator)
            outputs[f"{split}.labels"] = labels
        measured = {"epochs": 2, "train_seconds": 1.0, "precision": "float32"}
        measured["classes"] = ["a", "b", "c", "d"]
        passport = {"kind": "outputs", "job_digest": graph.train_job(place).digest}
        passport |= {"image_shape": [6, 7, 3], "classes": list("abcd")}
        artifacts.save(
            folder / "results" / place.file("outputs.safetensors"), outputs, passport | measured
        )
        (folder / "results/study/pictures/models.json").write_text(
            json.dumps({name: {"parameters": 100} for name in EXPERIMENT["models"]})
        )


def searched(**changes: object):
    return load(copy.deepcopy(EXPERIMENT) | {"report": {"split": "validation"}} | changes)


def test_a_search_shows_nothing_of_the_test_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = searched()
    store(experiment, tmp_path)
    report = Report(experiment, ROOT / "workflow/report")
    report.write_tables()
    report.write_figures()
    report.write_page()
    tables = Tables(report.tables)
    for table in (tables.models, tables.predictions, tables.claims):
        assert set(table["split"]) == {"validation"}
    assert tables.models["accuracy"].max() < 0.9
    assert tables.claims.loc[0, "verdict"] != "not tested"
    for path in (report.folder / "results.html", report.folder / "summary.md"):
        said = path.read_text()
        assert "A search: everything here is measured on validation images." in said
        assert "validation accuracy %" in said
        assert not re.search(r"test accuracy|, test\b|\(test\)", said), path


def test_the_page_says_what_is_missing(tmp_path, monkeypatch):
    """Models on the way, single seeds of one modality, selectors and their figures."""
    monkeypatch.chdir(tmp_path)
    values = copy.deepcopy(EXPERIMENT) | {"claims": {}}
    values["data"] = {"source": "eyes"}
    values["selector"] = {"selectors": {"mms": {"recognisers": "direct"}}}
    experiment = load(values)
    report = Report(experiment, ROOT / "workflow/report")
    tidy_examples.write(report.tables, images=60, epochs=2)
    models = pd.read_csv(report.tables / "models.csv")
    models = pd.concat([models.assign(dataset=name) for name in experiment.datasets])
    gone = (models["dataset"] == "iris") & (models["lineage"] == "student") & (models["seed"] == 1)
    gone |= models["lineage"] == "teacher/middle@kd"
    models[~gone].to_csv(report.tables / "models.csv", index=False)
    report.write_figures()
    report.write_page()
    said = (report.folder / "summary.md").read_text()
    assert re.findall(r"\*\*Missing.\*\* (.*)", said) == [
        "Model teacher/middle@kd on periocular: no results.",
        "Model teacher/middle@kd on iris: no results.",
        "Chain scratch (student) on iris: no seed 1.",
        "Selector mms: no results.",
        *(
            f"Figure Selecting a modality, mms, {side}: not drawn, for want of results."
            for side in ("periocular", "iris", "both")
        ),
        "Figure Answers only where sure, mms: not drawn, for want of results.",
        "Figure Degraded images: not drawn, for want of results.",
    ]


def stopped_early(experiment) -> tuple[Report, pd.DataFrame]:
    """The report and models.csv of a run in this folder that never came to measuring sizes."""
    Path("results/study/pictures/models.json").unlink()
    report = Report(experiment, ROOT / "workflow/report")
    report.write_tables()
    return report, Tables(report.tables).models


@pytest.mark.parametrize("source", ["npz", "torchvision"])
def test_a_run_that_was_stopped_before_sizes_were_measured_has_tables(
    source, tmp_path, monkeypatch
):
    """What its own outputs tell counts, not what is known of the data or taken for them."""
    monkeypatch.chdir(tmp_path)
    data = {"source": source, "name": "pictures"}
    data |= {"dataset": "CIFAR100"} if source == "torchvision" else {"path": "not-here.npz"}
    experiment = load(EXPERIMENT | {"data": data})
    store(experiment, tmp_path)
    _, models = stopped_early(experiment)
    # A convolution from 3 to 4 channels, its normalisation, and 4 classes.
    assert set(models["parameters"]) == {9 * 3 * 4 + 2 * 4 + 4 * 4 + 4}
    assert set(models["macs"]) == {6 * 7 * 9 * 3 * 4 + 4 * 4}
    assert models["latency_ms"].isna().all()


def test_sizes_that_nothing_tells_are_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = load(EXPERIMENT)
    store(experiment, tmp_path)
    for path in tmp_path.rglob("outputs.safetensors"):
        # As they were stored before the images' size was.
        tensors, passport = artifacts.load(path)
        del passport["image_shape"], passport["checksum"]
        artifacts.save(path, tensors, passport)
    report, models = stopped_early(experiment)
    assert models[["parameters", "depth", "macs"]].isna().all(axis=None)
    report.write_figures()
    report.write_page()
    assert "nan" not in (report.folder / "summary.md").read_text()


def test_seeds_that_were_trained_by_other_code_are_told_and_not_pooled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = load(EXPERIMENT)
    store(experiment, tmp_path)
    for path in tmp_path.rglob("outputs.safetensors"):
        tensors, passport = artifacts.load(path)
        del passport["checksum"]
        seed1 = "seed1" in path.parts and path.parts[-2] == "student@kd"
        passport |= {
            "code": "b" if seed1 else "a",
            "data": "same",
            "threads": 1 + ("seed2" in path.parts),
            "at_chance": "seed0" in path.parts and path.parts[-2] == "student",
            "mixed_arithmetic": False,
        }
        artifacts.save(path, tensors, passport)
    report = Report(experiment, ROOT / "workflow/report")
    report.write_tables()
    report.write_figures()
    report.write_page()
    models = pd.read_csv(report.tables / "models.csv", keep_default_na=False)
    assert models["seed"].nunique() == 3, "the table has all that was stored"
    own = models[models["lineage"] == tidy_examples.FEW["chain"]]
    settings = json.loads(own["settings"].iloc[0])
    assert settings["training"]["epochs"] == 30
    assert settings["transfer"]["weighting"] == {"rule": "fixed"}
    assert [t["lineage"] for t in settings["teachers"]] == ["teacher/middle@kd"]
    [claim] = Tables(report.tables).claims.to_dict("records")
    assert claim["seeds"] == 2
    for path in (report.folder / "results.html", report.folder / "summary.md"):
        said = path.read_text()
        assert "seed 1 is left out, for it differs from seed 0, 2 in code of distil (a, b)" in said
        assert "(threads: 1, 2)" in said
        assert "student: seed 0 ended no better than a constant guess." in said
        assert "went on after a stop" not in said


def test_a_search_has_the_same_trainings_as_the_study_behind_it():
    study, search = Graph(load(EXPERIMENT)), Graph(searched())
    for place in study.all_places():
        assert study.train_job(place).digest == search.train_job(place).digest


def test_figures_of_a_search_are_not_drawn_from_tables_with_the_test_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Report(searched(), ROOT / "workflow/report")
    tidy_examples.write(report.tables, images=60, epochs=2)
    with pytest.raises(UserError, match=r"made before report\.split was 'validation'"):
        report.write_figures()


def test_figures_of_committed_tables_in_one_command(tmp_path):
    tables = tidy_examples.write(tmp_path / "tables", images=60, epochs=2)
    command = [sys.executable, ROOT / "workflow/scripts/figures.py", "--tables", tables]
    wanted = ["--output", tmp_path / "new", "--formats", "pdf", "--only", "chains"]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "new/chains.pdf")]
    wrong = subprocess.run(
        [*command, "--output", tmp_path / "new", "--only", "beauty"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert wrong.returncode == 1
    assert "unknown figure 'beauty'; allowed: chains" in wrong.stderr


@pytest.mark.long
def test_stored_results_are_read_where_neither_data_nor_models_are(tmp_path):
    (tmp_path / "study.yaml").write_text(json.dumps(EXPERIMENT))
    tidy_examples.write(tmp_path / "results/study/tables", images=60, epochs=2)
    done = subprocess.run(
        ["snakemake", "figures", "--cores", "1", "--snakefile", ROOT / "Snakefile",
         "--configfile", "study.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results/study/figures/chains.svg").exists()
    assert "1 of 1 steps (100%) done" in done.stderr
    refused = subprocess.run(
        ["snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile",
         "--configfile", "study.yaml", "--dry-run"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "not-here.npz: no such file" in refused.stderr, "training needs the data"


def test_the_terminal_shows_tables_and_paths(tmp_path):
    tidy_examples.write(tmp_path / "tables", images=60, epochs=2)
    (tmp_path / "summary.md").touch()
    show = [sys.executable, ROOT / "workflow/scripts/show.py"]
    done = subprocess.run([*show, tmp_path], capture_output=True, text=True, check=True)
    assert "gain over scratch" in done.stdout
    assert str(tmp_path / "summary.md") in done.stdout
    wrong = subprocess.run([*show, tmp_path / "x"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
