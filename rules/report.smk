# Tables, claims, figures and pages from stored results. Nothing here trains.

from modelswitch.config.base import digest
from modelswitch.config.deploy import CARD_FILE
from modelswitch.report import contents
from modelswitch.results.schema import COLLECTED

CAPTIONS = PROJECT / "workflow" / "report"
FACTS = contents.facts_of(EXPERIMENT)
FIGURES_OF_MODELS = contents.figures(FACTS)
FROM_SELECTOR = [item for item in contents.all_figures(FACTS) if item not in FIGURES_OF_MODELS]


report: "../workflow/report/workflow.rst"


# Sizes and latency of all models in one job that has the machine to itself.
rule measure_models:
    input:
        data=prepared(),
        checksum=checksum(),
        models=lambda w: stored("model.safetensors", *GRAPH.measured(w.dataset).values()),
    output:
        RESULTS + COSTS_FILE,
    log:
        f"{DATA_SET}/models.log",
    benchmark:
        f"{DATA_SET}/models.benchmark.tsv"
    # Before the pages that wait for it, which take one core each and would keep it waiting in turn.
    priority: 1
    threads: ALL_CORES
    resources:
        runtime=brief_time,
    params:
        experiment=measured,
        designs=EXPERIMENT.estimated,
        code=code("measure.py", *EXPERIMENT.models.values()),
    shell:
        "on_one_thread run_script measure --experiment {params.experiment:q} "
        "--data {input.data:q} --designs {params.designs:q} --models {input.models:q} "
        "--costs {output:q} > {log:q} 2>&1"


# One job for all of it: each part takes seconds, most of them spent on starting Python.
rule results:
    input:
        rules.models.input,
        expand(RESULTS + COSTS_FILE, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
        [f"{TABLES}/selection.csv"] if FACTS.selectors else [],
        [f"{TABLES}/verification.csv"] if FACTS.verifies else [],
        DEPLOYED if EXPERIMENT.deploy else [],
        lambda w: measured_elsewhere(),
        [f"{FIGURES}/{item.file}.png" for item in FROM_SELECTOR],
        beside_them(),
    output:
        tidy=expand(f"{TABLES}/{{table}}", table=COLLECTED),
        page=report(
            f"{FOLDER}/results.html",
            caption="../workflow/report/page.rst",
            category="All on one page",
            labels={"page": "Claims, tables, figures, configuration"},
        ),
        summary=f"{FOLDER}/summary.md",
        tables=[
            report(
                f"{PAGES}/{item.name}.html",
                caption="../workflow/report/table.rst",
                category=item.system,
                labels={"result": item.title, "kind": "table"},
            )
            for item in contents.tables(FACTS)
        ],
        figures=[
            report(
                f"{FIGURES}/{item.file}.svg",
                caption=f"../workflow/report/{item.name}.rst",
                category=item.system,
                labels={"result": item.heading, "kind": "figure"},
            )
            for item in FIGURES_OF_MODELS
        ],
        cards=stored(CARD_FILE, *GRAPH.exported()),
        pictures=[f"{FIGURES}/{item.file}.png" for item in FIGURES_OF_MODELS],
    log:
        f"{TABLES}/report.log",
    benchmark:
        f"{TABLES}/report.benchmark.tsv"
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=CONFIGURATION,
        # These two ask for `output`, so that no other command and no other place is a change.
        results=lambda w, output: str(Path(output.page).parents[1]),
        command=lambda w, output: command(),
        code=code("report.py"),
        templates=digest(
            "".join(path.read_text(encoding="utf-8") for path in sorted(CAPTIONS.iterdir()))
        ),
    shell:
        "run_script report --experiment {params.experiment:q} --results {params.results:q} "
        "--command {params.command:q} > {log:q} 2>&1"


# The next three take whatever is stored and ask for no file, so they train nothing, not even in a
# clone to which only the results were copied. `page` also serves a study of which a part is missing.
rule tables:
    log:
        f".snakemake/modelswitch/{EXPERIMENT.name}-tables.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
        results=HERE,
    shell:
        "run_script report --experiment {params.experiment:q} --results {params.results:q} "
        "--only tables 2>&1 | tee {log:q}"


rule figures:
    log:
        f".snakemake/modelswitch/{EXPERIMENT.name}-figures.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
        results=HERE,
    shell:
        "run_script report --experiment {params.experiment:q} --results {params.results:q} "
        "--only figures 2>&1 | tee {log:q}"


rule page:
    log:
        f".snakemake/modelswitch/{EXPERIMENT.name}-page.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
        results=HERE,
        command=command(),
    shell:
        "run_script report --experiment {params.experiment:q} --results {params.results:q} "
        "--command {params.command:q} 2>&1 | tee {log:q}"


# What is stored, to be put where data are kept.
rule crate:
    input:
        rules.results.output,
    output:
        directory(f"{FOLDER}/crate"),
    log:
        f"{TABLES}/crate.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
        results=lambda w, output: str(Path(output[0]).parent),
    shell:
        "run_script crate --experiment {params.experiment:q} --results {params.results:q} "
        "--crate {output:q} > {log:q} 2>&1"
