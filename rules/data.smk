rule prepare_data:
    input:
        input_files(EXPERIMENT.data),
    output:
        "results/{experiment}/{dataset}/data.safetensors",
    log:
        "results/{experiment}/{dataset}/data.log",
    benchmark:
        "results/{experiment}/{dataset}/data.benchmark.tsv"
    params:
        spec=EXPERIMENT.data.canonical(),
        code=code("prepare.py"),
    threads: 1
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/prepare.py --spec {params.spec:q} --data {output:q} > {log:q} 2>&1"
