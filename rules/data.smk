# From people's files to arrays, and to whatever is made from them.

from snakemake_interface_executor_plugins.settings import ExecMode

from modelswitch.data.manifest import Record, refuse_other
from modelswitch.lineage import SOURCE_FILE, SPLITS_FILE

IN_STORAGE = workflow.storage_settings.default_storage_provider is not None


# Several modalities are several data sets that one job prepares, so that their rows are paired. What
# counts is what people's files hold, not where they are or of what date, so they are a parameter and
# no input.
rule prepare_data:
    output:
        data=expand(DATA, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
        checksum=expand(CHECKSUM, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
        source=expand(
            RESULTS + SOURCE_FILE, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets
        ),
        splits=(RESULTS + SPLITS_FILE).format(
            experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets[0]
        ),
    log:
        f"{FOLDER}/{EXPERIMENT.datasets[0]}/data.log",
    benchmark:
        f"{FOLDER}/{EXPERIMENT.datasets[0]}/data.benchmark.tsv"
    # All else waits for it.
    priority: 2
    threads: 1
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    params:
        holds=lambda w: own_data().identity,
        # What asks for `output` is not compared with the last time: data may move.
        spec=lambda w, output: EXPERIMENT.data.canonical(),
        configuration=lambda w, output: [str(path) for path in workflow.configfiles],
        code=code("prepare.py"),
    shell:
        "run_script prepare --spec {params.spec:q} --holds {params.holds:q} "
        "--configuration {params.configuration:q} --data {output.data:q} > {log:q} 2>&1"


def own_data():
    """The data's manifest, where results of no other data lie under the same name."""
    found = checked_data()
    was_prepared()
    return found


@functools.cache
def was_prepared():
    """Whether there are arrays that prepare_data makes anew, perhaps the same ones.

    Whether anything follows is then known only afterwards, as with a checkpoint: other code or other
    files do not always make other arrays, and nothing is trained again for the same ones.
    """
    # The Snakemake that planned this job has known it.
    if workflow.exec_mode != ExecMode.DEFAULT:
        return False
    folders = [os.path.join(HERE, EXPERIMENT.name, dataset) for dataset in EXPERIMENT.datasets]
    before = [Record.read(os.path.join(folder, "source.json")) for folder in folders]
    if None in before:
        return False
    own = os.path.join(HERE, EXPERIMENT.name)
    now = Record.of(EXPERIMENT.data, checked_data(), own, workflow.configfiles, code("prepare.py"))
    try:
        refuse_other(before[0], now, EXPERIMENT.name)
    except UserError as error:
        fail(error)
    there = all(os.path.exists(os.path.join(folder, "data.safetensors")) for folder in folders)
    if there and all(each.made_as(now) for each in before):
        return False
    rules.prepare_data.rule.is_checkpoint = True
    checkpoints.register(rules.prepare_data.rule, fallback_name="prepare_data")
    return True


def prepared(*datasets):
    """An input function for the arrays of data sets, by default of the wildcards' one.

    Their date says nothing, for they may have been made anew and be the same.
    """

    def files(wildcards):
        if was_prepared():
            checkpoints.prepare_data.get()
        paths = of_datasets(DATA, wildcards, datasets)
        return paths if IN_STORAGE else [ancient(path) for path in paths]

    return files


def checksum(*datasets):
    """An input function for what changes where these arrays do. Arrays of earlier versions have none,
    and of files in a storage it is not known here whether they are there: their dates count.
    """

    def files(wildcards):
        if was_prepared():
            checkpoints.prepare_data.get()
        pairs = zip(
            of_datasets(CHECKSUM, wildcards, datasets), of_datasets(DATA, wildcards, datasets)
        )
        there = os.path.exists
        return [] if IN_STORAGE else [own for own, data in pairs if there(own) or not there(data)]

    return files


def of_datasets(template, wildcards, datasets):
    names = datasets or [wildcards.dataset]
    return [template.format(experiment=EXPERIMENT.name, dataset=name) for name in names]
