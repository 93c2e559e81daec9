# Tables, claims, figures and pages from stored results. Nothing here trains.

import os

from modelswitch.config.base import digest
from modelswitch.report import contents
from modelswitch.results.schema import COLLECTED

RESULTS = f"results/{EXPERIMENT.name}"
CAPTIONS = PROJECT / "workflow" / "report"
FACTS = contents.facts_of(EXPERIMENT)
FIGURES = contents.figures(FACTS)
FROM_SELECTOR = [item for item in contents.all_figures(FACTS) if item not in FIGURES]
# For the page to tell. No parameter of rules: results are the same whichever command made them.
os.environ.update(
    MODELSWITCH_COMMAND=" ".join(
        [
            "snakemake --cores all",
            "--configfile" if workflow.configfiles else "--snakefile",
            *map(os.path.relpath, workflow.configfiles or [workflow.main_snakefile]),
        ]
    )
)


report: "../workflow/report/workflow.rst"


# Sizes and latency of all models in one job that has the machine to itself.
rule measure_models:
    input:
        "results/{experiment}/{dataset}/data.safetensors",
    output:
        "results/{experiment}/{dataset}/models.json",
    log:
        "results/{experiment}/{dataset}/models.log",
    benchmark:
        "results/{experiment}/{dataset}/models.benchmark.tsv"
    # Before the pages that wait for it, which take one core each and would keep it waiting in turn.
    priority: 1
    threads: ALL_CORES
    resources:
        runtime=brief_time,
    params:
        experiment=measured,
        code=code("measure.py"),
    shell:
        "on_one_thread run_script measure --experiment {params.experiment:q} "
        "--data {input:q} --costs {output:q} > {log:q} 2>&1"


# One job for all of it: each part takes seconds, most of them spent on starting Python.
rule results:
    input:
        rules.models.input,
        expand(f"{RESULTS}/{{dataset}}/models.json", dataset=EXPERIMENT.datasets),
        [f"{RESULTS}/tables/selection.csv"] if FACTS.selectors else [],
        [f"{RESULTS}/figures/{item.file}.png" for item in FROM_SELECTOR],
    output:
        tidy=expand(f"{RESULTS}/tables/{{table}}", table=COLLECTED),
        page=report(
            f"{RESULTS}/results.html",
            caption="../workflow/report/page.rst",
            category="All on one page",
            labels={"page": "Claims, tables, figures, configuration"},
        ),
        summary=f"{RESULTS}/summary.md",
        tables=[
            report(
                f"{RESULTS}/pages/{item.name}.html",
                caption="../workflow/report/table.rst",
                category=item.system,
                labels={"result": item.title, "kind": "table"},
            )
            for item in contents.tables(FACTS)
        ],
        figures=[
            report(
                f"{RESULTS}/figures/{item.file}.svg",
                caption=f"../workflow/report/{item.name}.rst",
                category=item.system,
                labels={"result": item.heading, "kind": "figure"},
            )
            for item in FIGURES
        ],
        pictures=[f"{RESULTS}/figures/{item.file}.png" for item in FIGURES],
    log:
        f"{RESULTS}/tables/report.log",
    benchmark:
        f"{RESULTS}/tables/report.benchmark.tsv"
    resources:
        mem_mb=more_memory,
        runtime=brief_time,
    params:
        experiment=CONFIGURATION,
        code=code("report.py"),
        templates=digest("".join(path.read_text() for path in sorted(CAPTIONS.iterdir()))),
    shell:
        "run_script report --experiment {params.experiment:q} > {log:q} 2>&1"


# The next three take whatever is stored and ask for no file, so they train nothing, not even in a
# clone to which only the results were copied. `page` also serves a study of which a part is missing.
rule tables:
    log:
        ".snakemake/modelswitch/tables.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
    shell:
        "run_script report --experiment {params.experiment:q} --only tables 2>&1 | tee {log:q}"


rule figures:
    log:
        ".snakemake/modelswitch/figures.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
    shell:
        "run_script report --experiment {params.experiment:q} --only figures 2>&1 | tee {log:q}"


rule page:
    log:
        ".snakemake/modelswitch/page.log",
    localrule: True
    params:
        experiment=CONFIGURATION,
    shell:
        "run_script report --experiment {params.experiment:q} 2>&1 | tee {log:q}"
