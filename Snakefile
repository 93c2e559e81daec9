from snakemake.utils import min_version

# The first one with pathvars.
min_version("9.12")


include: "rules/common.smk"
include: "rules/paths.smk"
include: "rules/inputs.smk"
include: "rules/start.smk"
include: "rules/data.smk"
include: "rules/chain.smk"
include: "rules/origins.smk"
include: "rules/responses.smk"


if EXPERIMENT.deploy:

    include: "rules/deploy.smk"


include: "rules/report.smk"


if EXPERIMENT.search:

    include: "rules/searching.smk"
    include: "rules/search.smk"


include: "rules/plan.smk"


if EXPERIMENT.selector:

    include: "rules/selector.smk"


if EXPERIMENT.selector and EXPERIMENT.selector.verification:

    include: "rules/verification.smk"


rule all:
    default_target: True
    input:
        rules.models.input,
        rules.results.output,
        rules.selector.input if EXPERIMENT.selector else [],
        rules.search_results.output if EXPERIMENT.search else [],
    localrule: True
