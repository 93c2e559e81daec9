# Selecting between modalities (included where the configuration has selectors): every recogniser's
# outputs on every degraded set, selectors trained on the held-back part of them, and tables and
# figures from the test part. These steps follow one upon the other and are short, so they go before
# trainings that nothing waits for (priority), rather than all at the end.

from modelswitch.selector.graph import SelectorGraph

SELECTION = SelectorGraph(GRAPH)


rule degrade:
    input:
        data=prepared(),
        checksum=checksum(),
        model=f"{MODEL}/model.safetensors",
    output:
        f"{MODEL}/degraded.safetensors",
    log:
        f"{MODEL}/degraded.log",
    benchmark:
        f"{MODEL}/degraded.benchmark.tsv"
    priority: 1
    threads: RESOURCES.threads
    resources:
        gpu=ONE_GPU,
        gpu_share=RESOURCES.gpu_share,
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: GRAPH.train_job(place(w)).canonical(),
        keep=where_images_stay,
        sets=lambda w: SELECTION.degraded(w.dataset, w.branch).canonical(),
        code=code("degrade.py"),
    shell:
        "run_script degrade --job {params.job:q} --sets {params.sets:q} "
        "--data {input.data:q} --keep {params.keep} --model {input.model:q} "
        "--threads {threads} "
        "--gpus {resources.gpu} --share {resources.gpu_share} --outputs {output:q} > {log:q} 2>&1"


rule train_selector:
    input:
        lambda w: [RESULTS + file for file in SELECTION.files(w.branch, w.selector)],
    output:
        model=f"{SELECTOR}/selector.safetensors",
        history=f"{SELECTOR}/history.csv",
    log:
        f"{SELECTOR}/train.log",
    benchmark:
        f"{SELECTOR}/train.benchmark.tsv"
    wildcard_constraints:
        selector=NAME,
    priority: 1
    threads: RESOURCES.threads
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    params:
        job=lambda w: SELECTION.job(w.branch, w.selector).canonical(),
        # As for the other trainings.
        resume=lambda w, output: os.path.join(HERE, SELECTOR_RESUME_FOLDER.format(**w)),
        code=code("train_selector.py"),
    shell:
        "run_script train_selector --job {params.job:q} --outputs {input:q} "
        "--threads {threads} --resume {params.resume:q} --model {output.model:q} "
        "--history {output.history:q} > {log:q} 2>&1"


# One job for all seeds: a job each would spend its time on starting Python.
rule selection_tables:
    input:
        [RESULTS + file for file in SELECTION.all_files()],
    output:
        selection=f"{TABLES}/selection.csv",
        confusion=f"{TABLES}/confusion.csv",
        abstaining=f"{TABLES}/abstaining.csv",
        risks=f"{TABLES}/risk_coverage.csv",
        csv=f"{TABLES}/selection_summary.csv",
        markdown=f"{TABLES}/selection_summary.md",
    log:
        f"{TABLES}/selection.log",
    benchmark:
        f"{TABLES}/selection.benchmark.tsv"
    priority: 1
    threads: RESOURCES.threads
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=CONFIGURATION,
        results=lambda w, output: str(Path(output.selection).parents[2]),
        code=code("selection_tables.py"),
    shell:
        "run_script selection_tables --experiment {params.experiment:q} "
        "--results {params.results:q} --threads {threads} > {log:q} 2>&1"


rule selection_figures:
    input:
        selection=f"{TABLES}/selection.csv",
        risks=f"{TABLES}/risk_coverage.csv",
    output:
        [
            report(
                f"{FIGURES}/{item.file}.svg",
                caption=f"../workflow/report/{item.name}.rst",
                category=item.system,
                labels={"result": item.heading, "kind": "figure"},
            )
            for item in contents.selection_figures(FACTS)
        ],
        [
            report(
                f"{FIGURES}/{item.file}.svg",
                caption=f"../workflow/report/{item.name}.rst",
                category=item.system,
                labels={"result": item.heading, "kind": "figure"},
            )
            for item in contents.abstaining_figures(FACTS)
        ],
        [
            f"{FIGURES}/{item.file}.png"
            for item in (*contents.selection_figures(FACTS), *contents.abstaining_figures(FACTS))
        ],
    log:
        f"{FIGURES}/selection.log",
    benchmark:
        f"{FIGURES}/selection.benchmark.tsv"
    priority: 1
    resources:
        runtime=brief_time,
    params:
        selectors=SELECTION.names,
        sides=SELECTION.sides,
        figures=lambda w, output: os.path.dirname(output[0]),
        code=code("selection_figures.py"),
    shell:
        "run_script selection_figures --selection {input.selection:q} "
        "--selectors {params.selectors:q} --sides {params.sides:q} "
        "--figures {params.figures:q} > {log:q} 2>&1"


rule contact_sheet:
    input:
        data=prepared(*EXPERIMENT.datasets),
        checksum=checksum(*EXPERIMENT.datasets),
    output:
        report(
            f"{FIGURES}/contact_sheet.png",
            caption=f"../workflow/report/{contents.CONTACT_SHEET.name}.rst",
            category=contents.SELECTOR,
            labels={"result": contents.CONTACT_SHEET.heading, "kind": "figure"},
        ),
    log:
        f"{FIGURES}/contact_sheet.log",
    benchmark:
        f"{FIGURES}/contact_sheet.benchmark.tsv"
    resources:
        runtime=brief_time,
    params:
        modalities=EXPERIMENT.datasets,
        synthetic=["--synthetic"] if EXPERIMENT.data.source == "eyes" else [],
        degradations=SELECTION.degradations.canonical(),
        code=code("contact_sheet.py"),
    shell:
        "run_script contact_sheet --data {input.data:q} "
        "--modalities {params.modalities:q} --degradations {params.degradations:q} "
        "{params.synthetic} --sheet {output:q} > {log:q} 2>&1"


rule selector:
    input:
        rules.selection_tables.output,
        rules.selection_figures.output,
        rules.contact_sheet.output,
