"""The table of telling people apart whom no model was trained with."""

from __future__ import annotations

import json

from modelswitch.config import methods
from modelswitch.report.contents import SELECTOR
from modelswitch.report.sheet import Sheet, Shown, number, share, text
from modelswitch.report.summaries.remarks import one_seed
from modelswitch.results.selection import SITUATIONS
from modelswitch.results.verification import WANTED_FMR, summarise
from modelswitch.wording import amount


def verification_sheet(tables) -> Sheet | None:
    """Error rates of each recogniser, each fusion and each selector, by situation."""
    table = tables.verification
    if table is None:
        return None
    rows = _each_once(summarise(table))
    differ = len({row["recognisers"] for row in rows}) > 1
    several = len({row["selector"] for row in rows}) > 1
    columns = [
        text("degraded", "situation"),
        Shown("recognisers", lambda row: _lineages(row) if differ else "",
              lambda row: row["recognisers"], numeric=False, brief=False),
        Shown("method", lambda row: _named(row, several), lambda row: row["method"],
              numeric=False),
        share("EER %", "eer"),
        share("FNMR %", "fnmr"),
        number("d′", "d_prime", "{:.2f}"),
        number("at FMR", "fmr", "{:.2g}", brief=False),
        number("pairs of one", "genuine", amount, brief=False),
        number("pairs of two", "impostors", amount, brief=False),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]  # fmt: skip
    refused = table[table["cannot"] != ""].drop_duplicates("selector")
    lines = [f"{row['selector']}: {row['cannot']}." for row in refused.to_dict("records")]
    return Sheet(
        "verification_summary", "Verification of people in no training", SELECTOR, rows, columns,
        note=_note(table), warnings=[*lines, *_too_few(rows), *one_seed(rows)],
    )  # fmt: skip


def _named(row: dict, several: bool) -> str:
    """The method; a selector with its name where there are several."""
    name = row["method"].replace("_", " ")
    return f"{name} {row['selector']}" if several and row["method"] == methods.SELECTOR else name


def _lineages(row: dict) -> str:
    """What is listened to, each lineage once."""
    return ", ".join(dict.fromkeys(json.loads(row["recognisers"] or "{}").values()))


def _each_once(rows: list[dict]) -> list[dict]:
    """Selectors beside what needs none, which stands once for selectors over the same
    recognisers."""
    found: dict[tuple, dict] = {}
    for row in rows:
        own = row["selector"] if row["method"] == methods.SELECTOR else row["recognisers"]
        found.setdefault((row["situation"], row["method"], own), row)
    order = list(SITUATIONS)
    return sorted(
        found.values(),
        key=lambda row: (order.index(row["situation"]), row["method"] != methods.SELECTOR),
    )


def _note(table) -> str:
    explained = "; ".join(f"{name}: {meaning}" for name, meaning in SITUATIONS.items())
    people = table["people"].dropna()
    tested = f"{int(people.max())} people" if len(people) else "People"
    return (
        f"{tested} whom no model was trained with: cosines between a sample and the template of a "
        "person, which is made of clean samples, of what a recogniser gives to its last linear "
        f"layer. Means over seeds ± half of the 95 % t interval ({explained}; all conditions of a "
        "situation have one threshold). FNMR: share of pairs of one person that are rejected where "
        f"at most {WANTED_FMR:g} of the pairs of two people are accepted. Fusions are fitted on "
        "people who are not tested."
    )


def _too_few(rows: list[dict]) -> list[str]:
    """Where an FMR of `WANTED_FMR` cannot be reached, in words."""
    fewest = min((row["impostors"] for row in rows), default=0)
    if not rows or fewest * WANTED_FMR >= 1:
        return []
    return [
        f"An FMR of {WANTED_FMR:g} needs {1 / WANTED_FMR:,.0f} pairs of two people; with "
        f"{fewest:,} the smallest above 0 is {1 / fewest:.2g}, and FNMR is told there."
    ]
