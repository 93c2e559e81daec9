# Several modalities are several data sets that one job prepares, so that their rows are paired.
rule prepare_data:
    input:
        lambda w: checked_files(),
    output:
        expand(DATA, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
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
        spec=EXPERIMENT.data.canonical(),
        code=code("prepare.py"),
    shell:
        "run_script prepare --spec {params.spec:q} --data {output:q} > {log:q} 2>&1"
