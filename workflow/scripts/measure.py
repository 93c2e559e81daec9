"""Measure what every model of an experiment costs: parameters, depth, operations, latency."""

import argparse

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.jobs.measure import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--data", required=True, help="prepared data set of the models' inputs")
    parser.add_argument("--costs", required=True, help="JSON file to write")
    args = parser.parse_args()
    measure(file.read(args.experiment), args.data, args.costs)


if __name__ == "__main__":
    run_script(main)
