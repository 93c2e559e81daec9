"""What differences over seeds say about a claim, at the looks that its study has planned."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from modelswitch.config.claims import Claim
from modelswitch.results import intervals
from modelswitch.results.intervals import PairedDifference
from modelswitch.results.looks import Look, Schedule

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
CONTRADICTED, NOT_TESTED = "contradicted", "not tested"


@dataclass
class Findings:
    """What was found about a claim."""

    verdict: str = NOT_TESTED
    result: PairedDifference | None = None
    than: str = ""
    mcnemar_p: float = math.nan
    look: Look | None = None
    notes: list[str] = field(default_factory=list)

    def untested(self, note: str) -> Findings:
        self.notes.append(note)
        return self


def verdict(estimate: float, low: float, high: float, smallest: float) -> str:
    """What an interval says about "the improvement is above zero, and at least `smallest`".

    Supported: the interval lies above zero and the estimate reaches `smallest`. Contradicted: the
    interval lies wholly below `smallest` (below zero if that is zero), so that an improvement of
    interest is ruled out. Everything else, no interval included, is "not supported".

    A `smallest` below zero is what may be lost: supported where the interval lies above it.
    """
    if math.isnan(low) or math.isnan(high):
        return NOT_SUPPORTED
    if smallest < 0 and low > smallest:
        return SUPPORTED
    if low > 0 and estimate >= smallest >= 0:
        return SUPPORTED
    if high < smallest or (smallest == 0 and high < 0):
        return CONTRADICTED
    return NOT_SUPPORTED


def exact_verdict(improvements: list[float], smallest: float) -> str:
    """The same of quantities without error: every seed says yes, or every seed says no."""
    reached = {value >= smallest and (value > 0 or smallest < 0) for value in improvements}
    return {True: SUPPORTED, False: CONTRADICTED}[reached.pop()] if len(reached) == 1 else (
        NOT_SUPPORTED
    )  # fmt: skip


def judge(
    found: Findings, claim: Claim, rivals: Mapping[str, Mapping[int, float]], schedule: Schedule
) -> Findings:
    """The verdict on improvements by seed, over each rival; several are judged as the best of them.

    At the first look that decides it; else at the last one that there are seeds for.
    """
    apart = [name for name, by_seed in rivals.items() if not by_seed]
    if apart:
        of_several = f": {claim.better!r} and {apart[0]!r}" if len(rivals) > 1 else ""
        return found.untested(f"the sides have no seed in common{of_several}")
    # With looks there is only one: of several another could be the best one at the next.
    found.than = min(rivals, key=lambda name: (_mean(rivals[name].values()), name))
    differences = rivals[found.than]
    if claim.measured.exact:
        values = list(differences.values())
        # There is no error that an interval could speak of, and no chance for a test to rule out.
        mean = _mean(values)
        found.result = PairedDifference.without_interval(mean, len(values))
        found.verdict = exact_verdict(values, claim.smallest)
        found.notes.append("exact: the same for every seed" if len(set(values)) == 1 else
                           "exact, but not the same for every seed")  # fmt: skip
        return found
    for look in schedule.reached(set().union(*rivals.values())):
        each = [
            [by_seed[seed] for seed in look.seeds if seed in by_seed] for by_seed in rivals.values()
        ]
        result = intervals.lead_over_best(each, 1 - look.alpha)
        if claim.smallest < 0:
            # What a test of no inferiority rules out is that loss, and not zero.
            above = intervals.lead_over_best([[v - claim.smallest for v in e] for e in each])
            result = replace(result, p=above.p, permutation_p=above.permutation_p)
        found.look, found.result = look, result
        found.verdict = verdict(result.estimate, result.low, result.high, claim.smallest)
        if found.verdict in (SUPPORTED, CONTRADICTED):
            break
    if found.result is None:
        mean = _mean(differences.values())
        found.result = PairedDifference.without_interval(mean, len(differences))
        waiting = schedule.waiting_for(differences, 1)
        return found.untested(f"nothing is judged before the first look at {waiting}")
    if math.isnan(found.result.low):
        found.notes += _without_interval(rivals, found.look)
    found.notes += _about_look(found, schedule, differences)
    return found


def _without_interval(rivals: Mapping[str, Mapping[int, float]], look: Look | None) -> list[str]:
    """Why there is none, by rival where there are several."""
    told = []
    for name, by_seed in rivals.items():
        values = [by_seed[seed] for seed in (look.seeds if look else by_seed) if seed in by_seed]
        if math.isnan(intervals.difference_from_zero(values).low):
            over = f" over {name!r}" if len(rivals) > 1 else ""
            why = "one seed" if len(values) == 1 else "the same difference in every seed"
            told.append(f"{why}{over}: no interval")
    return told


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)


def _about_look(found: Findings, schedule: Schedule, differences: Mapping[int, float]) -> list[str]:
    """Which look of the rule a verdict is from, and what follows from it."""
    look = found.look
    if look is None or not look.number:
        return []
    line = (
        f"look {look.number} of {schedule.looks}, {len(look.seeds)} of {schedule.planned} seeds, "
        f"level {look.alpha:.2g}"
    )
    if look.number == schedule.looks:
        return [f"{line}: the last"]
    if found.verdict in (SUPPORTED, CONTRADICTED):
        return [f"{line}: decided, so that this claim needs no more seeds"]
    waiting = schedule.waiting_for(differences, look.number + 1)
    return [f"{line}: not decided, the next look is at {waiting}"]
