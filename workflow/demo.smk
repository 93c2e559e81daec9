# What `make demo` runs: two experiments at once, each this workflow as a module with a
# configuration of its own. Another workflow can use it in the same way.

from pathlib import Path

import yaml
from snakemake.utils import min_version

min_version("9.12")


def configuration(name):
    path = Path(workflow.basedir).parent / "config" / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


module digits:
    snakefile:
        "../Snakefile"
    config:
        configuration("demo")


use rule * from digits as digits_*


module eyes:
    snakefile:
        "../Snakefile"
    config:
        configuration("demo-eyes")


use rule * from eyes as eyes_*


rule all:
    default_target: True
    input:
        rules.digits_all.input,
        rules.eyes_all.input,
    localrule: True
