"""Print what an experiment would train, how large it is and how long it takes."""

import argparse

import torch
from rich.console import Console

from modelswitch.config import file
from modelswitch.data.shapes import shapes_of, sizes_of
from modelswitch.errors import run_script
from modelswitch.graph import Graph
from modelswitch.models.designs import model_costs
from modelswitch.planning.checks import memory_note, needed_on_gpu
from modelswitch.planning.plan import show
from modelswitch.planning.sharing import smallest_gpu_mb, suggestions
from modelswitch.planning.speed import MeasuredPace
from modelswitch.planning.tasks import Tasks
from modelswitch.search.plan import lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--threads", type=int, help="of a training; as the configuration says")
    parser.add_argument("--gpus", type=int, help="likewise")
    parser.add_argument("--share", type=int, help="of how many parts of a GPU it has one; likewise")
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    needed = needed_on_gpu(memory_note(experiment))
    said = {"threads": args.threads, "gpu": args.gpus, "gpu_share": args.share}
    said = {key: value for key, value in said.items() if value is not None}
    resources = experiment.resources.model_copy(update=said)
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
    notes = lines(experiment, sizes.get(experiment.datasets[0]))
    if resources.gpu == resources.gpu_share == 1 and (memory := smallest_gpu_mb()):
        notes = [*suggestions(needed, memory, args.cores // resources.threads), *notes]
    for line in notes:
        console.print(line)


if __name__ == "__main__":
    run_script(main)
