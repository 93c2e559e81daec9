"""Make tables, claims, figures, summary and page of an experiment from what is stored.

Nothing here trains. One process does it all, because starting Python and importing the libraries
takes longer than most of the steps.
"""

import argparse
import os
from pathlib import Path

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.report import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument(
        "--only", choices=("tables", "figures"), help="only these, of whatever results there are"
    )
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    root = Path(__file__).parents[2]
    command = os.environ.get("MODELSWITCH_COMMAND", "")
    report = write.Report(experiment, root / "workflow" / "report", command, root)
    if args.only == "tables":
        report.write_tables()
    elif args.only == "figures":
        if not (report.tables / "models.csv").exists():
            report.write_tables()
        report.write_figures()
    else:
        report.write_tables()
        report.write_figures()
        report.write_page()


if __name__ == "__main__":
    run_script(main)
