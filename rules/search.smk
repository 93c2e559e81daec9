# Searching for the path to a small model (included where the configuration has `search`). A step
# proposes students or lets the best of a rung go on; their trainings are ordinary ones, cut short.


rule search_designs:
    input:
        lambda w: search_checked(),
        data=prepared(EXPERIMENT.datasets[0]),
        checksum=checksum(EXPERIMENT.datasets[0]),
    output:
        f"{SEARCH}/designs.json",
    log:
        f"{SEARCH}/designs.log",
    benchmark:
        f"{SEARCH}/designs.benchmark.tsv"
    # Before trainings, for it may say that the search is for nothing; alone, for it measures.
    priority: 2
    threads: ALL_CORES
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=searched_configuration(),
        code=code("search_designs.py"),
    shell:
        "on_one_thread run_script search_designs --experiment {params.experiment:q} "
        "--data {input.data:q} --designs {output:q} > {log:q} 2>&1"


checkpoint search_step:
    input:
        designs=rules.search_designs.output,
        before=search_steps_before,
        outputs=search_trained,
    output:
        f"{SEARCH}/{{arm}}/step{{step}}.json",
    log:
        f"{SEARCH}/{{arm}}/step{{step}}.log",
    wildcard_constraints:
        arm="|".join(SEARCH_ARMS),
        step=r"\d+",
    priority: 1
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=searched_configuration(),
        results=lambda w, output: str(Path(output[0]).parents[3]),
        code=code("search_step.py"),
    shell:
        "run_script search_step --experiment {params.experiment:q} "
        "--results {params.results:q} --designs {input.designs:q} --arm {wildcards.arm} "
        "--step {wildcards.step} --before {input.before:q} --next {output:q} > {log:q} 2>&1"


# A student's training up to the end of a rung. It goes on from the state that the rung below ended
# with, and is to the bit the beginning of the whole training.
rule rung:
    input:
        data=prepared(),
        checksum=checksum(),
        teachers=teacher_models,
        responses=teacher_responses,
        origin=first_weights,
        hint=pretrained_student,
        earlier=earlier_state,
    output:
        model=f"{MODEL}/model.safetensors",
        history=f"{MODEL}/history.csv",
        outputs=f"{MODEL}/outputs.safetensors",
        state=f"{MODEL}/state.safetensors",
    log:
        f"{MODEL}/train.log",
    benchmark:
        f"{MODEL}/train.benchmark.tsv"
    wildcard_constraints:
        lineage=SEVERAL_STEPS,
        branch=CUT_BRANCH,
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
        sources=lambda w, input: options(
            input, "teachers", "responses", "origin", "hint", "earlier"
        ),
        code=code("distil.py"),
    shell:
        "run_script distil --job {params.job:q} --data {input.data:q} --keep {params.keep} "
        "--threads {threads} --gpus {resources.gpu} --share {resources.gpu_share} "
        "--resume {params.resume:q} "
        "{params.sources:q} --state {output.state:q} "
        "--model {output.model:q} --history {output.history:q} --outputs {output.outputs:q} "
        "> {log:q} 2>&1"


# What was found is trained anew from fresh seeds, and asked about the test images here for the first
# time.
rule search_results:
    input:
        designs=rules.search_designs.output,
        steps=search_all_steps,
        outputs=search_judged,
    output:
        page=report(
            f"{SEARCH}/search.html",
            caption="../workflow/report/search.rst",
            category="Search",
            labels={"page": "The path that won, every student, controls"},
        ),
        summary=f"{SEARCH}/summary.md",
        winner=f"{SEARCH}/winner.yaml",
        journal=f"{SEARCH}/optuna.journal",
        tables=expand(f"{SEARCH}/search_{{table}}.csv", table=["final", "trials"]),
        figures=expand(
            f"{SEARCH}/{{figure}}.{{kind}}",
            figure=["front", "judged", "importance", "path"],
            kind=["svg", "png"],
        ),
    log:
        f"{SEARCH}/search.log",
    benchmark:
        f"{SEARCH}/search.benchmark.tsv"
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=CONFIGURATION,
        results=lambda w, output: str(Path(output.page).parents[2]),
        folder=lambda w, output: str(Path(output.page).parent),
        code=code("search_results.py"),
        templates=digest((CAPTIONS / "search.html.jinja").read_text(encoding="utf-8")),
    shell:
        "run_script search_results --experiment {params.experiment:q} "
        "--results {params.results:q} --designs {input.designs:q} --steps {input.steps:q} "
        "--folder {params.folder:q} > {log:q} 2>&1"


# All trainings of the search itself, without what is judged in the end.
rule searched:
    input:
        search_ends,
    localrule: True
