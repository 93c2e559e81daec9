# From people's files to arrays, and to whatever is made from them.

from modelswitch.lineage import IRIS_EXAMPLES_FILE, IRISES_FILE, SOURCE_FILE, SPLITS_FILE
from modelswitch.report import contents

FROM_PHOTOGRAPHS = EXPERIMENT.data.source == "eye_photos"


# Several modalities are several data sets that one job prepares, so that their rows are paired. What
# counts is what people's files hold, not where they are or of what date, so they are a parameter and
# no input.
rule prepare_data:
    output:
        data=expand(DATA, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
        checksum=expand(CHECKSUM, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets),
        source=expand(
            RESULTS + SOURCE_FILE, experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets
        ),
        splits=(RESULTS + SPLITS_FILE).format(
            experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets[0]
        ),
        irises=[
            (RESULTS + file).format(experiment=EXPERIMENT.name, dataset=EXPERIMENT.datasets[0])
            for file in (IRISES_FILE, IRIS_EXAMPLES_FILE)
            if FROM_PHOTOGRAPHS
        ],
    log:
        f"{FOLDER}/{EXPERIMENT.datasets[0]}/data.log",
    benchmark:
        f"{FOLDER}/{EXPERIMENT.datasets[0]}/data.benchmark.tsv"
    # All else waits for it.
    priority: 2
    threads: 1
    resources:
        mem_mb=more_memory,
        runtime=more_time,
    params:
        holds=lambda w: own_data().identity,
        # What asks for `output` is not compared with the last time: data may move.
        spec=lambda w, output: EXPERIMENT.data.canonical(),
        configuration=lambda w, output: [str(path) for path in workflow.configfiles],
        code=code("prepare.py"),
    shell:
        "run_script prepare --spec {params.spec:q} --holds {params.holds:q} "
        "--configuration {params.configuration:q} --data {output.data:q} > {log:q} 2>&1"


if FROM_PHOTOGRAPHS:

    rule iris_sheet:
        input:
            rules.prepare_data.output.irises[1],
        output:
            report(
                f"{FIGURES}/iris_sheet.png",
                caption=f"../workflow/report/{contents.IRIS_SHEET.name}.rst",
                category=contents.RUN,
                labels={"result": contents.IRIS_SHEET.heading, "kind": "figure"},
            ),
        log:
            f"{FIGURES}/iris_sheet.log",
        benchmark:
            f"{FIGURES}/iris_sheet.benchmark.tsv"
        resources:
            runtime=brief_time,
        params:
            code=code("iris_sheet.py"),
        shell:
            "run_script iris_sheet --examples {input:q} --sheet {output:q} > {log:q} 2>&1"
