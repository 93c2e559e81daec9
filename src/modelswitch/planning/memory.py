"""How much memory jobs need, before any of them has run.

The processor's, for a run without a GPU has everything there. Compared with trainings at 224 x 224
(docs/memory.md), estimates are within a third of what was taken.
"""

import math
from collections.abc import Mapping

from modelswitch.config.data import DataSpec
from modelswitch.config.experiment import Experiment
from modelswitch.config.job import Job
from modelswitch.config.models import TimmModel, TorchvisionModel
from modelswitch.data.arrays import COPIES, LARGE
from modelswitch.data.shapes import DataSize
from modelswitch.execution.free_memory import available_memory
from modelswitch.graph import Graph
from modelswitch.lineage import ModelFolder
from modelswitch.models.answers import BATCH, BUDGET
from modelswitch.models.memory import Footprint
from modelswitch.selector.graph import SelectorGraph
from modelswitch.selector.outputs import selector_conditions

# Of a process before it has read anything, and what the two libraries of models add.
_PROCESS, _LIBRARIES = 620e6, 200e6
# What the allocator leaves unused between blocks, and operations need for themselves.
_LOOSE = 1.5
# What is asked for beside the estimate.
_RESERVE = 1.2
# A process that uses a GPU takes so much of the processor's memory for CUDA's libraries.
_WITH_GPU = 3000
_FLOAT, _INDEX = 4, 8
# Tensors are stored without their memory format, and as one block of bytes before it is written.
_COPIES_TO_WRITE = 2
# Where images go through the disk: what of them is in memory, and what each is remembered by, to
# find it again in another split.
_STREAMED, _LOOKS = 300e6, 1500

Footprints = Mapping[tuple[str, str], Footprint]


