"""What a search has tried, step by step, as files: everything else can be made anew from them.

Light to import, for Snakemake reads them to know what to train: no torch in here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelswitch.errors import UserError
from modelswitch.lineage import EXPERIMENT_FOLDER
from modelswitch.storage import atomic

SEARCH_FOLDER = f"{EXPERIMENT_FOLDER}/search"
STEP_FILE = f"{SEARCH_FOLDER}/{{arm}}/step{{step}}.json"
DESIGNS_FILE = f"{SEARCH_FOLDER}/designs.json"


@dataclass(frozen=True)
class Trial:
    """One student that is tried: its number, what was chosen, and the chain that this makes."""

    number: int
    values: dict[str, str]
    lineage: str


@dataclass(frozen=True)
class Score:
    """What a student reached on a rung, on validation images, as means over the search's seeds.

    `teacher` is what the first model of its chain reached.
    """

    number: int
    rung: int
    accuracy: float
    teacher: float


@dataclass(frozen=True)
class SearchStep:
    """What is trained in a step, and what came of those that were trained in the one before."""

    arm: str
    step: int
    rung: int
    trials: list[Trial]
    scores: list[Score] = field(default_factory=list)

    def write(self, path: str | Path) -> None:
        atomic.write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def read(path: str | Path) -> SearchStep:
    """A step; raises `UserError` for a file that is none."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        trials = [Trial(**trial) for trial in values.pop("trials")]
        scores = [Score(**score) for score in values.pop("scores")]
        return SearchStep(trials=trials, scores=scores, **values)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no step of a search; remove it ({error})") from error


class Record:
    """All steps of a search so far, in their order."""

    def __init__(self, steps: Iterable[SearchStep]) -> None:
        self.steps = list(steps)
        self.trials = {trial.number: trial for step in self.steps for trial in step.trials}
        self._scores = {
            (score.rung, score.number): score for step in self.steps for score in step.scores
        }

    def on(self, rung: int) -> dict[int, Score]:
        """By number, the scores on a rung."""
        return {number: score for (r, number), score in self._scores.items() if r == rung}

    @property
    def highest(self) -> dict[int, Score]:
        """By number, the score of every student on the highest rung that it got to."""
        return {number: self._scores[key] for key in sorted(self._scores) for number in [key[1]]}


Quantities = Mapping[str, float]
