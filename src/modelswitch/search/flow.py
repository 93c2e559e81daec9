"""From the results of one step of a search to the students of the next."""

from collections.abc import Mapping

from modelswitch.config.experiment import Experiment
from modelswitch.config.search import Search
from modelswitch.lineage import Lineage
from modelswitch.search import schedule as plan
from modelswitch.search.designs import Known
from modelswitch.search.proposals import Tried, propose
from modelswitch.search.ranking import Candidate, candidate, ranked, spread, winner
from modelswitch.search.ranking import front as front_of
from modelswitch.search.schedule import Schedule
from modelswitch.search.steps import Record, Score, SearchStep, Trial


def candidates(
    search: Search, record: Record, known: Known, scores: Mapping[int, Score]
) -> list[Candidate]:
    """Students with a score, as they are ranked."""
    return [
        candidate(search, score, known.of(Lineage.parse(record.trials[number].lineage)))
        for number, score in scores.items()
    ]


def tried(search: Search, record: Record, known: Known) -> list[Tried]:
    """The students of the lowest rung, as a study has them."""
    schedule = Schedule.of(search)
    batch = {
        trial.number: step.step
        for step in record.steps
        if step.step < schedule.batches
        for trial in step.trials
    }
    return [
        Tried(record.trials[c.number].values, batch[c.number], c.objectives, c.missing)
        for c in candidates(search, record, known, record.on(0))
    ]


def next_step(
    experiment: Experiment,
    arm: str,
    step: int,
    before: list[SearchStep],
    scores: list[Score],
    known: Known,
) -> SearchStep:
    """What a search trains next: a pure function of what came of everything before.

    Args:
        arm: of `schedule.arms`.
        before: all steps before this one, in order.
        scores: of the students that the last of them trained.

    The last step has those that are to be trained anew: the winner, then members of the front.
    """
    search, choices = experiment.search, experiment.choices
    assert search is not None
    assert choices is not None
    schedule, rung = Schedule.of(search), Schedule.of(search).rung(step)
    # The scores stand in the step after the one whose students they are of.
    record = Record([*before, SearchStep(arm, step, rung, [], scores)])
    if step == schedule.last:
        top = candidates(search, record, known, record.on(schedule.rungs - 1))
        best, front = winner(top), front_of(top)
        others = [] if arm == plan.RANDOM else [number for number in front if number != best]
        chosen = [best, *spread(others, search.final.front)]
        return SearchStep(arm, step, rung, [record.trials[n] for n in chosen], scores)
    if step < schedule.batches:
        number = len(record.trials)
        found = propose(
            choices,
            tried(search, record, known),
            schedule.batch(step, known.trainings),
            sampler="random" if arm == plan.RANDOM else search.proposes,
            seed=search.seeds[0] + (arm == plan.RANDOM),
            batch=step,
            objectives=len(search.goal.names),
            constrained=search.constraints.accuracy is not None,
            allowed=lambda values: known.allowed(choices, values),
        )
        trials = [
            Trial(number + at, values, str(choices.lineage(values)))
            for at, values in enumerate(found)
        ]
        return SearchStep(arm, step, rung, trials, scores)
    below = record.on(rung - 1)
    order = ranked(candidates(search, record, known, below))
    # Of a space that was smaller than the budget, as large a part goes on.
    count = schedule.students(len(record.on(0)))[rung]
    return SearchStep(arm, step, rung, [record.trials[n] for n in sorted(order[:count])], scores)
