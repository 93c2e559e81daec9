"""Time exported files on this machine: rows of latency.csv."""

import argparse
from pathlib import Path

from modelswitch.errors import run_script
from modelswitch.jobs.time_exports import time_exports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", required=True, nargs="+", type=Path)
    parser.add_argument("--latency", required=True, type=Path, help="CSV file to write")
    args = parser.parse_args()
    time_exports(args.files, args.latency)


if __name__ == "__main__":
    run_script(main)
