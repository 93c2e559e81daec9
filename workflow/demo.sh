#!/bin/sh
# What `make demo` runs: every system on data that needs no download, then the tables.
set -eu

snakemake --snakefile workflow/demo.smk --cores "${CORES:-2}" --quiet rules host reason
python workflow/scripts/show.py results/digits results/digits-selective results/demo-eyes
