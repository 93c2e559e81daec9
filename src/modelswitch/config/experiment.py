"""An experiment's configuration: one YAML, validated before anything is planned or run.

Light to import, for it is read whenever Snakemake parses the workflow: no torch in here.
"""

import functools
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from modelswitch.config.base import Name, Strict, check_known, check_wildcard
from modelswitch.config.claim_checks import check_claims, check_looks, check_search_only
from modelswitch.config.claims import Claim
from modelswitch.config.data import DataSpec
from modelswitch.config.deploy import Deploy
from modelswitch.config.looks import Looks
from modelswitch.config.messages import describe
from modelswitch.config.models import ChangedModel, ModelSpec, is_trained
from modelswitch.config.origin import EnsembleModel, PrunedModel
from modelswitch.config.origin_checks import check_ensembles, check_steps
from modelswitch.config.power import Power
from modelswitch.config.resources import Resources
from modelswitch.config.search import Search
from modelswitch.config.search_checks import check_search
from modelswitch.config.selector import SelectorComparison
from modelswitch.config.selector_checks import check_selectors
from modelswitch.config.space import Choices
from modelswitch.config.sweeps import Sweep, Variant, check_names, variants
from modelswitch.config.switch_checks import check_switch
from modelswitch.config.training import Training, TrainingChange, merged
from modelswitch.config.transfer import Transfer
from modelswitch.errors import UserError
from modelswitch.lineage import Lineage, Step

_NO_SMOOTHING = TrainingChange.model_validate({"label_smoothing": 0.0})
RESERVED_NAMES = {"tables", "figures", "claims", "selector", "reference", "logs", "benchmarks"}


