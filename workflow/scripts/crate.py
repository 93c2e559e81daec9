"""Pack what is stored of an experiment as an RO-Crate."""

import argparse
from pathlib import Path

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.jobs.crate import pack
from modelswitch.results.joining import read_part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiment",
        help="file with the configuration, as JSON; default: what stands by the tables",
    )
    parser.add_argument("--results", required=True, type=Path, help="the experiment's own folder")
    parser.add_argument("--crate", required=True, type=Path, help="folder to write")
    args = parser.parse_args()
    if args.experiment:
        experiment = file.read(args.experiment)
    else:  # joined from parts, so that no workflow knows of it
        experiment = read_part(args.results).experiment
    pack(experiment, args.results, Path(__file__).parents[2], args.crate)


if __name__ == "__main__":
    run_script(main)
