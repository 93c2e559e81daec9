"""Which difference each claim of an experiment can find with the seeds that it has."""

import math
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from modelswitch.config.claims import Claim
from modelswitch.config.experiment import Experiment
from modelswitch.config.power import Power
from modelswitch.errors import UserError
from modelswitch.lineage import TABLES_FOLDER
from modelswitch.results import power
from modelswitch.results.looks import ALPHA, Schedule, level_at_the_end
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import assess


@dataclass(frozen=True)
class Reach:
    """What one claim can find.

    Attributes:
        seeds: that it is judged on at the end.
        spread: standard deviation of the paired difference; NaN where it is not known.
        known_from: seeds that the spread was measured on; 0 where it is given.
        finds: smallest true difference with which it is supported with the wanted power.
        by_holm: the same at the strictest level that Holm's correction may ask for.
        why: why nothing is known, or what to bear in mind.
    """

    name: str
    claim: Claim
    seeds: int
    spread: float
    known_from: int
    finds: float
    by_holm: float
    why: str = ""


def reaches(experiment: Experiment) -> list[Reach]:
    """One for every claim about what has an error."""
    claims = {name: c for name, c in experiment.claims.items() if not c.measured.exact}
    settings = experiment.power or Power()
    seeds = Schedule.of(experiment).planned
    alpha = level_at_the_end(experiment.looks)
    strictest = alpha / max(1, len(claims))
    found = []
    for name, (spread, known_from, why) in _spreads(claims, settings).items():
        smallest = claims[name].smallest
        finds, by_holm = (
            power.detectable(spread, seeds, level, settings.wanted, smallest)
            for level in (alpha, strictest)
        )
        found.append(Reach(name, claims[name], seeds, spread, known_from, finds, by_holm, why))
    return found


def _spreads(claims: dict[str, Claim], settings: Power) -> dict[str, tuple[float, int, str]]:
    """Spread, how many seeds it is known from, and a remark, for each claim.

    Raises:
        UserError: there are no tables where the configuration says that they are.
    """
    measured = _measured(claims, settings.tables) if settings.tables else {}
    found = {}
    for name, claim in claims.items():
        spread, count, why = measured.get(name, (math.nan, 0, ""))
        if claim.spread is not None:
            spread, count, why = claim.spread, 0, ""
        elif math.isnan(spread) and settings.spread is not None:
            spread, count = settings.spread, 0
        elif math.isnan(spread):
            lacking = f"{why}; " if why else ""
            why = f"{lacking}give claims.{name}.spread, or power"
        found[name] = (spread, count, why)
    return found


def _measured(claims: dict[str, Claim], where: str) -> dict[str, tuple[float, int, str]]:
    folder = Path(where)
    inside = folder / Path(TABLES_FOLDER).name
    folder = inside if inside.is_dir() else folder
    if not folder.is_dir():
        raise UserError(
            f"power.tables: found {where!r}, which is no folder; allowed: the tables of a finished "
            "experiment, e.g. results/search/tables"
        )
    found = {}
    for row in assess(claims, Tables(folder)):
        spread, count = float(row["spread"]), int(row["seeds"])
        unknown = row["note"] or f"{count} seed{'s' * (count != 1)} there"
        # A spread of 0 is that of values that happen to agree, and no knowledge.
        known = spread > 0
        found[row["claim"]] = (spread, count, "") if known else (math.nan, 0, f"{where}: {unknown}")
    return found


def shown(experiment: Experiment) -> list[RenderableType]:
    """What the plan prints about it; nothing for an experiment without claims."""
    found = reaches(experiment)
    if not found:
        return []
    settings, alpha = experiment.power or Power(), level_at_the_end(experiment.looks)
    level = f"two-sided level {alpha:.2g}"
    if experiment.looks is not None:
        level += f" of the last of {len(experiment.looks.at)} looks, {ALPHA:g} in all"
    lines: list[RenderableType] = [
        f"\nclaims: supported with {100 * settings.wanted:.0f} % power from this difference on, "
        f"with {found[0].seeds} seeds ({level}; by Holm's correction over {len(found)} at the "
        f"strictest {alpha / len(found):.2g})",
        _table(found),
    ]
    lines += [f"{one.name}: spread unknown: {one.why}" for one in found if math.isnan(one.spread)]
    few = [one for one in found if 0 < one.known_from < _FEW]
    if few:
        lines.append(
            f"a spread that is known from fewer than {_FEW} seeds may be far off: in brackets its "
            "95 % interval"
        )
    return lines


_FEW = 10


def _table(found: list[Reach]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("claim", overflow="fold")
    table.add_column("of")
    for heading in ("spread over seeds", "finds", "by Holm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        unit = one.claim.measured.unit
        spread = unit.text(one.spread, finer=1) or "unknown"
        if one.known_from:
            low, high = power.spread_interval(one.spread, one.known_from)
            spread += (
                f" of {one.known_from} seeds [{unit.text(low, finer=1)}, "
                f"{unit.text(high, finer=1)}]"
            )
        sizes = [unit.text(size, finer=1) or "?" for size in (one.finds, one.by_holm)]
        table.add_row(one.name, f"{one.claim.metric} {unit.sign}".rstrip(), spread, *sizes)
    return table
