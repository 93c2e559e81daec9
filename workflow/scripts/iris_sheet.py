"""Draw how irises were found in some photographs of eyes."""

import argparse
from pathlib import Path

from modelswitch.data.eyes.irises import Irises
from modelswitch.errors import run_script
from modelswitch.report.figures import style
from modelswitch.report.figures.irises import iris_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", required=True, type=Path, help="a file beside the data")
    parser.add_argument("--sheet", required=True, type=Path)
    args = parser.parse_args()
    with style.look():
        figure = iris_sheet(Irises.examples_in(args.examples))
        style.save(figure, args.sheet.parent, args.sheet.stem, [args.sheet.suffix[1:]])


if __name__ == "__main__":
    run_script(main)
