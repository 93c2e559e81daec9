import sys
from pathlib import Path

from modelswitch.config import file as configuration_file
from modelswitch.config.experiment import load
from modelswitch.data.manifest import input_files
from modelswitch.errors import UserError, fail
from modelswitch.graph import Graph
from modelswitch.planning.checks import check_once
from modelswitch.storage.code_digest import code_digest
from modelswitch.lineage import BRANCH, ONE_STEP, SEVERAL_STEPS, ANY_LINEAGE, NAME

# Of this file and not of workflow.basedir, for another workflow may use this one as a module.
PROJECT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parent
SCRIPTS = PROJECT / "workflow" / "scripts"

if not config:
    examples = sorted(p.name for p in (PROJECT / "config").glob("*.yaml"))
    fail(f"no configuration; use --configfile config/<one of {', '.join(examples)}>")

# What reads stored results alone has to work where the data is not. While the workflow is parsed
# Snakemake does not know its targets yet; the command line does.
READS_ONLY = {"tables", "figures", "page"} & set(sys.argv)

try:
    EXPERIMENT = load(dict(config), ", ".join(map(str, workflow.configfiles)) or "configuration")
    if not READS_ONLY:
        check_once(EXPERIMENT)
except UserError as error:
    fail(error)

GRAPH = Graph(EXPERIMENT)
RESOURCES = EXPERIMENT.resources
# The whole of it, for the few scripts that need that.
CONFIGURATION = configuration_file.keep(EXPERIMENT)
# For a job that has the machine to itself. Not workflow.cores, which is an error where nobody said
# how many, as with --unlock or a cluster's --jobs.
ALL_CORES = workflow.resource_settings.cores or 1


wildcard_constraints:
    experiment=EXPERIMENT.name.replace(".", r"\.").replace("+", r"\+"),
    dataset=NAME,
    branch=BRANCH,
    lineage=ANY_LINEAGE,


def place(wildcards):
    return GRAPH.place(wildcards.dataset, wildcards.branch, wildcards.lineage)


def code(script):
    return code_digest(SCRIPTS / script)


def teacher_models(wildcards):
    here = place(wildcards)
    if not GRAPH.needs_live_teachers(here):
        return []
    return [teacher.file("model.safetensors") for teacher in GRAPH.teachers(here)]


def teacher_responses(wildcards):
    here = place(wildcards)
    if not GRAPH.stores(here):
        return []
    return [teacher.file("responses.safetensors") for teacher in GRAPH.teachers(here)]


def pretrained_student(wildcards):
    here = place(wildcards)
    return [here.file("hint.safetensors")] if GRAPH.pretrains(here) else []


def matched_history(wildcards):
    matched = GRAPH.matched(place(wildcards))
    return [] if matched is None else [matched.file("history.csv")]


def options(files, *names):
    """A command-line option for each kind of input files, with its files, where there are any."""
    given = {name: files[name] for name in names if files.get(name)}
    # A single file is a string, which must not fall apart into letters.
    lists = {name: [v] if isinstance(v, str) else list(v) for name, v in given.items()}
    return [word for name, values in lists.items() for word in (f"--{name}", *values)]


def more_memory(wildcards, attempt):
    return RESOURCES.mem_mb * attempt


def more_time(wildcards, attempt):
    return RESOURCES.runtime * attempt


def brief_time(wildcards, attempt):
    """Minutes for what trains nothing: a queue is shorter for whoever asks for little."""
    return 30 * attempt


def measured(wildcards):
    """Of the configuration, what sizes and latency depend on, so that nothing else measures anew."""
    alone = {"chains": {name: name for name in EXPERIMENT.used_models}, "seeds": [0]}
    kept = EXPERIMENT.model_dump(mode="json", include={"name", "data", "models"})
    return configuration_file.keep(load(kept | alone))
