"""Tables, figures and page of a search, and the winner's configuration."""

import argparse
from pathlib import Path

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.report.page import Templates
from modelswitch.search import page, steps
from modelswitch.search.designs import Known
from modelswitch.search.steps import Record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--results", required=True, type=Path, help="folder of all results")
    parser.add_argument("--designs", required=True, help="what students cost")
    parser.add_argument("--steps", nargs="+", required=True, help="all steps of all searches")
    parser.add_argument("--folder", required=True, type=Path, help="where to write")
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    found = sorted(map(steps.read, args.steps), key=lambda step: step.step)
    records = {
        arm: Record([step for step in found if step.arm == arm])
        for arm in sorted({step.arm for step in found})
    }
    templates = Templates(Path(__file__).parents[1] / "report")
    known = Known(experiment, args.designs)
    page.write(experiment, args.results, records, known, args.folder, templates)


if __name__ == "__main__":
    run_script(main)
