"""Print what an experiment would train, how large it is and how long it takes."""

import argparse

import torch
from rich.console import Console

from modelswitch.config import file
from modelswitch.data.shapes import shapes_of, sizes_of
from modelswitch.errors import run_script
from modelswitch.graph import Graph
from modelswitch.models.designs import model_costs
from modelswitch.planning.plan import show
from modelswitch.planning.speed import MeasuredPace
from modelswitch.planning.tasks import Tasks
from modelswitch.search.plan import lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--threads", type=int, help="of a training; as the configuration says")
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    if args.threads:
        resources = experiment.resources.model_copy(update={"threads": args.threads})
        experiment = experiment.model_copy(update={"resources": resources})
    graph = Graph(experiment)
    sizes = {k: size for k, size in sizes_of(experiment.data).items() if size is not None}
    costs = {
        name: {} if known is None else model_costs(experiment, *known)
        for name, known in shapes_of(experiment.data).items()
    }
    pace = MeasuredPace(experiment, sizes)
    gpus = torch.cuda.device_count() if pace.device.type == "cuda" else 0
    console = Console()
    show(experiment, costs, Tasks(graph, sizes, pace), sizes, args.cores, console, gpus)
    for line in lines(experiment, sizes.get(experiment.datasets[0])):
        console.print(line)


if __name__ == "__main__":
    run_script(main)
