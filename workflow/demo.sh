#!/bin/sh
# What `make demo` runs: every system on data that needs no download, then what was found, on one screen.
set -eu

snakemake --snakefile workflow/demo.smk --cores "${CORES:-2}" --logger modelswitch
echo
python workflow/scripts/show.py --screen results/demo results/demo-eyes --next \
    'Next: make plan CONFIG=config/cifar10.yaml   what a study on CIFAR-10 would cost' \
    '      docs/start.md                          a study of your own'
