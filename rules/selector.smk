# Selecting between modalities (included where the configuration has selectors): every recogniser's
# outputs on every degraded set, selectors trained on the held-back part of them, and tables and
# figures from the test part. These steps follow one upon the other and are short, so they go before
# trainings that nothing waits for (priority), rather than all at the end.

from modelswitch.selector.graph import SelectorGraph

SELECTION = SelectorGraph(GRAPH)


rule degrade:
    input:
        data="results/{experiment}/{dataset}/data.safetensors",
        model="results/{experiment}/{dataset}/{branch}/{lineage}/model.safetensors",
    output:
        "results/{experiment}/{dataset}/{branch}/{lineage}/degraded.safetensors",
    log:
        "results/{experiment}/{dataset}/{branch}/{lineage}/degraded.log",
    benchmark:
        "results/{experiment}/{dataset}/{branch}/{lineage}/degraded.benchmark.tsv"
    priority: 1
    threads: RESOURCES.threads
    resources:
        gpu=RESOURCES.gpu,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        sets=lambda w: SELECTION.degraded(w.dataset, w.branch).canonical(),
        code=code("degrade.py"),
    shell:
        "run_script degrade --job {params.job:q} --sets {params.sets:q} "
        "--data {input.data:q} --model {input.model:q} --threads {threads} "
        "--gpus {resources.gpu} --outputs {output:q} > {log:q} 2>&1"


rule train_selector:
    input:
        lambda w: SELECTION.files(w.branch, w.selector),
    output:
        model="results/{experiment}/selector/{branch}/{selector}/selector.safetensors",
        history="results/{experiment}/selector/{branch}/{selector}/history.csv",
    log:
        "results/{experiment}/selector/{branch}/{selector}/train.log",
    benchmark:
        "results/{experiment}/selector/{branch}/{selector}/train.benchmark.tsv"
    wildcard_constraints:
        selector=NAME,
    priority: 1
    threads: RESOURCES.threads
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: SELECTION.job(w.branch, w.selector).canonical(),
        resume="results/{experiment}/.resume/selector~{branch}~{selector}",
        code=code("train_selector.py"),
    shell:
        "run_script train_selector --job {params.job:q} --outputs {input:q} "
        "--threads {threads} --resume {params.resume:q} --model {output.model:q} "
        "--history {output.history:q} > {log:q} 2>&1"


# One job for all seeds: a job each would spend its time on starting Python.
rule selection_tables:
    input:
        SELECTION.all_files(),
    output:
        selection=f"results/{EXPERIMENT.name}/tables/selection.csv",
        confusion=f"results/{EXPERIMENT.name}/tables/confusion.csv",
        csv=f"results/{EXPERIMENT.name}/tables/selection_summary.csv",
        markdown=f"results/{EXPERIMENT.name}/tables/selection_summary.md",
    log:
        f"results/{EXPERIMENT.name}/tables/selection.log",
    benchmark:
        f"results/{EXPERIMENT.name}/tables/selection.benchmark.tsv"
    priority: 1
    threads: RESOURCES.threads
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=CONFIGURATION,
        code=code("selection_tables.py"),
    shell:
        "run_script selection_tables --experiment {params.experiment:q} "
        "--threads {threads} --tables $(dirname {output.selection:q}) > {log:q} 2>&1"


rule selection_figures:
    input:
        f"results/{EXPERIMENT.name}/tables/selection.csv",
    output:
        [
            report(
                f"{RESULTS}/figures/{item.file}.svg",
                caption="../workflow/report/selection.rst",
                category=item.system,
                labels={"result": item.heading, "kind": "figure"},
            )
            for item in contents.selection_figures(FACTS)
        ],
        [f"{RESULTS}/figures/{item.file}.png" for item in contents.selection_figures(FACTS)],
    log:
        f"results/{EXPERIMENT.name}/figures/selection.log",
    benchmark:
        f"results/{EXPERIMENT.name}/figures/selection.benchmark.tsv"
    priority: 1
    resources:
        runtime=brief_time,
    params:
        selectors=SELECTION.names,
        sides=SELECTION.sides,
        code=code("selection_figures.py"),
    shell:
        "run_script selection_figures --selection {input:q} "
        "--selectors {params.selectors:q} --sides {params.sides:q} "
        "--figures $(dirname {log:q}) > {log:q} 2>&1"


rule contact_sheet:
    input:
        expand(
            "results/{experiment}/{dataset}/data.safetensors",
            experiment=EXPERIMENT.name,
            dataset=EXPERIMENT.datasets,
        ),
    output:
        report(
            f"results/{EXPERIMENT.name}/figures/contact_sheet.png",
            caption="../workflow/report/contact_sheet.rst",
            category=contents.SELECTOR,
            labels={"result": contents.CONTACT_SHEET.heading, "kind": "figure"},
        ),
    log:
        f"results/{EXPERIMENT.name}/figures/contact_sheet.log",
    benchmark:
        f"results/{EXPERIMENT.name}/figures/contact_sheet.benchmark.tsv"
    resources:
        runtime=brief_time,
    params:
        modalities=EXPERIMENT.datasets,
        synthetic=["--synthetic"] if EXPERIMENT.data.source == "eyes" else [],
        degradations=SELECTION.degradations.canonical(),
        code=code("contact_sheet.py"),
    shell:
        "run_script contact_sheet --data {input:q} "
        "--modalities {params.modalities:q} --degradations {params.degradations:q} "
        "{params.synthetic} --sheet {output:q} > {log:q} 2>&1"


rule selector:
    input:
        rules.selection_tables.output,
        rules.selection_figures.output,
        rules.contact_sheet.output,
