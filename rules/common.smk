import functools
import json
import os
import re
import shlex
from pathlib import Path

from snakemake.common import SNAKEFILE_CHOICES

from modelswitch.config import file as configuration_file
from modelswitch.config.experiment import load
from modelswitch.config.written import check_written
from modelswitch.data.manifest import refuse_results_among
from modelswitch.errors import UserError, fail
from modelswitch.graph import Graph
from modelswitch.lineage import ANY_LINEAGE, BRANCH, NAME, SEVERAL_STEPS
from modelswitch.planning.checks import check_once, memory_note, needed_mb
from modelswitch.storage import letters
from modelswitch.storage.code_digest import code_digest, with_own

# Of this file and not of workflow.basedir, for another workflow may use this one as a module.
PROJECT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parent
SCRIPTS = PROJECT / "workflow" / "scripts"

if not config:
    examples = sorted(p.name for p in (PROJECT / "config").glob("*.yaml"))
    fail(f"no configuration; use --configfile config/<one of {', '.join(examples)}>")


def source():
    """Where the configuration comes from, for messages."""
    given = [min(str(path), os.path.relpath(path), key=len) for path in workflow.configfiles]
    given += ["--config"] if workflow.config_settings.config else []
    said = ", ".join(given) or "configuration"
    namespace = workflow.modifier.namespace
    return f"{said}, module {namespace}" if namespace else said


try:
    # A module's configuration is what its user hands over; the files are that user's own.
    if not workflow.modifier.skip_configfile:
        check_written(workflow.configfiles)
    EXPERIMENT = load(dict(config), source())
    letters.refuse_others("the working folder", [os.getcwd()])
    letters.refuse_others("the folder of the workflow", [str(PROJECT)])
    letters.refuse_others(source(), [json.dumps(dict(config), ensure_ascii=False)])
except UserError as error:
    fail(error)

GRAPH = Graph(EXPERIMENT)
# First models that are taken as they are, and all others.
ADOPTED = EXPERIMENT.adopted
TRAINED_FIRST = f"(?!(?:{'|'.join(map(re.escape, ADOPTED))})/){NAME}" if ADOPTED else NAME
# For trainings; a profile or the command line may say otherwise.
RESOURCES = EXPERIMENT.resources
# For jobs that only let a model answer.
ONE_GPU = min(RESOURCES.gpu, 1)
# The whole of it, for the few scripts that need that.
CONFIGURATION = configuration_file.keep(EXPERIMENT)
# For a job that has the machine to itself. Not workflow.cores, which is an error where nobody said
# how many, as with --unlock or a cluster's --jobs. On a node Snakemake is told `--cores all`, which may
# be more than its job was submitted with and has been given; SLURM refuses such a step.
ALL_CORES = 1 if workflow.remote_exec else workflow.resource_settings.cores or 1


@functools.cache
def checked_data():
    """What the data set is made from, where this and the models are as they should be.

    Asked for by whatever needs the data set and not while the workflow is read: tables, figures and
    pages of stored results have to be made where the data are not.
    """
    try:
        refuse_results_among(EXPERIMENT.data, HERE)
        return check_once(EXPERIMENT)
    except UserError as error:
        fail(error)


wildcard_constraints:
    experiment=re.escape(EXPERIMENT.name),
    # Or the folder of the selectors would be a data set, whose models two rules could export.
    dataset="|".join(map(re.escape, EXPERIMENT.datasets)),
    branch=BRANCH,
    lineage=ANY_LINEAGE,


def place(wildcards):
    return GRAPH.place(wildcards.dataset, wildcards.branch, wildcards.lineage)


def default_snakefile():
    """The one that Snakemake takes in this folder where none is named, or None."""
    return next((path.absolute() for path in SNAKEFILE_CHOICES if path.exists()), None)


def command():
    """What runs this workflow, for the page to tell: in its working folder, to be typed there."""
    words = ["snakemake", "--cores", "all"]
    if Path(workflow.main_snakefile) != default_snakefile():
        words += ["--snakefile", os.path.relpath(workflow.main_snakefile)]
    if workflow.overwrite_configfiles:
        words += ["--configfile", *map(os.path.relpath, workflow.overwrite_configfiles)]
    if workflow.config_settings.config:
        values = workflow.config_settings.config.items()
        words += ["--config", *(f"{key}={json.dumps(value)}" for key, value in values)]
    return shlex.join(words)


def code(script, *sections):
    """What a script runs, also of the user's own behind an `import` in sections of EXPERIMENT."""
    return with_own(code_digest(SCRIPTS / script), GRAPH.own(*sections))


def teacher_models(wildcards):
    here = place(wildcards)
    return (
        stored("model.safetensors", *GRAPH.teachers(here))
        if GRAPH.needs_live_teachers(here)
        else []
    )


def teacher_responses(wildcards):
    here = place(wildcards)
    name = f"responses{GRAPH.stored_for(here)}.safetensors"
    return stored(name, *GRAPH.teachers(here)) if GRAPH.stores(here) else []


def first_weights(wildcards):
    here = place(wildcards)
    return stored("origin.safetensors", here.whole) if GRAPH.has_origin(here) else []


def pretrained_student(wildcards):
    here = place(wildcards)
    return stored("hint.safetensors", here.whole) if GRAPH.pretrains(here) else []


def matched_history(wildcards):
    matched = GRAPH.matched(place(wildcards))
    return [] if matched is None else stored("history.csv", matched)


def options(files, *names):
    """A command-line option for each kind of input files, with its files, where there are any."""
    given = {name: files[name] for name in names if files.get(name)}
    # A single file is a string, which must not fall apart into letters.
    lists = {name: [v] if isinstance(v, str) else list(v) for name, v in given.items()}
    return [word for name, values in lists.items() for word in (f"--{name}", *values)]


@functools.cache
def memory_estimates():
    return memory_note(EXPERIMENT)


def more_memory(wildcards, attempt):
    """What the jobs of the model that the wildcards name need, or those that work on all data."""
    estimated = needed_mb(memory_estimates(), wildcards.get("dataset"), wildcards.get("lineage"))
    return (RESOURCES.mem_mb or estimated) * attempt


def memory_of_processes(wildcards, attempt):
    """The same of a training, which on several GPUs is as many processes."""
    estimated = more_memory(wildcards, attempt)
    return estimated if RESOURCES.mem_mb else estimated * max(1, said_of_trainings("gpu"))


def more_time(wildcards, attempt):
    return RESOURCES.runtime * attempt


def threads_of_trainings():
    """What a profile or the command line says they have, for the plan."""
    said = workflow.resource_settings.overwrite_threads
    known = [int(said[rule]) for rule in ("distil", "train") if str(said.get(rule, "")).isdigit()]
    return known[0] if known else RESOURCES.threads


def said_of_trainings(resource):
    """What a profile or the command line says of a resource that they have, for the plan."""
    said = workflow.resource_settings.overwrite_resources
    found = [said.get(name, {}).get(resource) for name in ("distil", "train")]
    # A number, or what Snakemake has made of it.
    known = [str(getattr(value, "raw", value)) for value in found]
    return next((int(value) for value in known if value.isdigit()), getattr(RESOURCES, resource))


def brief_time(wildcards, attempt):
    """Minutes for what trains nothing: a queue is shorter for whoever asks for little."""
    return 30 * attempt


def measured(wildcards):
    """Of the configuration, what sizes and latency depend on, so that nothing else measures anew: of
    the data that is the arrays alone, which are an input.
    """
    return configuration_file.keep(configuration_file.of_designs(EXPERIMENT))
