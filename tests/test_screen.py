"""The one screen that a run ends with: 24 lines of 80 columns, and what the tables hold."""

import re
from pathlib import Path

import pandas as pd
import pytest
import script_runs
import tidy_examples

from modelswitch.report import screen
from modelswitch.results import sentences
from modelswitch.results.tables import Tables

ROOT = Path(__file__).parents[1]
NEXT = ["Next: make plan CONFIG=config/cifar10.yaml"]


@pytest.fixture
def results(tmp_path):
    """Three experiments, one for each system."""
    for name, chains in {"chains": tidy_examples.FEW, "rules": tidy_examples.rule_chains(),
                         "eyes": {"full": "teacher"}}.items():  # fmt: skip
        tidy_examples.write(tmp_path / name / "tables", chains)
        (tmp_path / name / "results.html").write_text("a page")
    tidy_examples.write_selection(tmp_path / "eyes" / "tables")
    return [tmp_path / name for name in ("chains", "rules", "eyes")]


def test_it_says_a_sentence_of_each_system_and_where_the_pages_are(results):
    lines = screen.lines(results, NEXT)
    text = re.sub(r"\s+", " ", " ".join(lines))
    for folder, about in zip(
        results, (sentences.GAIN, sentences.TRANSFER, sentences.SELECTOR), strict=True
    ):
        told = {one.about: one for one in sentences.sentences(Tables(folder / "tables"))}
        assert told[about].brief in text
        assert any(line.strip().startswith(str(folder)[:70]) for line in lines)
    assert lines[-1] == NEXT[0]


def test_it_fits_a_terminal_of_24_lines_whatever_things_are_called(results, monkeypatch):
    assert fits(screen.lines(results, NEXT))
    word = "a" * 200
    monkeypatch.setattr(
        sentences, "sentences",
        lambda tables: [sentences.Sentence(about, f"{word} [+0.1, +0.2] " * 30)
                        for about in (sentences.COMPRESSION, sentences.GAIN, sentences.DEVICE,
                                      sentences.TRANSFER, sentences.SELECTOR)],
    )  # fmt: skip
    lines = screen.lines(results, NEXT * 3)
    assert fits(lines)
    assert lines[-3:] == NEXT * 3


def fits(lines: list[str]) -> bool:
    return len(lines) <= 24 and max(map(len, lines)) <= 80


def test_the_script_prints_it_and_nothing_else(results, capsys):
    with script_runs.arguments("show", "--screen", *results, "--next", *NEXT):
        script_runs.load("show").main()
    assert capsys.readouterr().out.splitlines() == screen.lines(results, NEXT)


def test_files_for_devices_stand_beside_each_other():
    """Teacher and student in torch and in the first formats: accuracy, size, time of an image."""
    folder = ROOT / "results/reference/deploy"
    lines = screen.lines([folder])
    assert fits(lines)
    [head] = [at for at, line in enumerate(lines) if line.startswith("file ")]
    assert lines[head].split() == ["file", "torch", "onnx", "onnx-int8"]
    table = pd.read_csv(folder / "tables/devices.csv").set_index(["name", "format"])
    for line, name in zip(lines[head + 1 :], ("teacher", "chain"), strict=False):
        assert line.startswith(name)
        found = re.findall(r"([\d.]+) % ([\d.]+) kB ([\d.]+) ms", line)
        assert len(found) == 3
        for told, format in zip(found, ("torch", "onnx", "onnx-int8"), strict=True):
            row = table.loc[(name, format)]
            exact = (100 * row["accuracy"], row["file_bytes"] / 1000, row["median_ms"])
            assert [float(number) for number in told] == pytest.approx(exact, rel=6e-3)
