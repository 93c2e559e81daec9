"""Compare two runs: which metrics moved, and by how much of an interval."""

import argparse

from rich.console import Console

from modelswitch.errors import UserError, run_script
from modelswitch.report import two_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", help="a results folder, a folder with tables, or a configuration")
    parser.add_argument("second", help="the same, for the other run")
    parser.add_argument("--metrics", nargs="+", default=list(two_runs.METRICS), metavar="METRIC",
                        help=f"of {', '.join(two_runs.METRICS)}; default: all")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="also what did not move")
    parser.add_argument("--markdown", action="store_true", help="a table for a pull request")
    args = parser.parse_args()
    for metric in args.metrics:
        if metric not in two_runs.METRICS:
            known = ", ".join(two_runs.METRICS)
            raise UserError(f"--metrics: unknown metric {metric!r}; allowed: {known}")
    first, second = two_runs.tables_of(args.first), two_runs.tables_of(args.second)
    rows = two_runs.compare(first, second, args.metrics)
    on = [dict.fromkeys(tables.models["dataset"]) for tables in (first, second)]
    if not rows and not on[0].keys() & on[1].keys():
        raise UserError(
            f"{args.second}: is on {', '.join(on[1])}, and {args.first} on {', '.join(on[0])}; "
            "only what was measured on one data set can be compared"
        )
    moved = [row for row in rows if two_runs.moves(row)]
    sheet = two_runs.comparison(rows if args.all else moved)
    console = Console(width=80, highlight=False, markup=False)
    if not sheet.rows:
        pass  # what follows says that nothing moved
    elif args.markdown:
        print(sheet.markdown(), sheet.note, sep="\n\n")
    else:
        console.print(sheet.terminal())
        console.print(sheet.note, style="dim")
    for line in two_runs.data_changes(first, second) + two_runs.remarks(first, second):
        console.print(line)
    if not args.all:
        console.print(f"{len(rows) - len(moved)} of {len(rows)} figures did not move.")
    for which, lineages in zip(
        ("first", "second"), two_runs.only_in_one(first, second), strict=True
    ):
        if lineages:
            console.print(f"Only in the {which}: {', '.join(lineages)}")
    changes = two_runs.configuration_changes(first, second)
    if changes and not args.markdown:
        console.print("\nConfigurations:")
        print("\n".join(changes))


if __name__ == "__main__":
    run_script(main)
