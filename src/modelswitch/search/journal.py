"""A search as Optuna's own journal, for tools that read one, as its dashboard does.

It is written when all is over, and nothing here reads it: a search goes by the files of its steps.
"""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelswitch.config.experiment import Experiment
from modelswitch.lineage import Lineage
from modelswitch.search.designs import Known
from modelswitch.search.places import rung_ends
from modelswitch.search.proposals import distribution, inner, library
from modelswitch.search.steps import Record
from modelswitch.storage import atomic


def write(path: Path, experiment: Experiment, records: Mapping[str, Record], known: Known) -> None:
    """One study for each search, by its name: students that got to the highest rung are complete,
    the others pruned, with validation accuracy after the last epoch of every rung."""
    optuna, search = library(), experiment.search
    assert search is not None
    names = search.goal.names
    with atomic.replacing(path) as part, warnings.catch_warnings():
        # Names of the objectives are called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(part))
        )
        for arm, record in records.items():
            study = optuna.create_study(
                storage=storage,
                study_name=arm,
                directions=[
                    "maximize" if name == search.goal.maximise else "minimize" for name in names
                ],
            )
            study.set_metric_names(names)
            study.add_trials(list(_trials(experiment, record, known)))


def _trials(experiment: Experiment, record: Record, known: Known) -> Iterator[Any]:
    optuna, search, choices = library(), experiment.search, experiment.choices
    assert search is not None
    assert choices is not None
    top = search.rungs.count - 1
    for number, score in sorted(record.highest.items()):
        trial = record.trials[number]
        lineage = Lineage.parse(trial.lineage)
        found = {**known.of(lineage), "validation_accuracy": score.accuracy}
        asked, ends = list(choices.asked(trial.values)), rung_ends(experiment, lineage)
        yield optuna.trial.create_trial(
            state=optuna.trial.TrialState[("PRUNED", "COMPLETE")[score.rung == top]],
            values=[found[name] for name in search.goal.names],
            params={c.name: inner(c, trial.values[c.name]) for c in asked},
            distributions={c.name: distribution(c) for c in asked},
            user_attrs={"chain": trial.lineage, **found},
            intermediate_values={
                ends[rung]: record.on(rung)[number].accuracy for rung in range(score.rung + 1)
            },
        )
