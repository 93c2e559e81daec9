# What would be trained, how large it is and how long it takes, before anything is.


rule plan:
    localrule: True
    threads: ALL_CORES
    params:
        experiment=EXPERIMENT.model_dump_json(),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/plan.py --experiment {params.experiment:q} --cores {threads}"
