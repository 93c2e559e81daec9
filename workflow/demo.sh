#!/bin/sh
# What `make demo` runs: every system on data that needs no download, then the tables.
set -eu

for experiment in digits digits-selective demo-eyes; do
    echo "== config/$experiment.yaml"
    snakemake --cores "${CORES:-2}" --configfile "config/$experiment.yaml" --quiet rules host reason
    python workflow/scripts/show.py "results/$experiment"
done
