# A trained model is a folder; its parent folder is its teacher. One rule trains first models,
# two switch to the next one: a student's front is pre-trained to its teacher's hint layer where
# the transfer asks for it, then the whole is distilled.


rule train:
    input:
        data=prepared(),
        checksum=checksum(),
        origin=first_weights,
    output:
        model=f"{MODEL}/model.safetensors",
        history=f"{MODEL}/history.csv",
        outputs=f"{MODEL}/outputs.safetensors",
    log:
        f"{MODEL}/train.log",
    benchmark:
        f"{MODEL}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=TRAINED_FIRST,
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=memory_of_processes,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        keep=where_images_stay,
        resume=resume("train"),
        sources=lambda w, input: options(input, "origin"),
        code=code("train.py"),
    shell:
        "run_script train --job {params.job:q} --data {input.data:q} --keep {params.keep} "
        "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
        "--resume {params.resume:q} "
        "{params.sources:q} "
        "--model {output.model:q} --history {output.history:q} --outputs {output.outputs:q} "
        "> {log:q} 2>&1"


rule hint:
    input:
        data=prepared(),
        checksum=checksum(),
        origin=first_weights,
        teacher=lambda w: stored("model.safetensors", GRAPH.parent(place(w))),
    output:
        hint=f"{MODEL}/hint.safetensors",
        history=f"{MODEL}/hint_history.csv",
    log:
        f"{MODEL}/hint.log",
    benchmark:
        f"{MODEL}/hint.benchmark.tsv"
    wildcard_constraints:
        lineage=SEVERAL_STEPS,
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=memory_of_processes,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.hint_job(place(w)).canonical(),
        keep=where_images_stay,
        resume=resume("hint"),
        sources=lambda w, input: options(input, "origin"),
        code=code("hint.py"),
    shell:
        "run_script hint --job {params.job:q} --data {input.data:q} --keep {params.keep} "
        "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
        "--resume {params.resume:q} "
        "{params.sources:q} "
        "--teacher {input.teacher:q} --hint {output.hint:q} --history {output.history:q} "
        "> {log:q} 2>&1"


rule distil:
    input:
        data=prepared(),
        checksum=checksum(),
        teachers=teacher_models,
        responses=teacher_responses,
        origin=first_weights,
        hint=pretrained_student,
        matched=matched_history,
    output:
        model=f"{MODEL}/model.safetensors",
        history=f"{MODEL}/history.csv",
        outputs=f"{MODEL}/outputs.safetensors",
    log:
        f"{MODEL}/train.log",
    benchmark:
        f"{MODEL}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=SEVERAL_STEPS,
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=memory_of_processes,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        keep=where_images_stay,
        resume=resume("train"),
        # One function for all five: Snakemake inspects every function anew for every job.
        sources=lambda w, input: options(
            input, "teachers", "responses", "origin", "hint", "matched"
        ),
        code=code("distil.py"),
    shell:
        "run_script distil --job {params.job:q} --data {input.data:q} --keep {params.keep} "
        "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
        "--resume {params.resume:q} "
        "{params.sources:q} "
        "--model {output.model:q} --history {output.history:q} --outputs {output.outputs:q} "
        "> {log:q} 2>&1"


# All trainings, without tables or figures.
rule models:
    input:
        stored("outputs.safetensors", *GRAPH.models()),
    localrule: True
