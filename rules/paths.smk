# Where everything is: Snakemake's pathvar `results`, and below it what modelswitch.lineage knows.

import os

from modelswitch.config.base import unfilled
from modelswitch.lineage import (
    CHECKSUM_FILE,
    COSTS_FILE,
    DATA_FILE,
    DATA_FOLDER,
    EXPERIMENT_FOLDER,
    FIGURES_FOLDER,
    MODEL_FOLDER,
    PAGES_FOLDER,
    SELECTOR_FOLDER,
    SELECTOR_RESUME_FOLDER,
    TABLES_FOLDER,
)


def results_folder():
    """The folder of results with a slash behind it, as rules name it: Snakemake's pathvar."""
    folder = os.path.normpath(os.path.expanduser(workflow.pathvars.apply("<results>")))
    if "{" in folder or "}" in folder:
        fail(f"pathvars: results: found {folder!r}; Snakemake takes braces for wildcards")
    if unfilled(folder):
        fail(
            f"pathvars: results: found {folder!r}; nothing is filled in here, write the folder's name"
        )
    return "" if folder == "." else f"{folder.rstrip('/')}/"


RESULTS = results_folder()
# What the rules name, with Snakemake's wildcards.
DATA = RESULTS + DATA_FILE
CHECKSUM = RESULTS + CHECKSUM_FILE
DATA_SET = RESULTS + DATA_FOLDER
MODEL = RESULTS + MODEL_FOLDER
SELECTOR = RESULTS + SELECTOR_FOLDER
# What there is once.
FOLDER, TABLES, FIGURES, PAGES = (
    RESULTS + folder.format(experiment=EXPERIMENT.name)
    for folder in (EXPERIMENT_FOLDER, TABLES_FOLDER, FIGURES_FOLDER, PAGES_FOLDER)
)


def results_of_scripts():
    """The folder of results, as scripts find it: with the prefix that Snakemake puts before a module's
    paths. Whatever takes them apart is refused, for results would be looked for in another place than
    they are written to.
    """
    moved = workflow.modifier.path_modifier.replace_prefix
    here = moved(FOLDER).removesuffix(EXPERIMENT.name)
    for path in (FOLDER, TABLES, FIGURES, PAGES, DATA, MODEL, SELECTOR):
        below = path.removeprefix(RESULTS)
        if moved(path) != here + below:
            fail(
                f"module {workflow.modifier.namespace}: replace_prefix moves {path} to {moved(path)}, "
                f"apart from other results in {here or '.'}; use pathvars: results: <folder>"
            )
    return os.path.normpath(here or ".")


HERE = results_of_scripts()


def stored(name, *places):
    """The file of that name in the folder of each model."""
    return [RESULTS + place.file(name) for place in places]


def resume(stage):
    """Where a training goes on from. That it asks for `output` keeps it out of the parameters whose
    change Snakemake would take for a reason to train again: results that were moved are the same.
    """
    return lambda wildcards, output: os.path.join(HERE, place(wildcards).resume_folder(stage))


def where_images_stay(wildcards, output):
    """In memory or on disk. It asks for `output` as above: no result depends on it."""
    return EXPERIMENT.data.keep
