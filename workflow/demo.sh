#!/bin/sh
# What `make demo` runs: every system on data that needs no download, then the tables,
# and last what the student costs on a device.
set -eu

snakemake --snakefile workflow/demo.smk --cores "${CORES:-2}" --logger modelswitch
python workflow/scripts/show.py --last devices \
    results/digits results/digits-selective results/demo-eyes
