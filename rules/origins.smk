# Models that do not begin with fresh weights. What a training starts from is made in a step of its
# own; a model that is taken as it is needs no other one.


rule origin:
    input:
        data=prepared(),
        checksum=checksum(),
        parent=lambda w: stored("model.safetensors", *GRAPH.made_from(place(w))),
    output:
        f"{MODEL}/origin.safetensors",
    log:
        f"{MODEL}/origin.log",
    benchmark:
        f"{MODEL}/origin.benchmark.tsv"
    threads: RESOURCES.threads
    resources:
        gpu=ONE_GPU,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.origin_job(place(w)).canonical(),
        sources=lambda w, input: options(input, "parent"),
        keep=where_images_stay,
        code=code("origin.py"),
    shell:
        "run_script origin --job {params.job:q} --data {input.data:q} --keep {params.keep} "
        "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
        "{params.sources:q} "
        "--origin {output:q} > {log:q} 2>&1"


if ADOPTED:

    rule adopt:
        input:
            data=prepared(),
            checksum=checksum(),
            members=lambda w: stored("model.safetensors", *GRAPH.members(place(w))),
        output:
            model=f"{MODEL}/model.safetensors",
            history=f"{MODEL}/history.csv",
            outputs=f"{MODEL}/outputs.safetensors",
        log:
            f"{MODEL}/adopt.log",
        benchmark:
            f"{MODEL}/adopt.benchmark.tsv"
        wildcard_constraints:
            lineage="|".join(map(re.escape, ADOPTED)),
        threads: RESOURCES.threads
        resources:
            gpu=ONE_GPU,
            gpu_share=RESOURCES.gpu_share,
            mem_mb=more_memory,
            runtime=more_time,
        params:
            job=lambda w: GRAPH.train_job(place(w)).canonical(),
            sources=lambda w, input: options(input, "members"),
            keep=where_images_stay,
            code=code("adopt.py"),
        shell:
            "run_script adopt --job {params.job:q} --data {input.data:q} --keep {params.keep} "
            "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
            "{params.sources:q} "
            "--model {output.model:q} --history {output.history:q} --outputs {output.outputs:q} "
            "> {log:q} 2>&1"
