# A teacher is run once over the fixed views of every training image, for all of its students.


rule respond:
    input:
        data=prepared(),
        checksum=checksum(),
        teachers=lambda w: stored("model.safetensors", *GRAPH.responders(place(w))),
    output:
        f"{MODEL}/responses{{views}}.safetensors",
    log:
        f"{MODEL}/responses{{views}}.log",
    benchmark:
        f"{MODEL}/responses{{views}}.benchmark.tsv"
    # None for the views of `data.augment`, else a digest of those that a transfer has.
    wildcard_constraints:
        views="(-[0-9a-f]{8})?",
    threads: RESOURCES.threads
    resources:
        gpu=ONE_GPU,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.respond_job(place(w), w.views).canonical(),
        keep=where_images_stay,
        code=code("respond.py"),
    shell:
        "run_script respond --job {params.job:q} --data {input.data:q} --keep {params.keep} "
        "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
        "--teachers {input.teachers:q} "
        "--responses {output:q} > {log:q} 2>&1"
