"""Everything that an experiment computes, how long each part takes, and what it waits for."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelswitch.config.data import EyesData
from modelswitch.config.job import Job
from modelswitch.config.training import Training
from modelswitch.config.transfer import Layer, LayerPair
from modelswitch.data.batches import epoch_cuts
from modelswitch.data.shapes import DataSize
from modelswitch.graph import Graph
from modelswitch.lineage import ModelFolder
from modelswitch.selector.graph import EMBEDDINGS, SelectorGraph
from modelswitch.selector.outputs import selector_conditions


class Pace(Protocol):
    """How fast a machine is: seconds, for one data set's images; a model is one of the designs."""

    def step(self, dataset: str, model: str, training: Training, images: int) -> float:
        """One training step of a model on its own, on a batch of so many images."""
        ...

    def answer(self, dataset: str, model: str, training: Training, images: int) -> float:
        """The answers of a model to a batch of so many images."""
        ...

    def front(self, dataset: str, model: str, layer: Layer) -> float:
        """The share of a pass that is over when an inner layer has its output."""
        ...

    def hints(
        self,
        dataset: str,
        student: str,
        teacher: str,
        pairs: Sequence[LayerPair],
        training: Training,
        images: int,
    ) -> float:
        """What hints add to a step beside the passes of both models: regressors and losses."""
        ...

    def degrade(self, dataset: str) -> float:
        """Degrading one image in all the ways that the selectors are tried on."""
        ...

    def selector_step(self, name: str, images: int) -> float:
        """One training step of a selector."""
        ...


@dataclass(frozen=True)
class Task:
    """One job: its kind, the files that it makes, how long it takes, and whose files it needs."""

    kind: str
    makes: str
    seconds: float
    needs: tuple[str, ...] = ()


TRAININGS = {
    "model": "models",
    "front": "pre-trained fronts",
    "fold": "fold teachers",
    "selector": "selectors",
}
ANSWERS = {
    "adopted": "models taken as they are",
    "responses": "sets of stored responses",
    "degraded": "sets of degraded outputs",
    "embedded": "sets of inner vectors of people in no training",
}


