"""What models answered on validation images, read from the files that trainings left."""

from collections.abc import Iterable
from pathlib import Path

from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder
from modelswitch.models import metrics
from modelswitch.search.places import cut_places, teacher_places
from modelswitch.search.steps import Score, SearchStep
from modelswitch.storage import artifacts


def accuracy(graph: Graph, results: Path, places: Iterable[ModelFolder], split: str) -> list[float]:
    """Of each model, its accuracy on the images of a split."""
    found = []
    for place in places:
        tensors, _ = artifacts.load(
            results / place.file("outputs.safetensors"),
            kind="outputs",
            job_digest=graph.train_job(place).digest,
        )
        found.append(metrics.accuracy(tensors[f"{split}.logits"], tensors[f"{split}.labels"]))
    return found


def scores_of(graph: Graph, results: Path, step: SearchStep) -> list[Score]:
    """What the students that a step trained reached."""
    experiment, teachers = graph.experiment, {}

    def mean(places: list[ModelFolder]) -> float:
        each = accuracy(graph, results, places, "validation")
        return sum(each) / len(each)

    scores = []
    for trial in step.trials:
        lineage = Lineage.parse(trial.lineage)
        first = lineage.steps[0]
        if first not in teachers:
            teachers[first] = mean(teacher_places(experiment, lineage))
        own = mean(cut_places(experiment, lineage, step.rung))
        scores.append(Score(trial.number, step.rung, own, teachers[first]))
    return scores
