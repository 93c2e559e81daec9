"""What a search was worth: its winner beside controls, judged on test images from fresh seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelswitch.config.experiment import Experiment
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage
from modelswitch.results.intervals import mean_interval, paired_difference
from modelswitch.search.designs import Known
from modelswitch.search.flow import candidates
from modelswitch.search.places import rung_ends, scratch_of, whole_places
from modelswitch.search.ranking import front, measure
from modelswitch.search.schedule import GUIDED, RANDOM
from modelswitch.search.scores import accuracy
from modelswitch.search.steps import Record

WINNER, FRONT, SCRATCH = "winner", "front", "from scratch"
RANDOM_SEARCH, OWN_CHAIN = "random search", "best own chain"


@dataclass(frozen=True)
class Judged:
    """A model that was trained whole from the experiment's seeds.

    Attributes:
        role: what it is in the comparison.
        searched: accuracy on validation images by which it was chosen while searching, or NaN.
        validation, test: accuracy, one for each seed.
        quantities: what it costs.
        epochs: that were trained to find it, or NaN where nothing was looked for.
    """

    role: str
    lineage: str
    searched: float
    validation: list[float]
    test: list[float]
    quantities: dict[str, float]
    epochs: float

    def row(self, of: "Judged | None" = None) -> dict[str, object]:
        """A row of the table; with the winner, also how much better that is, seed by seed."""
        test, validation = mean_interval(self.test), mean_interval(self.validation)
        gain = paired_difference(of.test, self.test) if of is not None else None
        return {
            "role": self.role,
            "lineage": self.lineage,
            **{name: self.quantities.get(name, math.nan) for name in
               ("parameters", "macs", "latency_ms", "size_kb")},
            "searched": self.searched,
            "validation": validation.mean,
            "test": test.mean,
            "test_low": test.low,
            "test_high": test.high,
            "luck": self.searched - test.mean,
            "winner_gains": math.nan if gain is None else gain.estimate,
            "winner_gains_low": math.nan if gain is None else gain.low,
            "winner_gains_high": math.nan if gain is None else gain.high,
            "epochs": self.epochs,
            "seeds": len(self.test),
        }  # fmt: skip


def judged(
    experiment: Experiment, results: Path, records: dict[str, Record], known: Known
) -> list[Judged]:
    """The winner, members of the front and controls, in this order."""
    search, graph = experiment.search, Graph(experiment)
    assert search is not None

    def judge(role: str, lineage: Lineage, searched: float, epochs: float) -> Judged:
        places = whole_places(experiment, lineage)
        validation, test = (
            accuracy(graph, results, places, split) for split in ("validation", "test")
        )
        return Judged(role, str(lineage), searched, validation, test, known.of(lineage), epochs)

    found = []
    for arm, record in records.items():
        top, spent = record.on(search.rungs.count - 1), spent_epochs(experiment, record)
        for at, trial in enumerate(record.steps[-1].trials):
            role = RANDOM_SEARCH if arm == RANDOM else FRONT if at else WINNER
            lineage = Lineage.parse(trial.lineage)
            found.append(judge(role, lineage, top[trial.number].accuracy, float(spent)))
    winner = Lineage.parse(records[GUIDED].steps[-1].trials[0].lineage)
    if "chains" in search.final.controls:
        own = [lineage for lineage in experiment.lineages.values() if known.allows(lineage)]
        each = [judge(OWN_CHAIN, lineage, math.nan, math.nan) for lineage in dict.fromkeys(own)]
        # Chosen as a search chooses, on validation images.
        found += sorted(each, key=lambda one: -sum(one.validation))[:1]
    if "scratch" in search.final.controls and (alone := scratch_of(experiment, winner)):
        found.append(judge(SCRATCH, alone, math.nan, math.nan))
    return found


def verdict(found: Sequence[Judged]) -> list[str]:
    """Whether the winner is better than each control, in sentences that say no more than the
    intervals over seeds do."""
    [best] = [one for one in found if one.role == WINNER]
    said = []
    for one in found:
        if one.role in (WINNER, FRONT):
            continue
        gain = paired_difference(best.test, one.test)
        points, low, high = (100 * value for value in (gain.estimate, gain.low, gain.high))
        if math.isnan(low) and one.lineage != best.lineage:
            said.append(
                f"One seed cannot tell whether the search is better than {_named(one.role)}: "
                f"{points:+.2f} percentage points on test images."
            )
            continue
        between = "" if math.isnan(low) else f" (95 % interval {low:+.2f} to {high:+.2f})"
        if one.lineage == best.lineage:
            what = "found the same model as"
        elif low > 0:
            what = "beat"
        elif high < 0:
            what = "lost to"
        else:
            what = "did not beat"
        said.append(
            f"The search {what} {_named(one.role)}: {points:+.2f} percentage points on test images"
            f"{between}, {len(best.test)} seeds."
        )
    return said


def _named(role: str) -> str:
    return {
        RANDOM_SEARCH: "random search at the same cost",
        OWN_CHAIN: "the best chain of the configuration that keeps to the constraints",
        SCRATCH: "the same student trained from scratch",
    }[role]


def spent_epochs(experiment: Experiment, record: Record) -> int:
    """Epochs of a search's students, each rung going on from the one below."""
    seeds = len(experiment.search.seeds) if experiment.search else 1
    return seeds * sum(
        rung_ends(experiment, Lineage.parse(record.trials[number].lineage))[score.rung]
        for number, score in record.highest.items()
    )