class Tasks:
    """The jobs of an experiment that take long, each once.

    Args:
        graph: of the experiment.
        sizes: of its data sets; where one is not known, times are NaN.
        pace: of the machine.
    """

    def __init__(self, graph: Graph, sizes: dict[str, DataSize], pace: Pace) -> None:
        self._graph, self._sizes, self._pace = graph, sizes, pace
        self._known = set(sizes) == set(graph.experiment.datasets)
        self._found: dict[str, Task] = {}
        for place in graph.all_places():
            self._add_training(place)
        if graph.experiment.selector is not None:
            self._add_selectors(SelectorGraph(graph))

    def __iter__(self) -> Iterator[Task]:
        return iter(self._found.values())

    @property
    def seconds(self) -> float:
        """All of them one after the other."""
        return sum(task.seconds for task in self)

    @property
    def longest(self) -> float:
        """The chain of jobs, each waiting for the one before, that takes longest."""
        done: dict[str, float] = {}

        def end(name: str) -> float:
            if name not in done:
                task = self._found[name]
                done[name] = task.seconds + max(map(end, task.needs), default=0.0)
            return done[name]

        return max(map(end, self._found), default=0.0)

    def _add(self, kind: str, makes: str, needs: list[str], seconds: Callable[[], float]) -> str:
        if makes not in self._found:
            taken = seconds() if self._known else math.nan
            self._found[makes] = Task(kind, makes, taken, tuple(needs))
        return makes

    def _add_training(self, place: ModelFolder) -> None:
        graph, job = self._graph, self._graph.train_job(place)
        needs = []
        if graph.needs_live_teachers(place):
            needs += [_trained(teacher) for teacher in graph.teachers(place)]
        if graph.stores(place):
            views = graph.stored_for(place)
            needs += [self._add_responses(teacher, views) for teacher in graph.teachers(place)]
        if graph.pretrains(place):
            parent = graph.parent(place)
            needs.append(
                self._add(
                    "front",
                    place.file("hint.safetensors"),
                    [_trained(parent)],
                    lambda: self._of_front(graph.hint_job(place), place, parent),
                )
            )
        made_from = (*graph.members(place), *graph.made_from(place))
        needs += [_trained(other) for other in made_from]
        if (matched := graph.matched(place)) is not None:
            needs.append(_trained(matched))
        kind = "model" if place.branch.fold is None else "fold"
        if graph.is_adopted(place):
            kind = "adopted"
        self._add(kind, _trained(place), needs, lambda: self._of_training(job, place))

    def _add_responses(self, teacher: ModelFolder, views: str) -> str:
        job = self._graph.respond_job(teacher, views)
        return self._add(
            "responses",
            teacher.file(f"responses{views}.safetensors"),
            [_trained(model) for model in self._graph.responders(teacher)],
            lambda: (
                job.stored_views
                * self._trained_on(job, teacher)
                * self._answer_an_image(job, teacher)
            ),
        )

    def _add_selectors(self, selection: SelectorGraph) -> None:
        for branch, name in selection.pairs():
            places = selection.recognisers(branch, name)
            if selection.settings.verification is not None:
                for place in places:
                    self._add(
                        "embedded",
                        place.file(EMBEDDINGS),
                        [_trained(place)],
                        functools.partial(self._of_embedded, selection, place),
                    )
            needs = [
                self._add(
                    "degraded",
                    place.file("degraded.safetensors"),
                    [_trained(place)],
                    functools.partial(self._of_degraded, selection, place),
                )
                for place in places
            ]
            self._add(
                "selector",
                selection.model(branch, name),
                needs,
                functools.partial(self._of_selector, selection, name, places[0]),
            )

    # ------------------------------------------------------------------------------ how long

    def _trained_on(self, job: Job, place: ModelFolder) -> int:
        """Images that a model is trained on; of every class as many are held back, and rounded."""
        images = self._sizes[place.dataset].to_train(job.validation)
        fold, folds = place.branch.fold, place.branch.folds
        return images if fold is None or not folds else round(images * (folds - 1) / folds)

    def _steps(self, job: Job, place: ModelFolder) -> tuple[int, int]:
        """Steps of an epoch, and images of the largest."""
        cuts = epoch_cuts(self._trained_on(job, place), job.training.batch)
        return len(cuts) - 1, _largest(cuts)

    def _design(self, place: ModelFolder) -> str:
        return self._graph.experiment.design(place.lineage)

    def _answer_an_image(self, job: Job, place: ModelFolder) -> float:
        _, images = self._steps(job, place)
        return self._pace.answer(place.dataset, self._design(place), job.training, images) / images

    def _of_training(self, job: Job, place: ModelFolder) -> float:
        size = self._sizes[place.dataset]
        steps, images = self._steps(job, place)
        answer = self._answer_an_image(job, place)
        held_back = size.to_validate(job.validation)
        if self._graph.is_adopted(place):
            return (held_back + size.test) * answer
        step = self._pace.step(place.dataset, self._design(place), job.training, images)
        step += self._of_teachers(job, place, images)
        validating = job.training.epochs * held_back * answer
        return job.training.epochs * steps * step + validating + (held_back + size.test) * answer

    def _of_teachers(self, job: Job, place: ModelFolder, images: int) -> float:
        """What teachers add to a step: all of their answers, or the part up to the hint layer; and
        the hints themselves, as many of them as an epoch has."""
        transfer, teachers = job.transfer, self._graph.teachers(place)
        if transfer is None or not teachers:
            return 0.0
        pairs, epochs, parent = transfer.joint_hints, job.training.epochs, self._design(teachers[0])
        hinted = 0.0
        if pairs:
            own = self._design(place)
            hinted = self._pace.hints(place.dataset, own, parent, pairs, job.training, images)
            weights = [pair.weight_in(epoch, epochs) for pair in pairs for epoch in range(epochs)]
            hinted *= sum(weight > 0 for weight in weights) / len(weights)
        answers = [
            self._pace.answer(place.dataset, self._design(teacher), job.training, images)
            for teacher in teachers
        ]
        if not self._graph.stores(place):
            # With a hint beside it, the parent's answer passes the hint layer on its way.
            kept, count = 1 - transfer.drop, len(teachers)
            return hinted + sum(answers) * (kept + transfer.drop**count / count)
        # The last stage is about the whole of a model.
        fronts = [
            1.0 if pair.stages else self._pace.front(place.dataset, parent, pair.teacher_layer)
            for pair in pairs
        ]
        passed = 0.0
        for epoch in range(epochs):
            # A pass ends at the deepest layer of the hints that have not ended.
            shares = [
                front
                for pair, front in zip(pairs, fronts, strict=True)
                if pair.weight_in(epoch, epochs)
            ]
            passed += max(shares, default=0.0)
        return hinted + answers[0] * passed / epochs

    def _of_front(self, job: Job, place: ModelFolder, parent: ModelFolder) -> float:
        assert job.transfer is not None
        assert job.transfer.hint is not None
        hint, (steps, images) = job.transfer.hint, self._steps(job, place)
        front = self._pace.front
        own, above = self._design(place), self._design(parent)
        step = self._pace.step(place.dataset, own, job.training, images)
        answer = self._pace.answer(place.dataset, above, job.training, images)
        step *= front(place.dataset, own, hint.student_layer)
        answer *= front(place.dataset, above, hint.teacher_layer)
        return job.training.epochs * steps * (step + answer)

    def _of_degraded(self, selection: SelectorGraph, place: ModelFolder) -> float:
        job, size = self._graph.train_job(place), self._sizes[place.dataset]
        images = size.to_validate(job.validation) + size.test
        return images * self._on_every_set(selection, place)

    def _of_embedded(self, selection: SelectorGraph, place: ModelFolder) -> float:
        data, settings = self._graph.experiment.data, selection.settings.verification
        assert settings is not None
        images = (
            settings.people * settings.captures
            if isinstance(data, EyesData)
            else self._sizes[place.dataset].strangers
        )
        return images * self._on_every_set(selection, place)

    def _on_every_set(self, selection: SelectorGraph, place: ModelFolder) -> float:
        """One image under every degradation, and what a recogniser makes of it."""
        answers = (1 + len(selection.degradations.sets)) * self._answer_an_image(
            self._graph.train_job(place), place
        )
        return answers + self._pace.degrade(place.dataset)

    def _of_selector(self, selection: SelectorGraph, name: str, place: ModelFolder) -> float:
        comparison = self._graph.experiment.selector
        assert comparison is not None
        settings, training = comparison.selectors[name], comparison.training
        conditions = selector_conditions(selection.modalities, selection.degradations, settings)
        data = self._graph.experiment.data
        rows = len(conditions) * self._sizes[place.dataset].to_validate(data.validation)
        cuts = epoch_cuts(rows, training.batch)
        return training.epochs * (len(cuts) - 1) * self._pace.selector_step(name, _largest(cuts))


def _trained(place: ModelFolder) -> str:
    return place.file("model.safetensors")


def _largest(cuts: list[int]) -> int:
    return max(after - before for before, after in itertools.pairwise(cuts))
