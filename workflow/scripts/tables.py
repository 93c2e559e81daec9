"""Write an experiment's tidy tables from the results that are stored."""

import argparse
import json

from modelswitch.config import load
from modelswitch.errors import run_script
from modelswitch.tables import Stored, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="the configuration, as JSON")
    parser.add_argument("--tables", required=True, help="folder to write to")
    args = parser.parse_args()
    stored = Stored(load(json.loads(args.experiment)))
    write(stored, args.tables)


if __name__ == "__main__":
    run_script(main)
