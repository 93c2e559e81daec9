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
    parser.add_argument("--designs", nargs="*", default=[], help="those that weights decide about")
    parser.add_argument("--models", nargs="*", default=[], help="a trained model of each")
    args = parser.parse_args()
    models = dict(zip(args.designs, args.models, strict=True))
    measure(file.read(args.experiment), args.data, args.costs, models)


if __name__ == "__main__":
    run_script(main)
