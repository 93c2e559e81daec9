"""What docs/findings.md says of claims is what the studies' tables say."""

import re
from pathlib import Path

import pandas as pd
import pytest

from modelswitch.report import studies
from modelswitch.report.two_runs import tables_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/findings.md"
ROW = re.compile(
    r"^\| (?P<claim>[^|]+) \| \[(?P<study>[\w-]+)\]\([^)]+\) \| (?P<difference>[^|]+) \| "
    r"(?P<seeds>\d+) \| (?P<verdict>[^|]+) \|$"
)


def rows() -> list[dict[str, str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [found.groupdict() for line in lines if (found := ROW.match(line))]


def stored(study: str) -> dict[str, list[str]]:
    """Of each claim of a study what its tables say, as the page has it."""
    sheet = studies.claims_sheet({study: tables_of(str(ROOT / "results/reference" / study))})
    names = [column.heading for column in sheet.columns]
    cells = [dict(zip(names, [c.text(r) for c in sheet.columns], strict=True)) for r in sheet.rows]
    return {
        cell["claim"]: [
            f"{cell['estimate']} {cell['interval']}".strip(), cell["seeds"], cell["verdict"]
        ]
        for cell in cells
    }  # fmt: skip


def test_the_page_has_rows_of_all_three_systems():
    assert len(rows()) > 10
    assert {row["study"] for row in rows()} >= {"cifar10-weak", "eyes"}


@pytest.mark.parametrize("study", sorted({row["study"] for row in rows()}))
def test_every_number_is_that_of_the_study(study):
    known = stored(study)
    told = [row for row in rows() if row["study"] == study]
    for row in told:
        assert [row[key] for key in ("difference", "seeds", "verdict")] == known[row["claim"]]
    # What was claimed for these studies is told in full, whichever way it went.
    if study.startswith("claims-"):
        assert sorted(row["claim"] for row in told) == sorted(known)


def test_the_figure_of_gains_is_of_the_studies_that_the_page_names():
    text = PAGE.read_text(encoding="utf-8")
    [command] = re.findall(r"studies\.py ((?:.|\\\n)+?) --into", text)
    named = [word for word in command.split() if word != "\\"]
    found = studies.gains(studies.by_name([tables_of(str(ROOT / study)) for study in named]))
    expected = pd.DataFrame(studies.gains_sheet(found).rows)
    committed = pd.read_csv(ROOT / "results/reference/all_gains.csv")
    pd.testing.assert_frame_equal(committed, expected, check_dtype=False, rtol=1e-6)
    # Where it is said to stop.
    leads = expected.groupby("study")[["lead", "gain"]].mean()
    assert leads.loc["cifar10-weak", "lead"] < 0 > leads.loc["cifar10-weak", "gain"]
    assert round(100 * leads.loc["cifar10-reference", "lead"]) == 3
    plain = expected[expected["study"] == "claims-plain"]
    assert round(100 * plain["lead"].mean()) == 9
    assert round(100 * plain["gain"].max()) == 6
    assert leads.loc["cifar10-reference", "gain"] < 0.1 * leads.loc["cifar10-reference", "lead"]


def test_the_readme_s_headline_is_that_of_the_study_on_all_of_cifar10():
    folder = ROOT / "results/reference/claims-full/tables"
    chains = pd.read_csv(folder / "chains.csv").set_index("lineage")
    lineages = ["teacher", "teacher/assistant@hints", "teacher/assistant@hints/student@hints",
                "teacher/student@hints", "student"]  # fmt: skip
    accuracies = [f"{100 * chains.loc[lineage, 'accuracy']:.1f}" for lineage in lineages]
    for page in ("README.md", "docs/findings.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        [shown] = re.findall(r"!\[([^\]]+)\]\([^)]*claims-full/figures/size\.png\)", text)
        assert re.findall(r"\d\d\.\d", shown) == accuracies
        through = chains.loc[lineages[2]]
        gain = [f"{100 * through[key]:+.2f}" for key in ("gain", "gain_low", "gain_high")]
        assert f"{gain[0].lstrip('+')} points [{gain[1]}, {gain[2]}]" in " ".join(text.split()) or (
            f"{gain[0].lstrip('+')} [{gain[1]}, {gain[2]}]" in text
        )
        assert f"1/{through['times_smaller']:.1f}" in text
    claims = pd.read_csv(folder / "claims.csv").set_index("claim")
    [corrected] = re.findall(r"\(Holm\) the first has p = ([\d.]+)\.", PAGE.read_text("utf-8"))
    assert float(corrected) == round(claims.loc["intermediates_help", "p_holm"], 3)
    level = claims.loc["student_beats_teacher"]
    assert level["low"] < 0 < level["high"]
