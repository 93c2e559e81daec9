"""The pages that one learns from do what they say, and the README can be read in one sitting."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelswitch.config.experiment import load
from modelswitch.graph import Graph

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/start.md", "docs/compression.md", "docs/selective.md", "docs/own.md",
         "docs/origins.md", "docs/training.md")  # fmt: skip


def blocks(name: str, language: str) -> list[str]:
    """The code of a page in one language, dedented blocks only."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def experiments() -> list[tuple[str, int, dict]]:
    return [
        (name, at, values)
        for name in PAGES
        for at, values in enumerate(map(yaml.safe_load, blocks(name, "yaml")))
        if "name" in values
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [pytest.param(name, values, id=f"{name}-{at}") for name, at, values in experiments()],
)
def test_every_experiment_of_a_page_is_valid(name, values):
    experiment = load(values, name)
    assert len(Graph(experiment).experiment.lineages) > 0


def test_the_pages_have_experiments():
    assert {name for name, _, _ in experiments()} >= {
        "README.md", "docs/start.md", "docs/compression.md", "docs/selective.md", "docs/own.md",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["docs/compression.md", "docs/selective.md"])
def test_a_page_s_experiment_can_be_planned(name, tmp_path):
    [text] = blocks(name, "yaml")
    (tmp_path / "page.yaml").write_text(text)
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "-n",
               "--cores", "1", "--configfile", tmp_path / "page.yaml"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^distil +\d+", done.stdout, re.MULTILINE)


def test_own_code_of_a_page_runs(tmp_path, monkeypatch):
    import torch

    from modelswitch.models.build import build

    [code], [text] = blocks("docs/own.md", "python"), blocks("docs/own.md", "yaml")
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    experiment = load(yaml.safe_load(text))
    model = build(experiment.models["small"], 1, 10)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    logits = torch.randn(4, 10)
    loss = sys.modules["mine"].soft_cosine(logits, -logits, 4.0, torch.zeros(4), power=2.0)
    assert loss == pytest.approx(4 * torch.ones(4))


@pytest.mark.slow
def test_the_first_study_runs_as_it_is_written(tmp_path):
    """All its commands, in an empty folder, and then its Python."""
    page = "docs/start.md"
    [text] = blocks(page, "yaml")
    # Here it is about commands; a page for people has epochs that show something.
    (tmp_path / "first.yaml").write_text(
        text.replace("epochs: 6", "epochs: 1, warmup: 0").replace("[0, 1]", "[0]")
    )
    tool = tmp_path / "bin" / "modelswitch"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m modelswitch "$@"\n')
    tool.chmod(0o755)
    around = os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
    commands = blocks(page, "sh")
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=around, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    html = (tmp_path / "results/first/results.html").read_text(encoding="utf-8")
    assert "teacher" in html[html.index("In short") : html.index('<h2 id="claims">')]
    [code] = blocks(page, "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "teacher/assistant@kd/student@kd" in done.stdout


def test_the_readme_can_be_read_in_one_sitting():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 700
    figures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert len(figures) == 1
    assert len(figures[0][0]) > 40, "what it shows, for who does not see it"
    assert len(blocks("README.md", "yaml")) == 3


def test_the_readme_s_program_asks_a_model_of_its_first_experiment():
    [code] = [text for text in blocks("README.md", "python") if "modelswitch.load" in text]
    [path] = re.findall(r'load\("results/(.+)/model\.safetensors"\)', code)
    experiment = load(yaml.safe_load(blocks("README.md", "yaml")[0]))
    made = Graph(experiment).models()
    assert path in {
        f"{experiment.name}/{one.dataset}/{one.branch}/{one.lineage}" for one in made
    }  # fmt: skip
    assert path.endswith("@kd"), "the small one, for which all was done"


def test_intervals_of_the_readme_are_those_of_the_results():
    """Each number with an interval stands in a table of claims, of what a search was worth, or of
    what chains gain over the same network from scratch."""
    import pandas as pd

    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\N{MINUS SIGN}", "-")
    found = re.findall(r"([+-]?[\d.]+) \[([+-]?[\d.]+), ([+-]?[\d.]+)\]", text)
    assert len(found) >= 5
    known = [
        100 * rows[["estimate", "low", "high"]].to_numpy()
        for path in ROOT.glob("results/reference/*/**/claims.csv")
        for rows in [pd.read_csv(path)]
    ]
    known += [
        100 * rows[["winner_gains", "winner_gains_low", "winner_gains_high"]].to_numpy()
        for path in ROOT.glob("results/reference/*/search/search_final.csv")
        for rows in [pd.read_csv(path)]
    ]
    known += [
        100 * rows[["gain", "gain_low", "gain_high"]].to_numpy()
        for path in ROOT.glob("results/reference/*/tables/chains.csv")
        for rows in [pd.read_csv(path)]
        if "gain" in rows
    ]
    for numbers in found:
        digits = [len(number.partition(".")[2]) for number in numbers]
        # A loss may be told as a gain of the other side, whose interval is turned around.
        estimate, low, high = (float(number) for number in numbers)
        sides = ([estimate, low, high], [-estimate, -high, -low])
        assert any(
            all(abs(a - b) <= 0.5001 * 10**-d for a, b, d in zip(row, side, digits, strict=True))
            for table in known for row in table for side in sides
        ), numbers  # fmt: skip
