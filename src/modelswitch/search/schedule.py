"""The steps of a search: which rung each is for, how many students it has, and what that costs.

Light to import, for Snakemake asks when it parses the workflow: no torch in here.
"""

import math
from dataclasses import dataclass

from modelswitch.config.experiment import Experiment
from modelswitch.config.search import Search
from modelswitch.errors import UserError
from modelswitch.wording import amount

# The search that the configuration describes, and the control that draws at random.
GUIDED, RANDOM = "guided", "random"


def arms(search: Search) -> list[str]:
    """The searches that are made, of which all cost the same."""
    return [GUIDED, RANDOM] if "random" in search.final.controls else [GUIDED]


@dataclass(frozen=True)
class Schedule:
    """Steps 0, 1, … of a search: the lowest rung in several batches, then one step a rung.

    Attributes:
        batches: of the lowest rung.
        rungs: how many there are.
        reduction: by how much the number of students falls from rung to rung.
    """

    batches: int
    rungs: int
    reduction: int

    @classmethod
    def of(cls, search: Search) -> "Schedule":
        return cls(search.rungs.batches, search.rungs.count, search.rungs.reduction)

    @property
    def last(self) -> int:
        """The step that trains nothing and says what came out."""
        return self.batches + self.rungs - 1

    def rung(self, step: int) -> int:
        return max(0, step - self.batches + 1)

    @property
    def fewest(self) -> int:
        """Students on the lowest rung, at least, so that one is left on the highest."""
        return max(self.batches, self.reduction ** (self.rungs - 1))

    def students(self, trainings: int) -> list[int]:
        """How many there are on every rung, where `trainings` are begun."""
        return [max(1, trainings // self.reduction**rung) for rung in range(self.rungs)]

    def batch(self, step: int, trainings: int) -> int:
        """How many are proposed in a step of the lowest rung."""
        return trainings // self.batches + (step < trainings % self.batches)

    def epochs(self, trainings: int, ends: list[int]) -> int:
        """Epochs of all rungs, each training going on from the rung below.

        Args:
            ends: epochs after which rungs end.
        """
        steps = [end - before for before, end in zip([0, *ends], ends, strict=False)]
        return sum(n * e for n, e in zip(self.students(trainings), steps, strict=True))

    def affordable(self, epochs: float, ends: list[int]) -> int:
        """How many students can be begun for so many epochs; 0 if one on every rung costs more."""
        if self.epochs(1, ends) > epochs:
            return 0
        low, high = 1, 2
        while self.epochs(high, ends) <= epochs:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.epochs(middle, ends) <= epochs else (low, middle)
        return low


def whole_epochs(experiment: Experiment) -> int:
    """Epochs of a student that is trained to its end; of different ones the most."""
    assert experiment.choices is not None
    steps = {lineage.last for lineage in experiment.choices.samples()}
    return max(experiment.training_of(step).epochs for step in steps)


def trainings(experiment: Experiment, seconds_per_epoch: float = math.nan) -> int:
    """How many students the budget of a search begins.

    Args:
        seconds_per_epoch: mean of the students on this machine, for a budget in hours.

    Raises:
        UserError: it does not pay for one student on the highest rung.
    """
    search = experiment.search
    assert search is not None
    schedule, ends = Schedule.of(search), search.epochs(whole_epochs(experiment))
    if len(set(ends)) < len(ends):
        raise UserError(
            f"search.rungs: {search.rungs.count} rungs of {ends[-1]} epochs would end after "
            f"{', '.join(map(str, ends))}; give fewer rungs, a smaller reduction, or more "
            "training.epochs"
        )
    budget, seeds = search.budget, len(search.seeds)
    least = schedule.epochs(schedule.fewest, ends) * seeds
    if budget.trainings is not None:
        found, said = budget.trainings, f"trainings: found {budget.trainings}"
    elif budget.epochs is not None:
        found = schedule.affordable(budget.epochs / seeds, ends)
        said = f"epochs: found {budget.epochs:g}"
    else:
        assert budget.hours is not None
        affordable = 3600 * budget.hours / seconds_per_epoch
        found = schedule.affordable(affordable / seeds, ends)
        said = (
            f"hours: found {budget.hours:g}, which at {seconds_per_epoch:.3g} s an epoch is "
            f"{amount(affordable)} epochs"
        )
    if found < schedule.fewest:
        raise UserError(
            f"search.budget.{said}; {search.rungs.count} rungs in {search.rungs.batches} batches "
            f"need at least {schedule.fewest} trainings, which are {least} epochs"
        )
    return found
