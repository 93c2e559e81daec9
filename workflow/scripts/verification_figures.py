"""Draw the DET curves of one experiment's selectors."""

import argparse
from pathlib import Path

from modelswitch.errors import run_script
from modelswitch.report.figures import style, verification
from modelswitch.results.tables import Tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", required=True, type=Path, help="folder with det.csv")
    parser.add_argument("--selectors", required=True, nargs="+")
    parser.add_argument("--figures", required=True, type=Path, help="folder to write to")
    args = parser.parse_args()
    tables = Tables(args.tables)
    with style.look():
        for name in args.selectors:
            style.save(verification.det(tables, name), args.figures, f"verification-{name}")


if __name__ == "__main__":
    run_script(main)
