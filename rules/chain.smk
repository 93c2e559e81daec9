# A trained model is a folder; its parent folder is its teacher. One rule trains first models,
# two switch to the next one: a student's front is pre-trained to its teacher's hint layer where
# the transfer asks for it, then the whole is distilled.


rule train:
    input:
        data="results/{experiment}/{dataset}/data.safetensors",
    output:
        model="results/{experiment}/{dataset}/{branch}/{lineage}/model.safetensors",
        history="results/{experiment}/{dataset}/{branch}/{lineage}/history.csv",
        outputs="results/{experiment}/{dataset}/{branch}/{lineage}/outputs.safetensors",
    log:
        "results/{experiment}/{dataset}/{branch}/{lineage}/train.log",
    benchmark:
        "results/{experiment}/{dataset}/{branch}/{lineage}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=ONE_STEP,
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        resume=lambda w: place(w).resume_folder("train"),
        code=code("train.py"),
    shell:
        "run_script train --job {params.job:q} --data {input.data:q} "
        "--threads {threads} --gpus {resources.gpu} --resume {params.resume:q} "
        "--model {output.model:q} --history {output.history:q} --outputs {output.outputs:q} "
        "> {log:q} 2>&1"


rule hint:
    input:
        data="results/{experiment}/{dataset}/data.safetensors",
        teacher=lambda w: GRAPH.parent(place(w)).file("model.safetensors"),
    output:
        hint="results/{experiment}/{dataset}/{branch}/{lineage}/hint.safetensors",
        history="results/{experiment}/{dataset}/{branch}/{lineage}/hint_history.csv",
    log:
        "results/{experiment}/{dataset}/{branch}/{lineage}/hint.log",
    benchmark:
        "results/{experiment}/{dataset}/{branch}/{lineage}/hint.benchmark.tsv"
    wildcard_constraints:
        lineage=SEVERAL_STEPS,
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.hint_job(place(w)).canonical(),
        resume=lambda w: place(w).resume_folder("hint"),
        code=code("hint.py"),
    shell:
        "run_script hint --job {params.job:q} --data {input.data:q} "
        "--threads {threads} --gpus {resources.gpu} --resume {params.resume:q} "
        "--teacher {input.teacher:q} --hint {output.hint:q} --history {output.history:q} "
        "> {log:q} 2>&1"


rule distil:
    input:
        data="results/{experiment}/{dataset}/data.safetensors",
        teachers=teacher_models,
        responses=teacher_responses,
        hint=pretrained_student,
        matched=matched_history,
    output:
        model="results/{experiment}/{dataset}/{branch}/{lineage}/model.safetensors",
        history="results/{experiment}/{dataset}/{branch}/{lineage}/history.csv",
        outputs="results/{experiment}/{dataset}/{branch}/{lineage}/outputs.safetensors",
    log:
        "results/{experiment}/{dataset}/{branch}/{lineage}/train.log",
    benchmark:
        "results/{experiment}/{dataset}/{branch}/{lineage}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=SEVERAL_STEPS,
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        resume=lambda w: place(w).resume_folder("train"),
        # One function for all four: Snakemake inspects every function anew for every job.
        sources=lambda w, input: options(input, "teachers", "responses", "hint", "matched"),
        code=code("distil.py"),
    shell:
        "run_script distil --job {params.job:q} --data {input.data:q} "
        "--threads {threads} --gpus {resources.gpu} --resume {params.resume:q} "
        "{params.sources:q} "
        "--model {output.model:q} --history {output.history:q} --outputs {output.outputs:q} "
        "> {log:q} 2>&1"


# All trainings, without tables or figures.
rule models:
    input:
        [place.file("outputs.safetensors") for place in GRAPH.models()],
    localrule: True