class ResponseStore(Strict):
    """How responses of teachers are stored, for transfers with views: stored."""

    views: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=8, description="fixed views of every training image, used in turn"
    )
    folds: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0,
        description="0, or k >= 2: train k teachers on k - 1 parts each, and store for every image "
        "the responses of the one that has not seen it",
    )

    @field_validator("folds")
    @classmethod
    def _none_or_some(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves nothing to train on; 0 for none, or at least 2")
        return folds


class Reporting(Strict):
    """What tables, figures and claims are made from; no training depends on it."""

    split: Literal["test", "validation"] = Field(
        default="test",
        description="images on which models are measured; `validation` is for a search: the test "
        "set then appears in no table, figure or claim, so that nothing can be chosen on it",
    )


class Experiment(Strict):
    """One experiment: data, models, how they are switched, and how often."""

    name: Name = Field(description="results go to results/<name>/")
    data: DataSpec
    models: dict[Name, ModelSpec] = Field(min_length=1)
    transfers: dict[Name, Transfer] = {}
    chains: dict[Name, str] = Field(
        default={}, description="label to lineage, e.g. direct: teacher/student@kd"
    )
    sweeps: dict[Name, Sweep] = Field(default={}, description="variants, expanded by the workflow")
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)] = [0, 1, 2]
    repeats: dict[Name, Annotated[int, Field(ge=1, le=100, strict=True)]] = Field(
        default={},
        description="model to how often every lineage that ends in it is trained for a seed: from "
        "the same teachers, with other first weights and another order of the images; the mean "
        "stands for the seed, and what follows upon such a model follows upon the first",
    )
    training: Training = Training()
    model_training: dict[Name, TrainingChange] = Field(
        default={}, description="changes to `training` for single models"
    )
    responses: ResponseStore = ResponseStore()
    selector: SelectorComparison | None = Field(
        default=None, description="selecting between modalities; needs data that has several"
    )
    deploy: Deploy | None = Field(
        default=None, description="trained models as files for devices, each measured there"
    )
    search: Search | None = Field(
        default=None, description="searching for the path to the smallest model that is good enough"
    )
    resources: Resources = Field(
        default=Resources(),
        description="of configurations of old: what a training asks of the machine is for a "
        "profile to say, see docs/cluster.md",
    )
    claims: dict[Name, Claim] = Field(
        default={}, description="what the experiment expects to find; tested on the results page"
    )
    looks: Looks | None = Field(
        default=None,
        description="when claims are judged before all seeds are there, and the study may stop: a "
        "rule that is written down before the first result. Without it there is one look, at all "
        "seeds",
    )
    power: Power | None = Field(
        default=None, description="from what the plan says which differences claims can find"
    )
    report: Reporting = Reporting()

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name == "reference":
            raise ValueError("'reference' is kept for committed results")
        return name

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds repeat: {seeds}")
        return seeds

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        for name in self.datasets:
            if name in RESERVED_NAMES:
                raise ValueError(f"data.name: {name!r} is kept for other files")
            check_wildcard("data.name", name)
        check_wildcard("name", self.name)
        if not self.chains and not self.sweeps:
            raise ValueError("chains: none given; at least one chain or sweep is needed")
        check_names(self.variants, self.transfers, self.chains)
        if self.choices is not None:
            self.choices.check_names(self.all_transfers)
        for name in self.model_training:
            check_known("model_training", name, self.models, "model")
        for name, change in self.model_training.items():
            _valid_training(f"model_training.{name}", self.training, change)
        check_ensembles(self.models, self.all_models, self.all_transfers)
        for name, count in self.repeats.items():
            check_known("repeats", name, self.models, "model")
            if count > 1 and name in self.adopted:
                raise ValueError(
                    f"repeats.{name}: found {count}, but {name!r} is never trained, so that all "
                    "repeats would be the same; leave it out"
                )
        for label, lineage in self.lineages.items():
            self._check_chain(label, lineage)
        self._check_selectors()
        if self.report.split == "validation":
            check_search_only(self.data.validation, self.selector is not None, self.claims)
        self._check_deploy()
        self._check_search()
        if self.looks is not None:
            check_looks(self.looks, self.claims, self.seeds)
        chains = dict.fromkeys([*self.lineages, *map(str, self.all_lineages)])
        check_claims(self.claims, chains, self.selector, self.datasets)
        return self

    def _check_chain(self, label: str, lineage: Lineage) -> None:
        check_steps(f"chains.{label}", lineage, self.all_models, self.all_transfers)
        for part in (lineage, *lineage.ancestors()):
            check_wildcard(f"chains.{label}", str(part))
        for step in lineage.steps:
            if step.transfer is None:
                continue
            check_switch(step.transfer, self.all_transfers, self.data.augment)
            self._check_stop(step, self.training_of(step))
            if self.all_transfers[step.transfer].hint is not None:
                self._check_stop(step, self.hint_training_of(step))

    def _check_stop(self, step: Step, training: Training) -> None:
        if training.stop.patience and self.data.validation == 0:
            raise ValueError(
                f"training of {step}: stop.patience: found {training.stop.patience}, but "
                "data.validation is 0: no images are held back to look at"
            )

    def _check_selectors(self) -> None:
        if self.selector is None:
            return
        check_selectors(self.selector, self.data)
        for name in self.selector.selectors:
            check_wildcard("selector.selectors", name)
            self.recognisers(name)

    def _check_deploy(self) -> None:
        if self.deploy is None:
            return
        if self.report.split == "validation":
            raise ValueError(
                "deploy: exported files are judged on the test set, which report.split: validation "
                "keeps out of sight; leave one of them out"
            )
        for name in self.deploy.models or ():
            check_known("deploy.models", name, self.trained, "chain or lineage")
        for seed in self.deployed_seeds:
            if seed not in self.seeds:
                raise ValueError(f"deploy.seeds: found {seed}, which is none of seeds {self.seeds}")

    def _check_search(self) -> None:
        if self.search is None:
            return
        check_search(
            self.search, self.data.validation, self.datasets, self.report.split, self.seeds
        )
        if "chains" in self.search.final.controls and not self.chains:
            raise ValueError("search.final.controls: found chains, but the configuration has none")
        assert self.choices is not None
        for lineage in self.choices.samples():
            self._check_chain("search.space", lineage)

    @functools.cached_property
    def choices(self) -> Choices | None:
        """What a search chooses from."""
        if self.search is None:
            return None
        return Choices(self.search.space, self.models, self.transfers)

    @functools.cached_property
    def trained(self) -> dict[str, Lineage]:
        """Every model that is trained, by its lineage and by the labels of its chains."""
        return {str(lineage): lineage for lineage in self.all_lineages} | self.lineages

    @property
    def deployed_seeds(self) -> list[int]:
        """The seeds whose models are exported."""
        return (self.deploy and self.deploy.seeds) or self.seeds

    @property
    def deployed(self) -> list[Lineage]:
        """The models that are exported; each once."""
        if self.deploy is None:
            return []
        chosen = self.deploy.models or list(self.lineages)
        return list(dict.fromkeys(self.trained[name] for name in chosen))

    def recognisers(self, selector: str) -> dict[str, Lineage]:
        """Modality to lineage of a selector's recognisers, in the order of the modalities."""
        where = f"selector.selectors.{selector}.recognisers"
        assert self.selector is not None
        given = self.selector.selectors[selector].recognisers
        if isinstance(given, str):
            given = dict.fromkeys(self.datasets, given)
        for modality in given:
            if modality not in self.datasets:
                raise ValueError(
                    f"{where}: unknown modality {modality!r}; allowed: {', '.join(self.datasets)}"
                )
        missing = [modality for modality in self.datasets if modality not in given]
        if missing:
            raise ValueError(f"{where}: no recogniser for {', '.join(missing)}")
        for label in given.values():
            check_known(where, label, self.trained, "chain or lineage")
        return {modality: self.trained[given[modality]] for modality in self.datasets}

    @property
    def datasets(self) -> list[str]:
        """The folder names of the data sets; several modalities have one each."""
        return self.data.datasets

    @functools.cached_property
    def all_transfers(self) -> dict[str, Transfer]:
        """Those given and those that sweeps and a search add."""
        searched = {} if self.choices is None else self.choices.transfers
        return searched | self.transfers | {v.transfer_name: v.transfer for v in self.variants}

    @functools.cached_property
    def all_models(self) -> dict[str, ModelSpec]:
        """Those given, the members that ensembles make of one, and a search's students."""
        for name, model in self.models.items():
            if isinstance(model, EnsembleModel) and isinstance(model.of, str):
                check_known(f"models.{name}.of", model.of, self.models, "model")
        searched = {} if self.choices is None else self.choices.students
        copies = {name: self.models[origin] for name, origin in self._copies.items()}
        return searched | copies | self.models

    @functools.cached_property
    def _copies(self) -> dict[str, str]:
        """Of the members that ensembles make of one model, that model."""
        return {
            member: model.of
            for model in self.models.values()
            if isinstance(model, EnsembleModel) and isinstance(model.of, str)
            for member in model.members
        }

    @functools.cached_property
    def adopted(self) -> list[str]:
        """The models that are taken as they are and never trained."""
        return [name for name, model in self.all_models.items() if not is_trained(model)]

    def members(self, model: ModelSpec) -> list[Lineage]:
        """The models that an ensemble is made of."""
        named = model.members if isinstance(model, EnsembleModel) else []
        return [Lineage.parse(member) for member in named]

    @functools.cached_property
    def all_lineages(self) -> list[Lineage]:
        """All models that there are, each once and after what it is made from."""
        found: dict[Lineage, None] = {}
        for end in self.lineages.values():
            for lineage in (*reversed(list(end.ancestors())), end):
                for member in self.members(self.all_models[lineage.last.model]):
                    found |= dict.fromkeys((*reversed(list(member.ancestors())), member))
                found[lineage] = None
        return list(found)

    def repeats_of(self, lineage: Lineage) -> int:
        """How often a lineage's last model is trained for every seed."""
        return self.repeats.get(lineage.last.model, 1)

    def quantises(self, lineage: Lineage) -> bool:
        """Whether a lineage's last step goes on with the model before it, as integers."""
        name = lineage.last.transfer
        return name is not None and self.all_transfers[name].quantise is not None

    def design(self, lineage: Lineage) -> str:
        """What all that a network costs depends on: the model's name, behind the design of the
        model that it is made from, if it is."""
        name, parent = lineage.last.model, lineage.parent
        if parent is None or self.quantises(lineage):
            return self.design(parent) if parent else name
        changed = isinstance(self.all_models[name], ChangedModel)
        return f"{self.design(parent)}/{name}" if changed else name

    @functools.cached_property
    def designs(self) -> dict[str, Lineage]:
        """Every design that there is, sorted, with the first lineage that has it."""
        found: dict[str, Lineage] = {}
        for lineage in self.all_lineages:
            found.setdefault(self.design(lineage), lineage)
        return dict(sorted(found.items()))

    @functools.cached_property
    def estimated(self) -> list[str]:
        """The designs whose sizes are known for certain when there are weights: something of them
        has been pruned."""

        def depends(lineage: Lineage) -> bool:
            model = self.all_models[lineage.last.model]
            if lineage.parent is None or not isinstance(model, ChangedModel):
                return any(map(depends, self.members(model)))
            return isinstance(model, PrunedModel) or depends(lineage.parent)

        return [design for design, lineage in self.designs.items() if depends(lineage)]

    @functools.cached_property
    def lineages(self) -> dict[str, Lineage]:
        """Label to lineage, of chains and sweeps."""
        given = {}
        for label, chain in self.chains.items():
            try:
                given[label] = Lineage.parse(chain)
            except UserError as error:
                raise ValueError(f"chains.{label}: {error}") from error
        return given | {v.label: v.lineage for v in self.variants}

    @functools.cached_property
    def variants(self) -> list[Variant]:
        """All that sweeps stand for."""
        return list(variants(self.sweeps, self.transfers))

    def training_of(self, step: Step) -> Training:
        """The training settings of a step: the experiment's, the model's, the transfer's."""
        changes = [self.model_training.get(self._copies.get(step.model, step.model))]
        if step.transfer is not None:
            transfer = self.all_transfers[step.transfer]
            if transfer.soft > 0:
                # A soft loss has softer labels already (Müller et al. 2019).
                changes.append(_NO_SMOOTHING)
            changes.append(transfer.training)
        return _valid_training(f"training of {step}", self.training, *changes)

    def hint_training_of(self, step: Step) -> Training:
        """The training settings of a student's pre-training; of a transfer that has a hint."""
        assert step.transfer is not None
        hint = self.all_transfers[step.transfer].hint
        assert hint is not None
        return _valid_training(f"hint training of {step}", self.training_of(step), hint.training)


def _valid_training(where: str, base: Training, *changes: TrainingChange | None) -> Training:
    try:
        return merged(base, *changes)
    except ValidationError as error:
        raise ValueError(f"{where}: {describe(error, Training)}") from error


_EXPERIMENT = TypeAdapter(Experiment)


def load(values: dict[str, Any], source: str = "configuration") -> Experiment:
    """The experiment that ``values`` (parsed YAML) describes; raises `UserError`.

    Args:
        source: file name for messages.
    """
    # Where results go is Snakemake's to read, and no part of what they are.
    values = {key: value for key, value in values.items() if key != "pathvars"}
    try:
        return _EXPERIMENT.validate_python(values)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error, Experiment)}") from error
