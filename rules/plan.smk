# What would be trained, how large it is and how long it takes, before anything is.


rule plan:
    input:
        # Where the data are not, or a search is for nothing, this is told before all else.
        lambda w: search_checked() if EXPERIMENT.search else checked_data() and [],
    log:
        f".snakemake/modelswitch/{EXPERIMENT.name}-plan.log",
    localrule: True
    threads: ALL_CORES
    params:
        experiment=CONFIGURATION,
        each=threads_of_trainings(),
        gpus=said_of_trainings("gpu"),
        share=said_of_trainings("gpu_share"),
    shell:
        "run_script plan --experiment {params.experiment:q} --cores {threads} "
        "--threads {params.each} --gpus {params.gpus} --share {params.share} 2>&1 | tee {log:q}"


rule calibrate:
    input:
        lambda w: checked_data() and [],
    log:
        f".snakemake/modelswitch/{EXPERIMENT.name}-calibrate.log",
    localrule: True
    # It measures the machine, which nothing else is to use.
    threads: ALL_CORES
    params:
        experiment=CONFIGURATION,
    shell:
        "run_script calibrate --experiment {params.experiment:q} 2>&1 | tee {log:q}"


rule methods:
    log:
        ".snakemake/modelswitch/methods.log",
    localrule: True
    shell:
        "python -m modelswitch methods 2>&1 | tee {log:q}"
