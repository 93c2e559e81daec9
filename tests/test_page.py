"""The results page stands alone, whatever names are in it."""

import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import tidy_examples

from modelswitch.config.claims import Claim
from modelswitch.errors import UserError
from modelswitch.report import contents, page
from modelswitch.report import sheet as sheet_module
from modelswitch.report.figures import draw
from modelswitch.report.summaries import make
from modelswitch.report.write import write_claims
from modelswitch.results import sentences
from modelswitch.results.schema import SCHEMAS
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
        findings=sentences.foremost(sentences.sentences(tables)),
    )  # fmt: skip


def test_nothing_is_loaded_from_elsewhere(html):
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\(", html)


def test_the_page_opens_with_the_answer_and_the_claims(html):
    headings = re.findall(r"<h2[^>]*>([^<]+)", html)
    assert headings == ["In short", "Claims", "Compression", "Run", "Configuration"]
    answer = html[html.index("In short") : html.index('<h2 id="claims">')]
    said = re.findall(r"<p>([^<]+)</p>", answer)
    assert 3 <= len(said) <= 5
    assert all(sentence.endswith(".") for sentence in said)
    assert "68.8 k parameters, 1/8.1 of these" in said[0]
    assert "The one claim is" in said[-1]
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
    assert html.count('<th scope="col"') == html.count('<button type="button">')
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.DOTALL).group(1)
    assert body.count("<td") + body.count('<th scope="row"') == body.count("data-key=")


class Outline(HTMLParser):
    """Headings, pictures, tables and what stands in them, as a screen reader goes through them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.alts: list[str | None] = []
        self.headers: list[str | None] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: set[str | None] = set()
        self.inputs: list[dict[str, str | None]] = []
        self.lang: str | None = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        elif tag == "img":
            self.alts.append(found.get("alt"))
        elif tag == "th":
            self.headers.append(found.get("scope"))
        elif tag == "a":
            self.links.append(found["href"])
        elif tag == "label":
            self.labels.add(found.get("for"))
        elif tag == "input":
            self.inputs.append(found)
        elif tag == "html":
            self.lang = found.get("lang")
        if "id" in found:
            self.ids.append(found["id"])


def test_a_keyboard_and_a_screen_reader_get_everywhere(html):
    page = Outline(html)
    assert page.lang == "en"
    steps = [b - a for a, b in itertools.pairwise(page.headings)]
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert max(steps) <= 1, "no level is left out"
    assert all(page.alts), "every picture has words"
    assert len(set(page.alts)) == len(page.alts)
    assert set(page.headers) == {"col", "row"}
    assert page.links[0] == "#content", "what is the same on every page can be skipped"
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    for field in page.inputs:
        assert field.get("aria-label") or field["id"] in page.labels
    assert ":focus-visible" in html
    # What scrolls can be scrolled without a mouse.
    assert html.count('class="scroll"') == html.count('class="scroll" tabindex="0" role="region"')


def test_details_are_folded_and_unfolded_for_paper(html):
    folded = re.findall(r"<details.*?</details>", html, re.DOTALL)
    assert any("Learning curves" in part for part in folded)
    claims = html[html.index('<h2 id="claims">') : html.index('<h2 id="compression">')]
    assert claims.index("<table") < claims.index("<details"), "how to read it is for who asks"
    assert "beforeprint" in html
    assert "@media print" in html


def test_columns_are_chosen_that_a_page_has_room_for(told):
    sheets = {sheet.name: sheet for sheet in make.all_sheets(Tables(told[0]))}
    for sheet in sheets.values():
        shown = sheet.foremost()
        assert sum(map(sheet._pixels, shown)) <= 1200, sheet.name
        assert shown[0] is sheet.visible()[0]
    # The style asks for no more than was reckoned with.
    css = (REPORT / "page.css").read_text(encoding="utf-8").partition("@media")[0]
    least = dict(re.findall(r"([\w.]+) \{[^}]*min-width: (\d+)rem", css))
    assert least.keys() == {"td.words", ".first"}
    assert 16 * int(least[".first"]) <= sheet_module.FIRST
    assert 16 * int(least["td.words"]) <= sheet_module.LETTER * sheet_module.WORDS
    chains = sheets["chains"]
    assert len(chains.foremost()) < len(chains.visible())
    assert {column.heading for column in chains.visible() if column.brief} <= {
        column.heading for column in chains.foremost()
    }
    html = page.table_page(page.Templates(REPORT), chains)
    head = html[html.index("<thead") : html.index("</thead>")]
    assert head.count(" extra") == len(chains.visible()) - len(chains.foremost())
    assert f"all {len(chains.visible())} columns" in html, "and the others by a click"


def test_only_texts_that_are_long_go_on_in_the_next_line():
    rows = [{"name": "chain", "said": "twenty-five letters or so, and more", "n": 1e6}]
    columns = [sheet_module.text("name", "name"), sheet_module.text("in words", "said"),
               sheet_module.number("count", "n", "{:.0f} of them, in one line")]  # fmt: skip
    html = page.table_page(
        page.Templates(REPORT), sheet_module.Sheet("some", "Some", "Run", rows, columns)
    )
    body = html.partition("<tbody")[2].partition("</tbody>")[0]
    assert re.findall(r'class="([^"]*)"', body) == [" first", "words", "number"]


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
    others = [entry for entry in vars(contents).values() if isinstance(entry, contents.Entry)]
    names = {entry.name for entry in (*contents.FIGURES, *others)}
    assert {"selection", "contact_sheet"} <= names
    assert all((REPORT / f"{name}.rst").is_file() for name in names)


def test_snakemake_s_report_has_the_captions_of_the_page():
    """Both take a figure's by its name from one folder, so that there is no second set."""
    rules = REPORT.parents[1] / "rules"
    captions = [
        re.search(r"caption=f?\"\.\./workflow/report/(.+)\.rst\"", declared).group(1)
        for path in sorted(rules.glob("*.smk"))
        for declared in re.findall(r"report\(\n.*?\n *\),?\n", path.read_text(), re.DOTALL)
        if '"kind": "figure"' in declared
    ]
    assert len(captions) >= 5
    assert all(re.fullmatch(r"\{(item|contents\.[A-Z_]+)\.name\}", name) for name in captions)


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


def test_captions_and_tables_speak_of_no_modality_that_other_data_lack():
    texts = {path.name: path.read_text(encoding="utf-8") for path in REPORT.glob("*.rst")}
    del texts[f"{contents.IRIS_SHEET.name}.rst"]  # a figure that only photographs of eyes have
    texts |= {path.name: path.read_text(encoding="utf-8") for path in REPORT.glob("*.jinja")}
    room = Path(page.__file__).parent / "summaries"
    texts |= {path.name: path.read_text(encoding="utf-8") for path in room.glob("*.py")}
    for name, text in texts.items():
        assert not re.search(r"\b(eyes?|iris|periocular)\b", text, re.IGNORECASE), name


def test_no_summary_has_the_name_of_a_table_that_it_is_made_from():
    """It would take its place, and could not be made again."""
    names = {item.name for item in contents.TABLES} - {"claims"}
    assert not names & {schema.file.partition(".")[0] for schema in SCHEMAS.values()}