def savings(experiment: Experiment, record: Record) -> dict[str, int]:
    """Trainings and epochs of a search, and of two that share nothing.

    Both train every model above a student for this student alone. `alone` begins a student anew on
    every rung that this search had it on; `whole` has no rungs: it trains each to its end.
    """
    search = experiment.search
    assert search is not None
    shared: dict[Lineage, None] = {}
    alone = alone_epochs = each = each_epochs = jobs = 0

    def whole(lineage: Lineage) -> int:
        adopted = lineage.last.model in experiment.adopted
        return 0 if adopted else experiment.training_of(lineage.last).epochs

    for number, score in record.highest.items():
        lineage = Lineage.parse(record.trials[number].lineage)
        ends, above = rung_ends(experiment, lineage), list(lineage.ancestors())
        shared |= dict.fromkeys(above)
        jobs += score.rung + 1
        models, epochs = 1 + len(above), sum(map(whole, above))
        for rung in range(score.rung + 1):
            alone += models
            alone_epochs += ends[rung] + epochs
        each += models
        each_epochs += ends[-1] + epochs
    seeds = len(search.seeds)
    return {
        "students": len(record.highest),
        "trainings": seeds * (jobs + len(shared)),
        "epochs": spent_epochs(experiment, record) + seeds * sum(map(whole, shared)),
        "trainings_alone": seeds * alone,
        "epochs_alone": seeds * alone_epochs,
        "trainings_whole": seeds * each,
        "epochs_whole": seeds * each_epochs,
    }


def trial_rows(experiment: Experiment, records: dict[str, Record], known: Known) -> list[dict]:
    """A row for every student that was tried, with what it reached on its highest rung."""
    search = experiment.search
    assert search is not None
    rows = []
    for arm, record in records.items():
        scores = record.highest
        found = {c.number: c for c in candidates(search, record, known, scores)}
        top = [found[n] for n in record.on(search.rungs.count - 1)]
        best = set(front(top))
        chosen = record.steps[-1].trials[0].number
        for number, score in sorted(scores.items()):
            trial, quantities = (
                record.trials[number],
                known.of(Lineage.parse(record.trials[number].lineage)),
            )
            rows.append(
                {
                    "arm": arm,
                    "number": number,
                    "lineage": trial.lineage,
                    "rung": score.rung + 1,
                    "epochs": rung_ends(experiment, Lineage.parse(trial.lineage))[score.rung],
                    "validation": score.accuracy,
                    "parameters": quantities["parameters"],
                    "macs": quantities["macs"],
                    "latency_ms": quantities.get("latency_ms", math.nan),
                    "size_kb": quantities.get("size_kb", math.nan),
                    "lacks": found[number].missing,
                    "front": number in best,
                    "winner": number == chosen,
                }
            )
    return rows


def size_name(experiment: Experiment) -> str:
    assert experiment.search is not None
    return measure(experiment.search)
