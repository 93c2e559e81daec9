"""From an experiment to jobs: what each training depends on, and which trainings there are."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from modelswitch.config.augment import Augmentation
from modelswitch.config.base import argument_texts, digest, imports
from modelswitch.config.deploy import DeployJob, FormatName
from modelswitch.config.experiment import Experiment
from modelswitch.config.job import Job, Teacher
from modelswitch.config.models import ChangedModel, ModelSpec, weights_of
from modelswitch.config.training import Training
from modelswitch.config.transfer import Hint, Quantise, Transfer
from modelswitch.config.weighting import MatchedWeighting
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.storage.code_digest import own_digest
from modelswitch.storage.contents import named_digests


class Graph:
    """The jobs of an experiment. Each is built once: Snakemake asks for it several times."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        # Digests of the user's own modules, by path, and of the files that their arguments name.
        sections = [experiment, *experiment.all_transfers.values()]
        self.code = {path: own_digest(path) for part in sections for path in imports(part)}
        texts = {text for part in sections for text in argument_texts(part)}
        self.code |= named_digests(sorted(texts))
        # Views that responses are stored for, by the end of their files' names.
        self.views_stored = {
            self._views_name(views): views
            for views in (self._views(None), *map(self._views, experiment.all_transfers.values()))
        }
        self.train_job = functools.cache(self._train_job)
        self.hint_job = functools.cache(self._hint_job)
        self.origin_job = functools.cache(self._origin_job)
        self.respond_job = functools.cache(self._respond_job)
        self.place = functools.cache(self._place)

    def _place(self, dataset: str, branch: str, lineage: str) -> ModelFolder:
        return ModelFolder(
            self.experiment.name, dataset, Replicate.parse(branch), Lineage.parse(lineage)
        )

    def places(self) -> Iterator[ModelFolder]:
        """The ends of all chains and what is trained again, for every data set and seed; each
        once."""
        ends = dict.fromkeys(self.experiment.lineages.values())
        for dataset in self.experiment.datasets:
            for seed in self.experiment.seeds:
                for lineage in ends:
                    yield ModelFolder(self.experiment.name, dataset, Replicate(seed), lineage)
                for lineage in self.experiment.all_lineages:
                    for repeat in range(1, self.experiment.repeats_of(lineage)):
                        again = Replicate(seed, repeat=repeat)
                        yield ModelFolder(self.experiment.name, dataset, again, lineage)

    def all_places(self) -> list[ModelFolder]:
        """All models that are trained: ends of chains, what lies above them, fold teachers."""
        found: dict[ModelFolder, None] = {}

        def visit(place: ModelFolder) -> None:
            if place in found:
                return
            found[place] = None
            for teacher in self.teachers(place):
                visit(teacher)
                for fold in self.fold_teachers(teacher) if self.stores(place) else ():
                    visit(fold)
            for member in self.members(place):
                visit(member)
            matched = self.matched(place)
            if matched is not None:
                visit(matched)

        for place in self.places():
            visit(place)
        return list(found)

    def models(self) -> list[ModelFolder]:
        """What the results are about: all models but the fold teachers.

        With out-of-fold responses no training reads the first model itself, yet students are
        compared with it.
        """
        return [place for place in self.all_places() if place.branch.fold is None]

    def exported(self) -> list[ModelFolder]:
        """The models that become files for devices, of every data set and seed."""
        return [
            ModelFolder(self.experiment.name, dataset, Replicate(seed), lineage)
            for dataset in self.experiment.datasets
            for seed in self.experiment.deployed_seeds
            for lineage in self.experiment.deployed
        ]

    def deploy_job(self, format: FormatName) -> DeployJob:
        """All but the model that an export into a format depends on."""
        deploy = self.experiment.deploy
        assert deploy is not None
        return DeployJob(
            format=format,
            preprocessing=deploy.preprocessing,
            calibration=deploy.calibration,
            tolerance=deploy.tolerance,
        )

    def transfer(self, place: ModelFolder) -> Transfer | None:
        name = place.lineage.last.transfer
        return None if name is None else self.experiment.all_transfers[name]

    def _at(self, place: ModelFolder, lineage: Lineage) -> ModelFolder:
        """What a place is made from: of a seed's repeats all have the same, the first."""
        return ModelFolder(place.experiment, place.dataset, place.branch.first, lineage)

    def _views(self, transfer: Transfer | None) -> Augmentation:
        """What views of images look like in a transfer, or in a training on labels alone."""
        return (transfer and transfer.augment) or self.experiment.data.augment

    def _views_name(self, views: Augmentation) -> str:
        if views == self.experiment.data.augment:
            return ""
        return f"-{digest(views.canonical())[:8]}"

    def stored_for(self, place: ModelFolder) -> str:
        """What the names of stored responses that a place reads end with: they differ where views
        do."""
        return self._views_name(self._views(self.transfer(place)))

    def parent(self, place: ModelFolder) -> ModelFolder:
        """Where a place that is no first model was switched from."""
        parent = place.lineage.parent
        assert parent is not None
        return self._at(place, parent)

    def teachers(self, place: ModelFolder) -> list[ModelFolder]:
        """Who guides a place, nearest first."""
        transfer = self.transfer(place)
        if transfer is None:
            return []
        above = [self._at(place, lineage) for lineage in place.lineage.ancestors()]
        return above if transfer.guides == "ancestors" else above[:1]

    def stores(self, place: ModelFolder) -> bool:
        """Whether the teachers' responses come from files."""
        transfer = self.transfer(place)
        return transfer is not None and transfer.views == "stored"

    def folds(self, branch: Replicate) -> int:
        """Folds of the responses in a branch: a fold's own teachers answer as they are."""
        return self.experiment.responses.folds if branch.fold is None else 0

    def fold_teachers(self, teacher: ModelFolder) -> list[ModelFolder]:
        folds = self.folds(teacher.branch)
        return [
            ModelFolder(
                teacher.experiment,
                teacher.dataset,
                Replicate(teacher.branch.seed, fold, folds),
                teacher.lineage,
            )
            for fold in range(folds)
        ]

    def responders(self, teacher: ModelFolder) -> list[ModelFolder]:
        """The models whose responses are stored for a teacher."""
        return self.fold_teachers(teacher) or [teacher]

    def model(self, place: ModelFolder) -> ModelSpec:
        """What the configuration says of a place's model."""
        return self.experiment.all_models[place.lineage.last.model]

    def is_adopted(self, place: ModelFolder) -> bool:
        """Whether a place's model is taken as it is and never trained."""
        return place.lineage.parent is None and place.lineage.last.model in self.experiment.adopted

    def members(self, place: ModelFolder) -> list[ModelFolder]:
        """The models that an ensemble is made of; none for any other."""
        members = self.experiment.members(self.model(place))
        return [self._at(place, lineage) for lineage in members]

    def has_origin(self, place: ModelFolder) -> bool:
        """Whether the weights that a training starts from are made in a step of their own."""
        given = weights_of(self.model(place)) is not None and not self.is_adopted(place)
        return given or bool(self.made_from(place))

    def made_from(self, place: ModelFolder) -> list[ModelFolder]:
        """The model that a place's first weights and its architecture are made from, if any."""
        changed = isinstance(self.model(place), ChangedModel)
        return [self.parent(place)] if changed or self.quantise(place) is not None else []

    def measured(self, dataset: str) -> dict[str, ModelFolder]:
        """Of the designs that weights decide about, by their names, a model that is of each: of the
        first seed."""
        branch = Replicate(self.experiment.seeds[0])
        return {
            design: ModelFolder(
                self.experiment.name, dataset, branch, self.experiment.designs[design]
            )
            for design in self.experiment.estimated
        }

    def quantise(self, place: ModelFolder) -> Quantise | None:
        """How a place goes on with the model before it as integers, if it does."""
        transfer = self.transfer(place)
        return None if transfer is None else transfer.quantise

    def hint(self, place: ModelFolder) -> Hint | None:
        transfer = self.transfer(place)
        return None if transfer is None else transfer.hint

    def pretrains(self, place: ModelFolder) -> bool:
        hint = self.hint(place)
        return hint is not None and hint.mode == "pretrain"

    def needs_live_teachers(self, place: ModelFolder) -> bool:
        """Whether the teachers' weights are read: not if all that is needed of them is stored."""
        transfer = self.transfer(place)
        return not self.stores(place) or (transfer is not None and bool(transfer.joint_hints))

    def matched(self, place: ModelFolder) -> ModelFolder | None:
        """The training whose mean weights this one takes, of repeats the same one."""
        transfer = self.transfer(place)
        if transfer is None or not isinstance(transfer.weighting, MatchedWeighting):
            return None
        return dataclasses.replace(place, lineage=place.lineage.sibling(transfer.weighting.to))

    def _job(self, place: ModelFolder, views: Augmentation | None = None, **settings: Any) -> Job:
        """A job of a place, by what it does not share with others of that place."""
        data = self.experiment.data
        job = Job(
            dataset=place.dataset,
            branch=str(place.branch),
            lineage=str(place.lineage),
            model=self.model(place),
            augmentation=views or self._views(self.transfer(place)),
            validation=data.validation,
            **settings,
        )
        if not self.code:
            return job
        return job.model_copy(update={"code": self.own(job)})

    def own(self, *sections: BaseModel) -> dict[str, str]:
        """Digests of the user's own modules in sections of the configuration, by path, and of the
        files that are named among their arguments."""
        named = {name for part in sections for name in imports(part) | argument_texts(part)}
        return {name: self.code[name] for name in sorted(named & self.code.keys())}

    def _teacher(self, place: ModelFolder, stored_for: str | None = None) -> Teacher:
        return Teacher(
            lineage=str(place.lineage),
            model=self.model(place),
            digest=self.train_job(place).digest,
            responses=("" if stored_for is None else self.respond_job(place, stored_for).digest),
        )

    def _train_job(self, place: ModelFolder) -> Job:
        """The job of a first model or of a switch."""
        stored, matched = self.stores(place), self.matched(place)
        stored_for = self.stored_for(place) if stored else None
        return self._job(
            place,
            # What is taken as it is depends on no setting of a training.
            training=Training()
            if self.is_adopted(place)
            else self.experiment.training_of(place.lineage.last),
            transfer=self.transfer(place),
            teachers=[
                self._teacher(teacher, stored_for)
                for teacher in (*self.teachers(place), *self.members(place))
            ],
            hint=self.hint_job(place).digest if self.pretrains(place) else "",
            origin=self._origin(place),
            matched="" if matched is None else self.train_job(matched).digest,
            stored_views=self.experiment.responses.views if stored else 0,
            folds=self.folds(place.branch) if stored else 0,
        )

    def _hint_job(self, place: ModelFolder) -> Job:
        """The pre-training of a student's front; of the transfer it depends on the hint alone.

        Trainings that are cut short start from what the whole one starts from.
        """
        place = place.whole
        return self._job(
            place,
            training=self.experiment.hint_training_of(place.lineage.last),
            transfer=Transfer(hint=self.hint(place)),
            teachers=[self._teacher(self.parent(place))],
            origin=self._origin(place),
        )

    def _origin_job(self, place: ModelFolder) -> Job:
        """The making of the weights that a training starts from; of its settings it needs none, and
        of its transfer only what makes integers of them."""
        place = place.whole
        parents = [self._teacher(parent) for parent in self.made_from(place)]
        quantise = self.quantise(place)
        transfer = None if quantise is None else Transfer(quantise=quantise)
        return self._job(place, training=Training(), transfer=transfer, teachers=parents)

    def _origin(self, place: ModelFolder) -> str:
        return self.origin_job(place).digest if self.has_origin(place) else ""

    def _respond_job(self, place: ModelFolder, stored_for: str = "") -> Job:
        """The storing of a teacher's responses to the views of a name (`stored_for`)."""
        return self._job(
            place,
            views=self.views_stored[stored_for],
            training=self.experiment.training_of(place.lineage.last),
            teachers=[self._teacher(model) for model in self.responders(place)],
            stored_views=self.experiment.responses.views,
            folds=self.folds(place.branch),
        )
