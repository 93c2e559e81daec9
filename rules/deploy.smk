# Trained models as files for devices (included where the configuration has `deploy`). A file is there
# only if its own runtime answered the whole test set with it, and lost no more than is allowed.

from modelswitch.config.deploy import SUFFIXES, exported_file
from modelswitch.lineage import LATENCY_FILE, SELECTOR_TIMES_FILE
from modelswitch.selector.graph import SelectorGraph

EXPORTED = GRAPH.exported()
FORMATS = EXPERIMENT.deploy.formats
# Files of one seed are timed: another seed's have the same shape.
TIMED = [place for place in EXPORTED if place.branch.seed == EXPERIMENT.deployed_seeds[0]]


for FORMAT in FORMATS:

    rule:
        name:
            f"export_{FORMAT.replace('-', '_')}"
        input:
            data=prepared(),
            checksum=checksum(),
            model=f"{MODEL}/model.safetensors",
            outputs=f"{MODEL}/outputs.safetensors",
        output:
            file=f"{MODEL}/{exported_file(FORMAT)}",
            # Of a format that has several, those that belong to it.
            beside=[
                f"{MODEL}/{exported_file(FORMAT).removesuffix(SUFFIXES[FORMAT][0])}{suffix}"
                for suffix in SUFFIXES[FORMAT][1:]
            ],
            about=f"{MODEL}/{exported_file(FORMAT)}.json",
        log:
            f"{MODEL}/deploy/{FORMAT}.log",
        benchmark:
            f"{MODEL}/deploy/{FORMAT}.benchmark.tsv"
        threads: RESOURCES.threads
        resources:
            mem_mb=more_memory,
            runtime=brief_time,
        params:
            job=lambda w: GRAPH.train_job(place(w)).canonical(),
            deploy=GRAPH.deploy_job(FORMAT).canonical(),
            code=code("export.py"),
        shell:
            "run_script export --job {params.job:q} --deploy {params.deploy:q} "
            "--data {input.data:q} --model {input.model:q} --outputs {input.outputs:q} "
            "--threads {threads} --gpus 0 --file {output.file:q} > {log:q} 2>&1"


EXPORTS = exports_of(*EXPORTED)


# One job that has the machine to itself, for all files of a data set.
rule time_exports:
    input:
        lambda w: [
            path
            for place in TIMED
            if place.dataset == w.dataset
            for name in ["model.safetensors", *map(exported_file, FORMATS)]
            for path in stored(name, place)
        ]
        # Those that lie beside, from where a job gets what it names.
        + (exports_of(*(p for p in TIMED if p.dataset == w.dataset)) if IN_STORAGE else []),
    output:
        RESULTS + LATENCY_FILE,
    log:
        f"{DATA_SET}/latency.log",
    benchmark:
        f"{DATA_SET}/latency.benchmark.tsv"
    threads: ALL_CORES
    resources:
        runtime=brief_time,
    params:
        code=code("time_exports.py"),
    shell:
        "run_script time_exports --files {input:q} --latency {output:q} > {log:q} 2>&1"


# Of every selector, with its recognisers.
SELECTOR_FILES = list(SelectorGraph(GRAPH).exported()) if EXPERIMENT.selector else []
SELECTORS_EXPORTED = [RESULTS + file for _, _, file in SELECTOR_FILES]
SELECTOR_TIMES = RESULTS + SELECTOR_TIMES_FILE.format(experiment=EXPERIMENT.name)

if SELECTOR_FILES:

    rule export_selector:
        input:
            data=prepared(*EXPERIMENT.datasets),
            checksum=checksum(*EXPERIMENT.datasets),
            models=lambda w: stored(
                "model.safetensors", *SELECTION.recognisers(w.branch, w.selector)
            ),
            outputs=lambda w: [RESULTS + file for file in SELECTION.files(w.branch, w.selector)],
            selector=f"{SELECTOR}/selector.safetensors",
        output:
            file=f"{SELECTOR}/{exported_file('onnx')}",
            about=f"{SELECTOR}/{exported_file('onnx')}.json",
        log:
            f"{SELECTOR}/deploy/onnx.log",
        benchmark:
            f"{SELECTOR}/deploy/onnx.benchmark.tsv"
        wildcard_constraints:
            selector=NAME,
        threads: RESOURCES.threads
        resources:
            mem_mb=more_memory,
            runtime=brief_time,
        params:
            job=lambda w: SELECTION.job(w.branch, w.selector).canonical(),
            deploy=GRAPH.deploy_job("onnx").canonical(),
            code=code("export_selector.py"),
        shell:
            "run_script export_selector --job {params.job:q} --deploy {params.deploy:q} "
            "--data {input.data:q} --models {input.models:q} --outputs {input.outputs:q} "
            "--selector {input.selector:q} --threads {threads} --file {output.file:q} "
            "> {log:q} 2>&1"

    rule time_selectors:
        input:
            [
                path
                for branch, _, file in SELECTOR_FILES
                if branch == SELECTOR_FILES[0][0]
                for path in (RESULTS + file, *([f"{RESULTS}{file}.json"] if IN_STORAGE else []))
            ],
        output:
            SELECTOR_TIMES,
        log:
            SELECTOR_TIMES.removesuffix(".csv") + ".log",
        benchmark:
            SELECTOR_TIMES.removesuffix(".csv") + ".benchmark.tsv"
        threads: ALL_CORES
        resources:
            runtime=brief_time,
        params:
            code=code("time_exports.py"),
        shell:
            "run_script time_exports --files {input:q} --latency {output:q} > {log:q} 2>&1"


DEPLOYED = [
    *SELECTORS_EXPORTED,
    *([SELECTOR_TIMES] if SELECTOR_FILES else []),
    *(
        path
        for place in EXPORTED
        for name in FORMATS
        for path in stored(exported_file(name), place)
    ),
    *expand(RESULTS + LATENCY_FILE, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
]


# All files for devices, without tables or figures.
rule deploy:
    input:
        DEPLOYED,
    localrule: True
