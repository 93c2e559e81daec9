"""Several studies side by side: what became of their claims, and what chains gain under teachers
that are how much better than their students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelswitch.errors import UserError
from modelswitch.report.contents import CLAIMS, COMPRESSION
from modelswitch.report.sheet import Sheet, Shown, difference, number, probability, text
from modelswitch.report.summaries.claims import CLAIM, estimated, sides
from modelswitch.results import differences, foremost
from modelswitch.results.intervals import PairedDifference
from modelswitch.results.tables import Tables


@dataclass(frozen=True)
class Gain:
    """What a chain gains in one study, in shares of accuracy.

    Attributes:
        switches: from the first model to the last.
        lead: the chain's first model over its last model trained from scratch, paired by seed.
        gain: the last model behind the chain over the same from scratch, paired by seed.
    """

    study: str
    dataset: str
    chain: str
    switches: int
    lead: PairedDifference
    gain: PairedDifference


def by_name(folders: Sequence[Tables]) -> dict[str, Tables]:
    """Studies by the names of their experiments, in their order.

    Raises:
        UserError: two have one name, so that nobody could tell them apart.
    """
    found: dict[str, Tables] = {}
    for tables in folders:
        name = str(tables.trainings["experiment"].iloc[0])
        if name in found:
            raise UserError(
                f"{tables.folder}: is of the study {name!r}, as {found[name].folder} is; "
                "join parts of one study first (make join)"
            )
        found[name] = tables
    return found


def claims_sheet(studies: Mapping[str, Tables]) -> Sheet:
    """Every claim of every study: what was expected, estimate, interval, seeds, verdict."""
    rows = [
        {"study": name, **{str(key): value for key, value in row.items()}}
        for name, tables in studies.items()
        if tables.claims is not None
        for row in tables.claims.to_dict("records")
    ]

    columns = [
        text("study", "study"),
        CLAIM,
        Shown("what is compared", sides, sides, numeric=False, brief=False),
        text("verdict", "verdict"),
        *estimated("interval"),
        number("level", "alpha", "{:.2g}", brief=False),
        number("seeds", "seeds", "{:.0f}"),
        probability("p (Holm)", "p_holm", brief=False),
    ]  # fmt: skip
    return Sheet(
        "all_claims", "Claims of all studies", CLAIMS, rows, columns,
        note="Of accuracies estimates are in percentage points, above zero where the claim points "
        "the right way. Intervals are paired by seed and have 1 - level: 95 %, or what a study's "
        "rule for looking early leaves for its look. p-values are corrected within each study.",
    )  # fmt: skip


def gains(studies: Mapping[str, Tables]) -> list[Gain]:
    """Of every study the chains that its claims are about; all of a study without claims.

    A chain is left out whose last model was not trained from scratch, too, or whose first one is
    not there.
    """
    found = []
    for name, tables in studies.items():
        named = foremost.sides(tables, "accuracy")
        for dataset in dict.fromkeys(tables.models["dataset"]):
            models = tables.of(dataset).models
            leads = {
                (pair.better.lineage, pair.than.lineage): pair.difference
                for pair in differences.of_teachers(models)
            }
            for pair in differences.of_chains(models):
                end = pair.better
                lead = leads.get((end.lineage.split("/")[0], end.model))
                if pair.group != differences.SCRATCH or lead is None or pair.refused:
                    continue
                if named and not named & {*end.labels, end.lineage}:
                    continue
                found.append(Gain(name, dataset, end.name, end.level, lead, pair.difference))
    return found


def gains_sheet(found: Sequence[Gain]) -> Sheet:
    """The gains as a table, by the teacher's lead."""
    rows: list[dict[str, Any]] = [
        {
            "study": one.study,
            "dataset": one.dataset,
            "chain": one.chain,
            "switches": one.switches,
            **one.lead.columns("lead"),
            **one.gain.columns("gain"),
            "seeds": one.gain.count,
        }
        for one in sorted(found, key=lambda one: (one.lead.estimate, one.study))
    ]

    several = len({(row["study"], row["dataset"]) for row in rows}) > len(
        {row["study"] for row in rows}
    )
    columns = [
        text("study", "study"),
        *([text("data set", "dataset")] if several else []),
        text("chain", "chain"),
        number("switches", "switches", "{:.0f}"),
        *difference("teacher over scratch", "lead", brief=False),
        *difference("chain over scratch", "gain", brief=False),
        number("seeds", "seeds", "{:.0f}"),
    ]
    return Sheet(
        "all_gains", "What chains gain", COMPRESSION, rows, columns,
        note="Differences in accuracy, paired by seed, in percentage points: of the first model "
        "and of the last one, behind the chain, to the last one trained from scratch. Chains that "
        "claims are about.",
    )  # fmt: skip
