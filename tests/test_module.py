"""The workflow inside of others: where results go, where they are looked for, what is told."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy
import pandas as pd
import pytest
import test_reporting
import tidy_examples
import yaml
from faults_run import ROOT, environment

from modelswitch.config.experiment import load

STUDY = {
    "name": "study",
    "data": {"source": "digits", "augment": {"crop": 0, "flip": False}},
    "models": {"small": {"family": "plain", "stages": [[4], [4]]}},
    "chains": {"alone": "small"},
    "seeds": [0],
    "training": {"epochs": 1, "batch": 512, "warmup": 0},
}
GONE = STUDY | {"data": {"source": "npz", "path": "not-here.npz"}}


def snakemake(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit status of Snakemake in ``folder``, and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def workflow(folder: Path, experiment: dict, **modules: str) -> None:
    """A workflow that uses this one as modules; each with what its statement says besides."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(experiment))
    lines = ["import yaml", "EXPERIMENT = yaml.safe_load(open('study.yaml'))"]
    for name, statement in modules.items():
        lines += [
            f"module {name}:",
            f"    snakefile: {str(ROOT / 'Snakefile')!r}",
            f"    config: EXPERIMENT | {{'name': {name!r}}}",
            *([f"    {statement}"] if statement else []),
            f"use rule * from {name} as {name}_*",
        ]
    inputs = ", ".join(f"rules.{name}_all.input" for name in modules)
    lines += [
        "rule all:",
        "    default_target: True",
        f"    input: {inputs}",
        "    localrule: True",
    ]
    (folder / "Snakefile").write_text("\n".join(lines))


@pytest.mark.long
@pytest.mark.slow
def test_modules_put_results_elsewhere_and_find_them_there(tmp_path):
    """By a pathvar, by a prefix, by both; every page has its models and its own command."""
    workflow(
        tmp_path,
        STUDY,
        plain="",
        moved='pathvars: results="other\'s place/of results"',
        below="prefix: 'sub'",
        both="prefix: 'sub'\n    pathvars: results='deep/er'",
        replaced="replace_prefix: {'results/': 'instead/'}",
    )
    status, said = snakemake(tmp_path, "--quiet", "all")
    assert status == 0, said
    for folder in (
        "results/plain",
        "other's place/of results/moved",
        "sub/results/below",
        "sub/deep/er/both",
        "instead/replaced",
    ):
        models = pd.read_csv(tmp_path / folder / "tables/models.csv")
        assert list(models["split"]) == ["validation", "test"], folder
        assert (models["parameters"] > 0).all()
        summary = (tmp_path / folder / "summary.md").read_text()
        assert "Missing" not in summary
        assert "snakemake --cores all\n" in summary.replace("`", "\n")
    kept = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert kept == {"results", "other's place", "sub", "instead", "Snakefile", "study.yaml"}
    status, said = snakemake(tmp_path)
    assert "Nothing to be done" in said
    # What stands elsewhere is found by the other targets too, and is the same under another name.
    (tmp_path / "other's place").rename(tmp_path / "place")
    text = (tmp_path / "Snakefile").read_text().replace("other's place", "place")
    (tmp_path / "Snakefile").write_text(text)
    status, said = snakemake(tmp_path, "moved_tables")
    assert status == 0, said
    status, said = snakemake(tmp_path, "--dry-run", "moved_all")
    assert "Nothing to be done" in said, said


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "replace_prefix: {'results/study/tables': 'tables'}",
            "error: module study: replace_prefix moves results/study/tables to tables, apart from",
        ),
        (
            "replace_prefix: {'results/{experiment}/': 'trained/'}",
            "error: module study: replace_prefix moves results/{experiment}/{dataset}/data",
        ),
        (
            "pathvars: results='a/{b}'",
            "error: pathvars: results: found 'a/{b}'; Snakemake takes braces for wildcards",
        ),
        (
            "pathvars: results='$HOME/results'",
            "error: pathvars: results: found '$HOME/results'; nothing is filled in here, write",
        ),
    ],
)
def test_what_takes_results_apart_is_refused(tmp_path, statement, said):
    workflow(tmp_path, STUDY, study=statement)
    status, output = snakemake(tmp_path, "--dry-run")
    [error] = [line for line in output.splitlines() if "error" in line]
    assert status == 1
    assert error.startswith(said)


def test_a_data_set_is_where_the_configuration_says_whatever_the_prefix(tmp_path):
    images, labels = numpy.zeros((40, 8, 8), "uint8"), numpy.arange(40) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    numpy.savez(tmp_path / "own.npz", **arrays)
    workflow(
        tmp_path,
        STUDY | {"data": {"source": "npz", "path": "own.npz"}},
        study="prefix: 'sub'",
    )
    status, said = snakemake(tmp_path, "--dry-run", "study_models")
    assert status == 0, said
    assert "rule study_prepare_data:" in said
    (tmp_path / "own.npz").unlink()
    status, said = snakemake(tmp_path, "--dry-run", "study_models")
    assert status == 1
    assert said.splitlines()[-1] == "error: data.path: own.npz: no such file"


@pytest.mark.long
def test_stored_results_are_read_where_the_data_are_not_under_any_name_of_the_target(tmp_path):
    workflow(tmp_path, GONE, study="pathvars: results='kept'")
    tidy_examples.write(tmp_path / "kept/study/tables", images=60, epochs=2)
    # Another target, a group, and a folder that is called like one.
    status, said = snakemake(tmp_path, "study_figures", "--groups", "study_figures=page")
    assert status == 0, said
    assert (tmp_path / "kept/study/figures/calibration.svg").exists()
    status, said = snakemake(tmp_path, "--unlock")
    assert status == 0, said


def test_data_that_are_missing_are_noticed_whatever_else_the_command_line_holds(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(GONE))
    arguments = ("--snakefile", str(ROOT / "Snakefile"), "--config", "name=tables")
    for more in (["--directory", "tables"], ["--dry-run", "--until", "page", "figures"]):
        status, said = snakemake(tmp_path, *more, "--configfile", "study.yaml", *arguments)
        assert status == 1
        assert said.splitlines()[-1] == "error: data.path: not-here.npz: no such file"


@pytest.mark.long
def test_the_page_tells_the_command_that_was_given(tmp_path):
    """With the file, what was changed on the command line, and the folder of results."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(test_reporting.EXPERIMENT))
    test_reporting.store(load(test_reporting.EXPERIMENT), tmp_path)
    (tmp_path / "results").rename(tmp_path / "else where")
    arguments = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml"]
    changes = ["claims={}", "pathvars={results: else where}"]
    status, said = snakemake(tmp_path, "page", *arguments, "--config", *changes)
    assert status == 0, said
    summary = (tmp_path / "else where/study/summary.md").read_text()
    words = shlex.split(re.search(r"snakemake --cores all .*?(?=`)", summary)[0])
    assert (tmp_path / words[4]).resolve() == ROOT / "Snakefile"
    assert words[5:] == [
        *("--configfile", "study.yaml"),
        *("--config", "claims={}", 'pathvars={"results": "else where"}'),
    ]
    # And it is one that Snakemake takes.
    status, said = snakemake(tmp_path, "page", *words[3:], "--dry-run", "--printshellcmds")
    assert status == 0, said
    assert "--results 'else where' " in said
