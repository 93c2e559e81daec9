"""Make tables, claims, figures, summary and page of an experiment from what is stored.

Nothing here trains. One process does it all, because starting Python and importing the libraries
takes longer than most of the steps.
"""

import argparse
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
    parser.add_argument("--results", default="results", type=Path, help="folder of all results")
    parser.add_argument("--command", default="", help="what made the results, for the page to tell")
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    root = Path(__file__).parents[2]
    report = write.Report(
        experiment, root / "workflow" / "report", args.results, args.command, root
    )
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
        report.write_cards()


if __name__ == "__main__":
    run_script(main)
