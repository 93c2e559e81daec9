# A teacher is run once over the fixed views of every training image, for all of its students.


rule respond:
    input:
        data="results/{experiment}/{dataset}/data.safetensors",
        teachers=lambda w: [t.file("model.safetensors") for t in GRAPH.responders(place(w))],
    output:
        "results/{experiment}/{dataset}/{branch}/{lineage}/responses.safetensors",
    log:
        "results/{experiment}/{dataset}/{branch}/{lineage}/responses.log",
    benchmark:
        "results/{experiment}/{dataset}/{branch}/{lineage}/responses.benchmark.tsv"
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.respond_job(place(w)).canonical(),
        code=code("respond.py"),
    shell:
        "run_script respond --job {params.job:q} --data {input.data:q} "
        "--threads {threads} --gpus {resources.gpu} --teachers {input.teachers:q} "
        "--responses {output:q} > {log:q} 2>&1"
