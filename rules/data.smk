# From people's files to arrays, and to whatever is made from them.

from modelswitch.lineage import SOURCE_FILE, SPLITS_FILE


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
