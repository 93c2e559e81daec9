"""The results page stands alone, whatever names are in it."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tidy_examples

from modelswitch.config.claims import Claim
from modelswitch.errors import UserError
from modelswitch.report import contents, page
from modelswitch.report.figures import draw
from modelswitch.report.summaries import make
from modelswitch.report.write import write_claims
from modelswitch.results.tables import Tables

REPORT = Path(__file__).parents[1] / "workflow/report"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tidy_examples.write(
        tmp_path_factory.mktemp("page"),
        {"<b>&": "teacher/student@kd", "scratch": "student"},
        images=60,
        epochs=2,
    )
    write_claims({"it_helps": Claim(better="<b>&", than="scratch")}, folder)
    tables = Tables(folder)
    items = contents.figures(contents.facts_in(tables))
    draw.draw_all(tables, items, folder / "figures", ["svg"])
    return page.results_page(
        page.Templates(REPORT), "study", make.all_sheets(tables), items, folder / "figures",
        ["Chain x: no results."], "name: study\n", {"machine": "2 cores"},
    )  # fmt: skip


def test_nothing_is_loaded_from_elsewhere(html):
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\(", html)


def test_the_page_opens_with_the_claims(html):
    headings = re.findall(r"<h2[^>]*>([^<]+)", html)
    assert headings == ["Claims", "Compression", "Run", "Configuration"]
    assert "Chain x: no results." in html
    assert "name: study" in html


def test_every_figure_has_a_caption(html):
    captions = re.findall(r"<figcaption><b>([^<]+)</b>(.*?)</figcaption>", html, re.DOTALL)
    assert len(captions) == html.count("<img ") == 6
    assert all(len(text) > 100 for _, text in captions)


def test_names_are_escaped(html):
    assert "<b>&<" not in html.replace("<figcaption><b>", "")
    assert "&lt;b&gt;&amp;" in html


def test_every_column_can_be_sorted(html):
    assert html.count("<th ") == html.count('<button type="button">')
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.DOTALL).group(1)
    assert body.count("<td") == body.count("data-key=")


def test_numbers_are_sorted_as_numbers_whatever_is_shown(html):
    """An interval sorts by its mean, an abbreviated size by the whole number, a dash comes last."""
    table = html[html.index("<h3>Chains") : html.index("<figure")]
    cells = re.findall(r'<td class="number[^"]*" data-key="([^"]*)">([^<]*)<', table)
    shown = {text: key for key, text in cells}
    assert {"559 k", "68.8 k", "–"} <= set(shown)
    assert float(shown["559 k"]) == 559_000
    assert shown["–"] == ""
    intervals = [(float(key), text) for key, text in cells if "±" in text]
    assert intervals
    for key, text in intervals:
        assert 100 * key == pytest.approx(float(text.split("±")[0]), abs=0.051)


def test_every_figure_of_the_catalogue_has_a_caption_file():
    names = {item.name for item in (*contents.FIGURES, contents.SELECTION, contents.CONTACT_SHEET)}
    assert all((REPORT / f"{name}.rst").is_file() for name in names)


def test_a_wrong_template_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no page\.html\.jinja here"):
        page.Templates(tmp_path)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Tables of trainings that went otherwise than meant, and the lines that a reader needs."""
    folder = tmp_path_factory.mktemp("told") / "tables"
    tidy_examples.write(folder, images=60, epochs=2)
    tidy_examples.write_selection(folder)
    models = pd.read_csv(folder / "models.csv")
    middle = models["lineage"] == "teacher/middle@kd"
    values = {"at_chance": "true", "same_first_weights": "true", "mixed_arithmetic": "true"}
    for column, value in values.items():
        models[column] = pd.Series("", index=models.index).mask(middle, value)
    models["surroundings"] = [f'{{"threads": "{1 + seed % 2}"}}' for seed in models["seed"]]
    models.to_csv(folder / "models.csv", index=False)
    selection = pd.read_csv(folder / "selection.csv").assign(at_chance="true")
    selection.to_csv(folder / "selection.csv", index=False)
    lines = [
        "Trained under different circumstances (threads: 1, 2)",
        "teacher/middle@kd: seeds 0, 1, 2 ended no better than a constant guess.",
        "teacher/middle@kd: seeds 0, 1, 2 began with the same first weights",
        "teacher/middle@kd: seeds 0, 1, 2 went on after a stop with other threads",
        "selector mms: seeds 0, 1, 2 ended no better than naming one modality always.",
    ]
    return folder, lines


def test_the_page_and_the_summary_tell_what_trainings_found_out(told):
    folder, lines = told
    sheets = make.all_sheets(Tables(folder))
    html = page.results_page(page.Templates(REPORT), "study", sheets, [], folder)
    warnings = re.findall(r'<p class="warning">([^<]*)</p>', html)
    text = page.summary("study", sheets, [])
    for line in lines:
        assert sum(line in warning for warning in warnings) == 1, line
        assert text.count(f"> {line}") == 1, line


def test_the_terminal_tells_it_too(told):
    folder, lines = told
    script = REPORT.parent / "scripts" / "show.py"
    done = subprocess.run(
        [sys.executable, script, folder.parent], capture_output=True, encoding="utf-8", check=True
    )
    said = " ".join(done.stdout.split())
    assert [line for line in lines if line not in said] == []
