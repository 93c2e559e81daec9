"""Jobs in an image, run by a stand-in for apptainer, and what the Dockerfile says."""

import fnmatch
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from faults_run import ROOT, command, environment

from modelswitch.errors import UserError
from modelswitch.execution import container

# Notes what it is called with, then runs the command with the image's Python before all others.
APPTAINER = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.3.0"; exit; fi
here=$(dirname "$0")
echo "$@" > "$here/arguments"
echo "$APPTAINER_BIND" > "$here/bound"
while [ "$1" != bash ]; do shift; done
PATH="$here/image:$PATH" exec "$@"
"""
# Of the image: says how it is called, for nothing has to be computed.
PYTHON = """#!/bin/sh
echo "$PYTHONPATH" > "$(dirname "$0")/../path"
for word in "$@"; do echo "$word"; done > "$(dirname "$0")/../words"
"""


@pytest.fixture
def apptainer(tmp_path) -> Path:
    folder = tmp_path / "bin"
    for path, text in ((folder / "apptainer", APPTAINER), (folder / "image" / "python", PYTHON)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return folder


def snakemake(folder: Path, apptainer: Path, *arguments: str, target="tables", **variables: str):
    folder.mkdir(exist_ok=True)
    own = environment(**variables)
    return subprocess.run(
        command(folder, "--cores", "1", "--sdm", "apptainer", *arguments, target=target),
        env=own | {"PATH": f"{apptainer}{os.pathsep}{own['PATH']}"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.long
def test_a_plan_with_an_image_to_fetch(tmp_path, apptainer):
    done = snakemake(
        tmp_path / "run", apptainer, "-n", target="models", MODELSWITCH_IMAGE="docker://own/image:1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Singularity image docker://own/image:1 will be pulled." in done.stdout + done.stderr
    assert "rule train:" in done.stdout + done.stderr


def test_jobs_run_the_images_python_on_the_clones_code(tmp_path, apptainer):
    """Not the interpreter that runs Snakemake, which no image has."""
    folder = tmp_path / "run it"
    folder.mkdir()
    (folder / "modelswitch.sif").touch()
    done = snakemake(folder, apptainer, "--apptainer-args=--nv", PYTHONPATH=f"{ROOT / 'src'}:/own")
    assert done.returncode == 0, done.stdout + done.stderr
    arguments = (apptainer / "arguments").read_text()
    assert "--nv" in arguments
    assert "modelswitch.sif bash -c" in arguments
    assert sys.executable not in arguments
    words = (apptainer / "words").read_text().splitlines()
    assert str(ROOT / "workflow" / "scripts" / "report.py") in words
    assert words[-2:] == ["--only", "tables"]
    path = (apptainer / "path").read_text().split(":")
    assert path[0] == str(ROOT / "src")
    assert path[-1].strip() == "/own"
    # What is read outside of the working folder, where an image sees nothing by itself.
    assert str(ROOT) in (apptainer / "bound").read_text().strip().split(",")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "error: --sdm apptainer: no image 'modelswitch.sif' here; set MODELSWITCH_IMAGE="),
        (
            {"MODELSWITCH_IMAGE": "gone.sif"},
            "error: --sdm apptainer: no image 'gone.sif' here; set MODELSWITCH_IMAGE=",
        ),
    ],
)
def test_without_an_image_one_line_says_what_to_do(tmp_path, apptainer, variables, said):
    done = snakemake(tmp_path / "run", apptainer, "-n", **variables)
    assert done.returncode == 1
    [error] = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert error.startswith(said)
    assert "docs/cluster.md" in error
    assert (ROOT / "docs" / "cluster.md").exists()


def test_an_images_name_with_a_blank_is_refused():
    with pytest.raises(UserError, match=r"MODELSWITCH_IMAGE: found 'my image\.sif'"):
        container.check_image("my image.sif")


def test_what_lies_outside_of_the_working_folder_is_bound(tmp_path, monkeypatch):
    """Under its own name and, for a link, under that of what it leads to; what is bound stays."""
    here, data = tmp_path / "here", tmp_path / "data"
    for folder in (here / "own", data):
        folder.mkdir(parents=True)
    (here / "link").symlink_to(data)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SINGULARITY_BIND", "/scratch:/s")
    container.bind(["own", "link", "not-there", here / "own"])
    assert os.environ["SINGULARITY_BIND"] == f"/scratch:/s,{data}"
    container.bind(["../data"])
    assert os.environ["SINGULARITY_BIND"] == f"/scratch:/s,{data}"


def instructions() -> list[list[str]]:
    """The Dockerfile's, each in words."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def copied() -> set[str]:
    return {
        source
        for name, *words in instructions()
        if name == "COPY"
        for source in [word for word in words if not word.startswith("--")][:-1]
    }


def test_what_the_image_copies_is_there_and_not_ignored():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    for source in copied():
        assert (ROOT / source).exists()
        # The last pattern that fits decides.
        fits = [p for p in ignored if fnmatch.fnmatch(source, p.removeprefix("!"))]
        assert not fits or fits[-1].startswith("!"), source
    tracked = subprocess.run(
        ["git", "ls-files", "--error-unmatch", *copied()], cwd=ROOT, capture_output=True, text=True
    )
    assert tracked.returncode == 0, tracked.stderr


def test_the_image_has_what_the_package_is_built_from():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [where] = project["tool"]["setuptools"]["packages"]["find"]["where"]
    assert {"pyproject.toml", "constraints.txt", project["project"]["readme"], where} <= copied()
    extras = project["project"]["optional-dependencies"]
    [given] = [words[0] for name, *words in instructions() if name == "ARG"]
    assert set(given.removeprefix("EXTRAS=").split(",")) <= extras.keys()
    [install] = [" ".join(words) for _, *words in instructions() if "pip" in words]
    assert "-c constraints.txt" in install


def test_the_image_is_of_a_python_that_the_package_allows_and_runs_as_nobody_special():
    [[base]] = [words for name, *words in instructions() if name == "FROM"]
    found = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", base)
    assert found is not None, base
    assert found.group(1) == f"{sys.version_info.major}.{sys.version_info.minor}"
    users = [words for name, *words in instructions() if name == "USER"]
    assert users[-1] == ["1000"]
    names = [name for name, *_ in instructions()]
    assert "RUN" not in names[names.index("USER") :]
