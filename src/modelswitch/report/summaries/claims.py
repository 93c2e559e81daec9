"""The table of claims."""

from __future__ import annotations

import math

from modelswitch.config.metrics import METRICS
from modelswitch.report.contents import CLAIMS
from modelswitch.report.sheet import Sheet, Shown, difference, number, of_metric, probability, text
from modelswitch.results.judgement import NOT_TESTED

CLAIM = Shown(
    "claim", lambda row: row["claim"].replace("_", " "), lambda row: row["claim"], numeric=False
)


def sides(row: dict) -> str:
    """What a claim compares."""
    if row["rises_with"]:
        return f"{row['better']} rises with {row['rises_with']}"
    return f"{row['better']} over {row['than']}"


def estimated(interval: str) -> list[Shown]:
    """A claim's estimate and interval, under that heading, in the unit of its metric."""
    return difference("estimate", "estimate", interval, of_metric, ("low", "high"))


def claims_sheet(tables) -> Sheet | None:
    """What the configuration claims, and the verdicts."""
    table = tables.claims
    if table is None or table.empty:
        return None
    rows = table.to_dict("records")

    def about(row: dict) -> str:
        of_models = METRICS[row["metric"]].source != "selection"
        return f"{sides(row)}: {METRICS[row['metric']].words}" + f", {row['split']}" * of_models

    by_rule = bool((table["looks"] > 0).any())
    columns = [
        CLAIM,
        text("verdict", "verdict"),
        *estimated("look's interval" if by_rule else "95 % interval"),
        Shown("what is compared", about, about, numeric=False, brief=False),
        Shown("smallest of interest",
              lambda r: f"{METRICS[r['metric']].unit.scale * r['smallest']:g}",
              lambda r: r["smallest"], brief=False),
        number("seeds", "seeds", "{:.0f}"),
        Shown("look", _look, lambda r: r["look"], brief=False),
        number("level", "alpha", lambda alpha: f"{alpha:.2g}" if by_rule else "", brief=False),
        probability("p (Holm)", "p_holm", brief=False),
        probability("p (sign flips)", "permutation_p", brief=False),
        probability("p (McNemar)", "mcnemar_p", brief=False),
        number("seeds needed", "seeds_needed", "{:.0f}", brief=False),
        text("note", "note", brief=False),
        text("in words", "statement", brief=False),
    ]  # fmt: skip
    return Sheet(
        "claims", "Claims", CLAIMS, rows, columns,
        note="As the configuration states them; the verdicts are computed. "
        "Estimates of accuracies are in percentage points, above zero where the claim points the "
        "right way. Supported: the 95 % interval lies above zero and the estimate reaches the "
        "smallest difference of interest, or above that where it is a loss that is allowed. "
        "Contradicted: the interval rules such a difference out. "
        "Not supported: anything else. p (Holm): the t test's, corrected for all claims. p (sign "
        "flips): how often differences as large would come about if each seed's had either sign by "
        "chance, with n seeds never below 2 / 2^n. p (McNemar): the same of the single images that "
        "one side alone has right, which says nothing of other seeds. "
        "Seeds needed: to find a difference of this size, or the smallest of interest, with 80 % "
        "power, whichever way it points." + _BY_RULE * by_rule,
        warnings=_too_early(rows),
    )  # fmt: skip


_BY_RULE = (
    " The study is looked at by a rule that was written down before (`looks`): intervals and "
    "verdicts have the level of their look, so that all looks together are wrong in 5 % of the "
    "cases where there is nothing. A claim that is decided needs no more seeds, and the study may "
    "stop when all are. p-values are those of the look alone: to be compared with its level."
)


def _look(row: dict) -> str:
    if math.isnan(row["looks"]):
        return ""
    first = "0" if math.isnan(row["look"]) else f"{row['look']:.0f}"
    return f"{first} of {row['looks']:.0f}"


def _too_early(rows: list[dict]) -> list[str]:
    """A warning where claims are judged before all planned seeds are there, by no rule."""
    early = [
        row
        for row in rows
        if row["seeds"] < row["planned_seeds"]
        and math.isnan(row["looks"])
        and row["verdict"] != NOT_TESTED
        and not METRICS[row["metric"]].exact
    ]
    if not early:
        return []
    fewest = min(row["seeds"] for row in early)
    return [
        f"{fewest:.0f} of {early[0]['planned_seeds']:.0f} seeds: no rule (`looks`) has claims "
        "judged before all are there, so stopping the study early is not allowed: whoever stops "
        "when a verdict pleases is wrong more often than in 5 % of the cases."
    ]
