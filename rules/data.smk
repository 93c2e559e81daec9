# Several modalities are several data sets that one job prepares, so that their rows are paired.
rule prepare_data:
    input:
        input_files(EXPERIMENT.data),
    output:
        [f"results/{EXPERIMENT.name}/{d}/data.safetensors" for d in EXPERIMENT.datasets],
    log:
        f"results/{EXPERIMENT.name}/{EXPERIMENT.datasets[0]}/data.log",
    benchmark:
        f"results/{EXPERIMENT.name}/{EXPERIMENT.datasets[0]}/data.benchmark.tsv"
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
