"""Print what an experiment would train, how large it is and how long it takes."""

import argparse

from rich.console import Console

from modelswitch.config import file
from modelswitch.data.shapes import shapes_of, training_images
from modelswitch.errors import run_script
from modelswitch.models.cost import model_costs
from modelswitch.planning.plan import Size, show
from modelswitch.planning.speed import seconds_per_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--cores", type=int, required=True)
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    known = next(iter(shapes_of(experiment.data).values()))
    costs = {} if known is None else model_costs(experiment, *known)
    count = training_images(experiment.data)
    size = None if count is None or known is None else Size(count, *known)
    rates = {} if known is None else seconds_per_step(experiment, list(costs), *known)
    show(experiment, costs, rates, size, args.cores, Console())


if __name__ == "__main__":
    run_script(main)
