"""What every student of a search costs: measured before any of them is trained."""

import argparse

import torch

from modelswitch.config import file
from modelswitch.data.arrays import prepared_shape
from modelswitch.data.shapes import sizes_of
from modelswitch.errors import run_script
from modelswitch.search.designs import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--data", required=True, help="prepared data set")
    parser.add_argument("--designs", required=True, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    experiment = file.read(args.experiment)
    [dataset] = experiment.datasets
    write(experiment, prepared_shape(args.data), sizes_of(experiment.data)[dataset], args.designs)


if __name__ == "__main__":
    run_script(main)