class Needs:
    """Megabytes that the jobs of an experiment need.

    Args:
        sizes: of its data sets.
        footprints: by data set and design.
    """

    def __init__(
        self, experiment: Experiment, sizes: Mapping[str, DataSize], footprints: Footprints
    ) -> None:
        self._experiment, self._graph = experiment, Graph(experiment)
        self._sizes, self._footprints = sizes, footprints

    def of_lineages(self) -> dict[str, dict[str, int]]:
        """By data set and lineage, what the most demanding of a model's jobs needs."""
        found: dict[str, dict[str, float]] = {}

        def note(place: ModelFolder, taken: float) -> None:
            of_dataset, lineage = found.setdefault(place.dataset, {}), str(place.lineage)
            of_dataset[lineage] = max(of_dataset.get(lineage, 0.0), taken)

        for place in self._graph.all_places():
            note(place, self._training(self._graph.train_job(place), place))
            if self._graph.pretrains(place):
                note(place, self._training(self._graph.hint_job(place), place))
            for teacher in self._graph.teachers(place) if self._graph.stores(place) else ():
                note(teacher, self._responses(teacher, self._graph.stored_for(place)))
        if self._experiment.selector is not None:
            selection = SelectorGraph(self._graph)
            for branch, name in selection.pairs():
                for place in selection.recognisers(branch, name):
                    note(place, self._degraded(place))
        return {
            dataset: {lineage: self._asked(taken) for lineage, taken in lineages.items()}
            for dataset, lineages in found.items()
        }

    def on_gpu(self) -> dict[str, int]:
        """Megabytes of a GPU's memory that the most demanding training takes, of first models and
        of those that are switched to; CUDA's own share excepted."""
        found: dict[str, float] = {}
        for place in self._graph.all_places():
            jobs = [self._graph.train_job(place)]
            jobs += [self._graph.hint_job(place)] if self._graph.pretrains(place) else []
            rule = "train" if place.lineage.parent is None else "distil"
            for job in jobs:
                state, others, step = self._held(job, place)
                passing = max(step, self._footprint(place).answering(BUDGET))
                taken = self._padded(job, place) + state + others + _LOOSE * passing
                found[rule] = max(found.get(rule, 0.0), taken)
        return {rule: math.ceil(_RESERVE * taken / 1e6) for rule, taken in found.items()}

    def of_data(self) -> int:
        """Of whatever works on all of the data sets, or on what models answered on them."""
        images = sum(self._pixels(size) * _all(size) for size in self._sizes.values())
        taken = [_PROCESS + _LIBRARIES + 4 * images]
        if images_stay_on_disk(self._experiment.data, self._sizes):
            taken = [
                _PROCESS + _LIBRARIES + _STREAMED + _LOOKS * sum(map(_all, self._sizes.values()))
            ]
        answers = sum(self._answers(place.dataset) for place in self._graph.models())
        taken.append(_PROCESS + _LIBRARIES + 3 * answers)
        comparison = self._experiment.selector
        if comparison is not None:
            selection = SelectorGraph(self._graph)
            several, size = len(self._sizes), next(iter(self._sizes.values()))
            stored = sum(map(self._answers, self._sizes)) * (1 + len(selection.degradations.sets))
            conditions = max(
                len(selector_conditions(selection.modalities, selection.degradations, s))
                for s in comparison.selectors.values()
            )
            rows = conditions * size.to_validate(self._experiment.data.validation)
            # The outputs of a condition, and what a selector sees of them: of each modality, at
            # most, its outputs at the classes that each finds likeliest.
            seen = _FLOAT * size.classes * several * (1 + several)
            taken.append(_PROCESS + 3 * stored + 2 * rows * seen)
        return self._asked(max(taken))

    def _asked(self, taken: float) -> int:
        """Megabytes, in hundreds, with a reserve."""
        rounded = 100 * math.ceil(_RESERVE * taken / 1e8)
        return max(rounded, _WITH_GPU) if self._experiment.resources.gpu else rounded

    @staticmethod
    def _pixels(size: DataSize) -> int:
        return math.prod(size.shape)

    def _answers(self, dataset: str) -> float:
        """What a model answers at the end, on images held back and for testing."""
        size = self._sizes[dataset]
        images = size.to_validate(self._experiment.data.validation) + size.test
        return _FLOAT * size.classes * images

    def _family_of(self, place: ModelFolder) -> ModelFolder:
        """The model that a place's was made from, and so on, to one of a family."""
        above = self._graph.made_from(place)
        return self._family_of(above[0]) if above else place

    def _process(self, *places: ModelFolder) -> float:
        kinds = {type(self._graph.model(place)) for place in map(self._family_of, places)}
        return _PROCESS + (_LIBRARIES if kinds & {TimmModel, TorchvisionModel} else 0)

    def _images(self, job: Job, place: ModelFolder) -> float:
        """The prepared data set, the part of it that is trained on, and that with a border; of
        images on disk two batches, one of which is read while the other is computed with."""
        if images_stay_on_disk(self._experiment.data, self._sizes):
            return 4 * self._pixels(self._sizes[place.dataset]) * max(job.training.batch, BATCH)
        size = self._sizes[place.dataset]
        held = self._pixels(size) * (_all(size) + size.to_train(job.validation))
        return held + self._with_border(job, place)

    def _with_border(self, job: Job, place: ModelFolder) -> float:
        size, border = self._sizes[place.dataset], 2 * job.augmentation.crop
        height, width, channels = size.shape
        return (height + border) * (width + border) * channels * size.to_train(job.validation)

    def _padded(self, job: Job, place: ModelFolder) -> float:
        """The images that are where a training computes."""
        on_disk = images_stay_on_disk(self._experiment.data, self._sizes)
        return 0.0 if on_disk else self._with_border(job, place)

    def _footprint(self, place: ModelFolder) -> Footprint:
        return self._footprints[place.dataset, self._experiment.design(place.lineage)]

    def _training(self, job: Job, place: ModelFolder) -> float:
        state, others, step = self._held(job, place)
        passing = max(step, self._footprint(place).answering(BUDGET), _COPIES_TO_WRITE * state)
        return (
            self._process(place, *self._answering(job, place))
            + self._images(job, place)
            + state
            + others
            + 3 * self._answers(place.dataset)
            + _LOOSE * passing
        )

    def _answering(self, job: Job, place: ModelFolder) -> list[ModelFolder]:
        """The models that answer beside the one that is trained."""
        stored = not self._graph.needs_live_teachers(place)
        if stored and job.transfer and not job.transfer.hint:
            return []
        return list(self._graph.teachers(place))

    def _held(self, job: Job, place: ModelFolder) -> tuple[float, float, float]:
        """Of a training what its model takes with moments, gradients excepted; what others beside
        it take; and what passes in a step."""
        size = self._sizes[place.dataset]
        images = min(job.training.batch, size.to_train(job.validation))
        model = self._footprint(place)
        moments = 1 if job.training.optimizer == "sgd" else 2
        moments += bool(job.training.average) + bool(job.training.stop.patience)
        height, width, channels = size.shape
        # Indices of pixels, the pixels, and these as numbers before and after normalising.
        views = images * height * width * (2 * _INDEX + channels * (1 + 2 * _FLOAT))
        others = [self._footprint(teacher) for teacher in self._answering(job, place)]
        step = views + model.kept * images + model.weights
        step += max((other.fixed + other.each * images for other in others), default=0)
        return model.weights * (1 + moments), sum(other.weights for other in others), step

    def _responses(self, teacher: ModelFolder, views: str) -> float:
        job, model = self._graph.respond_job(teacher, views), self._footprint(teacher)
        # What is answered goes to the disk as it comes.
        return (
            self._process(teacher)
            + self._images(job, teacher)
            + model.weights * len(job.teachers)
            + _LOOSE * model.answering(BUDGET)
        )

    def _degraded(self, place: ModelFolder) -> float:
        job, size = self._graph.train_job(place), self._sizes[place.dataset]
        model = self._footprint(place)
        images = max(size.to_validate(job.validation), size.test)
        working = 6 * _FLOAT * self._pixels(size) * min(images, BATCH)
        # Images are degraded as they are answered, and the answers to each set go to the disk.
        return (
            self._process(place)
            + _LIBRARIES
            + self._images(job, place)
            + model.weights
            + _LOOSE * (model.answering(BUDGET) + working)
            + 3 * self._answers(place.dataset)
        )


def images_stay_on_disk(data: DataSpec, sizes: Mapping[str, DataSize]) -> bool:
    """Whether trainings read images from disk as they use them, as far as this machine can tell."""
    if data.keep != "auto":
        return data.keep == "disk"
    taken = [bytes_of(size) for size in sizes.values()]
    return any(size >= LARGE and COPIES * size > available_memory() for size in taken)


def bytes_of(size: DataSize) -> int:
    """What the images of a data set take, in uint8."""
    return math.prod(size.shape) * _all(size)


def _all(size: DataSize) -> int:
    return size.train + size.test + (size.validation or 0)
