"""Which seeds a verdict may be drawn from, and at which level: all that are there, or the next look
of a rule that was written down before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelswitch.config.looks import Looks
from modelswitch.lineage import Lineage
from modelswitch.results import boundaries

if TYPE_CHECKING:
    from modelswitch.config.experiment import Experiment

ALPHA = 0.05


@dataclass(frozen=True)
class Look:
    """One time at which claims are judged.

    Attributes:
        seeds: that count.
        alpha: two-sided level of intervals and verdicts.
        number: from 1; 0 where no rule says when to look.
    """

    seeds: tuple[int, ...]
    alpha: float = ALPHA
    number: int = 0


@dataclass(frozen=True)
class Schedule:
    """The seeds that a study has planned, in their order, and its rule for looking early.

    Attributes:
        datasets, repeats: on which a model has to be there, and how many times by its name, before
            a look counts its seed.
    """

    seeds: tuple[int, ...] = ()
    rule: Looks | None = None
    datasets: tuple[str, ...] = ()
    repeats: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, experiment: Experiment) -> Schedule:
        return cls(
            tuple(experiment.seeds),
            experiment.looks,
            tuple(experiment.datasets),
            experiment.repeats,
        )

    def repeats_of(self, lineage: str) -> int:
        return self.repeats.get(Lineage.parse(lineage).last.model, 1)

    @property
    def looks(self) -> int:
        """How many there are by the rule; 0 without one."""
        return 0 if self.rule is None else len(self.rule.at)

    @property
    def planned(self) -> int:
        """Seeds at the end; 0 where nobody said."""
        return len(self.seeds) if self.rule is None else self.rule.at[-1]

    def reached(self, found: Collection[int]) -> list[Look]:
        """The looks that seeds with results are enough for, first to last.

        A look takes the first seeds of the plan, and all of them have to be there: were it any so
        many, it would be another one as soon as a seed is added. Without a rule there is one look,
        at whatever is there.
        """
        if self.rule is None:
            return [Look(tuple(sorted(found)))] if found else []
        levels = boundaries.levels(self.rule.at, self.rule.spending, ALPHA)
        return [
            Look(self.seeds[:count], alpha, number)
            for number, (count, alpha) in enumerate(zip(self.rule.at, levels, strict=True), 1)
            if len(self.seeds) >= count and set(self.seeds[:count]) <= set(found)
        ]

    def waiting_for(self, found: Collection[int], number: int) -> str:
        """What a look, by its number, still needs: `8 seeds; missing: 3, 5`; '' without a rule."""
        if self.rule is None or number > self.looks:
            return ""
        count = self.rule.at[number - 1]
        lacking = [str(seed) for seed in self.seeds[:count] if seed not in found]
        more = count - len(self.seeds[:count])
        lacking += [f"{more} more than the configuration has"] if more > 0 else []
        return f"{count} seeds; missing: {', '.join(lacking)}"


def level_at_the_end(rule: Looks | None) -> float:
    """The two-sided level of the last look."""
    if rule is None:
        return ALPHA
    return boundaries.levels(rule.at, rule.spending, ALPHA)[-1]
