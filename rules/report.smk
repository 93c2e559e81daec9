# Tables and figures from stored results. Nothing here trains.

CONFIGURATION = EXPERIMENT.model_dump_json()


# Sizes and latency of all models in one job that has the machine to itself.
rule measure_models:
    input:
        "results/{experiment}/{dataset}/data.safetensors",
    output:
        "results/{experiment}/{dataset}/models.json",
    log:
        "results/{experiment}/{dataset}/models.log",
    params:
        experiment=CONFIGURATION,
        code=code("measure.py"),
    threads: workflow.cores or 1
    shell:
        "{PYTHON:q} {SCRIPTS:q}/measure.py --experiment {params.experiment:q} "
        "--dataset {wildcards.dataset:q} --costs {output:q} > {log:q} 2>&1"


rule report_tables:
    input:
        rules.models.input,
        expand(
            "results/{experiment}/{dataset}/models.json",
            experiment=EXPERIMENT.name,
            dataset=EXPERIMENT.datasets,
        ),
    output:
        f"results/{EXPERIMENT.name}/tables/models.csv",
    log:
        f"results/{EXPERIMENT.name}/tables/tables.log",
    params:
        experiment=CONFIGURATION,
        code=code("tables.py"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/tables.py --experiment {params.experiment:q} "
        "--tables $(dirname {output:q}) > {log:q} 2>&1"
