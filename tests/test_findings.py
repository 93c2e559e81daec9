"""What docs/findings.md says of claims is what the studies' tables say."""

import re
from pathlib import Path

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
