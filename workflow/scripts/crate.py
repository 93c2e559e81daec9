"""Pack what is stored of an experiment as an RO-Crate."""

import argparse
from pathlib import Path

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.jobs.crate import pack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--results", required=True, type=Path, help="the experiment's own folder")
    parser.add_argument("--crate", required=True, type=Path, help="folder to write")
    args = parser.parse_args()
    pack(file.read(args.experiment), args.results, Path(__file__).parents[2], args.crate)


if __name__ == "__main__":
    run_script(main)
