"""The results page stands alone, whatever names are in it."""

import re
from pathlib import Path

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
