"""Draw the figures of a study from its tidy tables; needs nothing but the folder with them."""

import argparse

from modelswitch.errors import UserError, naming, run_script
from modelswitch.report import contents
from modelswitch.report.figures import draw
from modelswitch.report.two_runs import tables_of

FORMATS = ("png", "svg", "pdf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", required=True, help="folder with models.csv, or above it")
    parser.add_argument("--output", required=True, help="folder to write to")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=list(draw.FORMATS), metavar="FORMAT",
        help=f"of {', '.join(FORMATS)}; default: {' '.join(draw.FORMATS)}",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these figures")
    args = parser.parse_args()
    with naming("--tables"):
        tables = tables_of(args.tables)
    facts = contents.facts_in(tables)
    items = contents.all_figures(facts)
    if args.only:
        known = [item.file for item in items]
        for name in args.only:
            if name not in known:
                raise UserError(f"--only: unknown figure {name!r}; allowed: {', '.join(known)}")
        items = [item for item in items if item.file in args.only]
    for path in draw.draw_all(tables, items, args.output, args.formats):
        print(path)


if __name__ == "__main__":
    run_script(main)
