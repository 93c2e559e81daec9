#!/bin/sh
# Run a command, and show what it says on standard error only where it fails: the lines that are meant
# for a person, or all of it. Snakemake's own `--quiet all` hides errors too.
log=$(mktemp) || exit
trap 'rm -f "$log"' EXIT
"$@" 2>"$log" && exit
status=$?
grep '^error: ' "$log" >&2 || cat "$log" >&2
exit "$status"
