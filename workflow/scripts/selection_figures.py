"""Draw the curves of one experiment's selectors against the strength of the degradation."""

import argparse
from pathlib import Path

from modelswitch.errors import run_script
from modelswitch.report.figures import abstaining, selection, style
from modelswitch.results import table_files, tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--selection", required=True, type=Path, help="selection.csv")
    parser.add_argument("--selectors", required=True, nargs="+")
    parser.add_argument("--sides", required=True, nargs="+")
    parser.add_argument("--figures", required=True, type=Path, help="folder to write to")
    args = parser.parse_args()
    table = table_files.read_table(args.selection.parent, "selection")
    with style.look():
        for name in args.selectors:
            for side in args.sides:
                figure = selection.of_selector(table, name, side)
                style.save(figure, args.figures, f"selection-{name}-{side}")
            style.save(
                abstaining.risks(tables.Tables(args.selection.parent), name),
                args.figures,
                f"abstaining-{name}",
            )


if __name__ == "__main__":
    run_script(main)
