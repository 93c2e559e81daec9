# Verification (included where selectors are to be tried on people in no training): these people's
# images, every recogniser's inner vectors of them, tables and figures. No training waits for this.

from modelswitch.lineage import STRANGERS_FILE
from modelswitch.selector.graph import EMBEDDINGS

STRANGERS = RESULTS + STRANGERS_FILE
VERIFICATION = EXPERIMENT.selector.verification


rule strangers:
    output:
        expand(STRANGERS, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
    log:
        f"{FOLDER}/{EXPERIMENT.datasets[0]}/strangers.log",
    benchmark:
        f"{FOLDER}/{EXPERIMENT.datasets[0]}/strangers.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    params:
        holds=lambda w: own_data().identity,
        spec=lambda w, output: EXPERIMENT.data.canonical(),
        # Only what decides over the images.
        settings=VERIFICATION.model_dump_json(include={"people", "captures", "enrolled"}),
        code=code("strangers.py"),
    shell:
        "run_script strangers --spec {params.spec:q} --settings {params.settings:q} "
        "--holds {params.holds:q} --strangers {output:q} > {log:q} 2>&1"


rule embed:
    input:
        data=prepared(),
        checksum=checksum(),
        model=f"{MODEL}/model.safetensors",
        strangers=STRANGERS,
    output:
        f"{MODEL}/{EMBEDDINGS}",
    log:
        f"{MODEL}/embed.log",
    benchmark:
        f"{MODEL}/embed.benchmark.tsv"
    threads: RESOURCES.threads
    resources:
        gpu=ONE_GPU,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        sets=lambda w: SELECTION.degraded(w.dataset, w.branch).canonical(),
        code=code("embed.py"),
    shell:
        "run_script embed --job {params.job:q} --sets {params.sets:q} --data {input.data:q} "
        "--model {input.model:q} --strangers {input.strangers:q} --threads {threads} "
        "--gpus {resources.gpu} --share {resources.gpu_share} --outputs {output:q} > {log:q} 2>&1"


rule verification_tables:
    input:
        [RESULTS + file for file in (*SELECTION.all_files(), *SELECTION.all_embeddings())],
    output:
        verification=f"{TABLES}/verification.csv",
        det=f"{TABLES}/det.csv",
    log:
        f"{TABLES}/verification.log",
    benchmark:
        f"{TABLES}/verification.benchmark.tsv"
    threads: RESOURCES.threads
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    params:
        experiment=CONFIGURATION,
        results=lambda w, output: str(Path(output.det).parents[2]),
        code=code("verify.py"),
    shell:
        "run_script verify --experiment {params.experiment:q} --results {params.results:q} "
        "--threads {threads} > {log:q} 2>&1"


rule verification_figures:
    input:
        f"{TABLES}/det.csv",
    output:
        [
            report(
                f"{FIGURES}/{item.file}.svg",
                caption=f"../workflow/report/{item.name}.rst",
                category=item.system,
                labels={"result": item.heading, "kind": "figure"},
            )
            for item in contents.verification_figures(FACTS)
        ],
        [f"{FIGURES}/{item.file}.png" for item in contents.verification_figures(FACTS)],
    log:
        f"{FIGURES}/verification.log",
    benchmark:
        f"{FIGURES}/verification.benchmark.tsv"
    resources:
        runtime=brief_time,
    params:
        selectors=SELECTION.names,
        figures=lambda w, output: os.path.dirname(output[0]),
        code=code("verification_figures.py"),
    shell:
        'run_script verification_figures --tables "$(dirname {input:q})" '
        "--selectors {params.selectors:q} "
        "--figures {params.figures:q} > {log:q} 2>&1"


rule verification:
    input:
        rules.verification_tables.output,
        rules.verification_figures.output,
