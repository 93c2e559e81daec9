"""Where the trainings of a search are: on which rung, from which seed, and going on from which.

Light to import, for Snakemake asks when it plans: no torch in here.
"""

from modelswitch.config.experiment import Experiment
from modelswitch.config.models import ChangedModel
from modelswitch.lineage import Lineage, ModelFolder, Replicate, Step


def rung_ends(experiment: Experiment, lineage: Lineage) -> list[int]:
    """After which epoch each rung ends the training of a chain's last model."""
    assert experiment.search is not None
    return experiment.search.epochs(experiment.training_of(lineage.last).epochs)


def cut_places(experiment: Experiment, lineage: Lineage, rung: int) -> list[ModelFolder]:
    """The trainings of a student on a rung, one for every seed of the search."""
    assert experiment.search is not None
    until = rung_ends(experiment, lineage)[rung]
    return [
        ModelFolder(experiment.name, experiment.datasets[0], Replicate(seed, until=until), lineage)
        for seed in experiment.search.seeds
    ]


def earlier_place(experiment: Experiment, place: ModelFolder) -> ModelFolder | None:
    """The same training on the rung below, or None on the lowest."""
    ends = rung_ends(experiment, place.lineage)
    below = [end for end in ends if place.branch.until is not None and end < place.branch.until]
    if not below:
        return None
    branch = Replicate(place.branch.seed, until=below[-1])
    return ModelFolder(place.experiment, place.dataset, branch, place.lineage)


def teacher_places(experiment: Experiment, lineage: Lineage) -> list[ModelFolder]:
    """The first models of a student's chain, in the search's seeds."""
    assert experiment.search is not None
    return whole_places(experiment, Lineage(lineage.steps[:1]), experiment.search.seeds)


def whole_places(
    experiment: Experiment, lineage: Lineage, seeds: list[int] | None = None
) -> list[ModelFolder]:
    """The whole trainings of a chain's last model, by default from the experiment's seeds."""
    return [
        ModelFolder(experiment.name, experiment.datasets[0], Replicate(seed), lineage)
        for seed in (experiment.seeds if seeds is None else seeds)
    ]


def scratch_of(experiment: Experiment, winner: Lineage) -> Lineage | None:
    """The winner's student on its own, trained on the labels; None for one that is made from
    another model, which there is not by itself."""
    student = winner.last.model
    if isinstance(experiment.all_models[student], ChangedModel):
        return None
    return Lineage((Step(student),))
