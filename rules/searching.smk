# Which trainings a search has, as far as its steps have said so.

from modelswitch.lineage import CUT_BRANCH, Lineage
from modelswitch.search import steps as search_steps
from modelswitch.search.checks import check_once as check_search_once
from modelswitch.search.places import (
    cut_places,
    earlier_place,
    scratch_of,
    teacher_places,
    whole_places,
)
from modelswitch.search.schedule import Schedule, arms

SEARCH = RESULTS + search_steps.SEARCH_FOLDER.format(experiment=EXPERIMENT.name)
SEARCH_SCHEDULE = Schedule.of(EXPERIMENT.search)
SEARCH_ARMS = arms(EXPERIMENT.search)


@functools.cache
def search_checked():
    """Nothing, where the search can come to something: said before anything is trained."""
    try:
        checked_data()
        check_search_once(EXPERIMENT)
    except UserError as error:
        fail(error)
    return []


@functools.cache
def searched_configuration():
    """Of the configuration, what a search depends on: of claims, seeds and pages it does not."""
    return configuration_file.keep(configuration_file.of_search(EXPERIMENT))


def search_steps_before(wildcards):
    """The files of all steps before one, each there only when it has been made."""
    return [
        checkpoints.search_step.get(arm=wildcards.arm, step=step).output[0]
        for step in range(int(wildcards.step))
    ]


def search_trained(wildcards):
    """What the students of the step before answered, and the first models of their chains."""
    before = search_steps_before(wildcards)
    if not before:
        return []
    last = search_steps.read(before[-1])
    found = {}
    for trial in last.trials:
        lineage = Lineage.parse(trial.lineage)
        for each in cut_places(EXPERIMENT, lineage, last.rung):
            found |= dict.fromkeys(stored("outputs.safetensors", each))
        for each in teacher_places(EXPERIMENT, lineage):
            found |= dict.fromkeys(stored("outputs.safetensors", each))
    return list(found)


def earlier_state(wildcards):
    """The state that the rung below ended with."""
    before = earlier_place(EXPERIMENT, place(wildcards))
    return [] if before is None else stored("state.safetensors", before)


def search_ends(wildcards):
    """The files in which each search says what came out."""
    last = SEARCH_SCHEDULE.last
    return [checkpoints.search_step.get(arm=arm, step=last).output[0] for arm in SEARCH_ARMS]


def search_all_steps(wildcards):
    """All steps of all searches."""
    ends = search_ends(wildcards)
    steps = range(SEARCH_SCHEDULE.last)
    return ends + [f"{SEARCH}/{arm}/step{step}.json" for arm in SEARCH_ARMS for step in steps]


def search_judged(wildcards):
    """What those answered that are trained anew from fresh seeds: winners, the front, controls."""
    found = {}
    for path in search_ends(wildcards):
        end = search_steps.read(path)
        lineages = [Lineage.parse(trial.lineage) for trial in end.trials]
        if end.arm == SEARCH_ARMS[0] and "scratch" in EXPERIMENT.search.final.controls:
            if (alone := scratch_of(EXPERIMENT, lineages[0])) is not None:
                lineages.append(alone)
        found |= dict.fromkeys(lineages)
    if "chains" in EXPERIMENT.search.final.controls:
        found |= dict.fromkeys(EXPERIMENT.lineages.values())
    return [
        path
        for lineage in found
        for each in whole_places(EXPERIMENT, lineage)
        for path in stored("outputs.safetensors", each)
    ]
