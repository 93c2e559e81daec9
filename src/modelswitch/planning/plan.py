"""What an experiment would train: the tree of models, their cost, and how long it takes."""

import math
from collections import Counter
from dataclasses import dataclass

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from modelswitch.config.experiment import Experiment
from modelswitch.config.job import Job
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder
from modelswitch.models.cost import Cost
from modelswitch.wording import duration, short_count

# Of the time of a step with a hint, the part that the teacher's front takes is not known without
# cutting it; half of its whole answer is what the default layer at half the depth comes to.
_FRONT = 0.5


@dataclass(frozen=True)
class Size:
    """What the estimate needs of a data set."""

    train: int
    shape: tuple[int, int, int]
    classes: int


def seconds_of(job: Job, rates: dict[str, dict[str, float]], size: Size, names: dict) -> float:
    """Estimated time of one training from the measured time of its steps."""
    images = size.train * (1 - job.validation)
    steps = max(1, math.floor(images / min(job.training.batch, images)))
    model = rates[names[job.lineage]]
    step = model["step"]
    transfer = job.transfer
    answers = [rates[names[teacher.lineage]]["answer"] for teacher in job.teachers]
    if transfer is not None and not job.stored_views:
        step += sum(answers)
    if transfer is not None and transfer.hint is not None:
        step += _FRONT * answers[0]
    batches = size.train * job.validation / job.training.batch
    return job.training.epochs * (steps * step + batches * model["answer"])


def trainings(experiment: Experiment) -> dict[str, list[tuple[ModelFolder, Job]]]:
    """Every job that trains, by kind: models, pre-trained fronts, fold teachers."""
    graph = Graph(experiment)
    found: dict[str, list[tuple[ModelFolder, Job]]] = {"models": [], "fronts": [], "folds": []}
    for place in graph.all_places():
        kind = "models" if place.branch.fold is None else "folds"
        found[kind].append((place, graph.train_job(place)))
        if graph.pretrains(place):
            found["fronts"].append((place, graph.hint_job(place)))
    return found


def estimate(
    experiment: Experiment, rates: dict[str, dict[str, float]], size: Size, cores: int
) -> tuple[float, float]:
    """Processor time of all trainings, and wall time on ``cores``, both in seconds.

    The wall time is the larger of the even share and the longest chain, which cannot be split.
    """
    names = {
        str(end): end.last.model
        for lineage in experiment.lineages.values()
        for end in (lineage, *lineage.ancestors())
    }
    slots = max(1, cores // experiment.resources.threads)
    total, by_place = 0.0, Counter()
    for jobs in trainings(experiment).values():
        for place, job in jobs:
            names.setdefault(job.lineage, place.lineage.last.model)
            spent = seconds_of(job, rates, size, names)
            total += spent
            by_place[place] += spent

    def chain(place: ModelFolder) -> float:
        parent = place.lineage.parent
        above = (
            0.0
            if parent is None
            else chain(ModelFolder(place.experiment, place.dataset, place.branch, parent))
        )
        return above + by_place[place]

    longest = max(chain(place) for place in list(by_place))
    return total, max(total / slots, longest)


@dataclass
class _Row:
    """A line of the tree: one lineage, or all variants of a sweep, which cost the same."""

    lineage: Lineage
    name: str
    variants: int
    labels: list[str]


def _rows(experiment: Experiment) -> list[_Row]:
    """The models in the order of the tree, the variants of each sweep gathered in one row."""
    swept = {}
    for name, sweep in experiment.sweeps.items():
        for label, lineage in experiment.lineages.items():
            if label.startswith(f"{name}-") and label not in experiment.chains:
                swept[lineage] = (name, Lineage.parse(sweep.chain).last)
    rows: dict[object, _Row] = {}
    labels: dict[Lineage, list[str]] = {}
    for label, lineage in experiment.lineages.items():
        if lineage not in swept:
            labels.setdefault(lineage, []).append(label)
    ends = {
        end for lineage in experiment.lineages.values() for end in (lineage, *lineage.ancestors())
    }
    for lineage in sorted(ends, key=lambda end: [str(step) for step in end.steps]):
        if lineage in swept:
            name, step = swept[lineage]
            row = rows.setdefault((lineage.parent, name), _Row(lineage, f"{step}-…", 0, [name]))
            row.variants += 1
        else:
            rows[lineage] = _Row(lineage, str(lineage.last), 1, labels.get(lineage, []))
    return list(rows.values())


def tree(experiment: Experiment, costs: dict[str, Cost]) -> Table:
    """All lineages as an indented tree, with the cost of every model and its ratios."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for heading in ("params", "layers", "MACs", "of parent", "of first"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=max(len(heading), 6))
    table.add_column("ends chain", overflow="fold")
    for row in _rows(experiment):
        cost = costs[row.lineage.last.model]
        depth, parent = len(row.lineage) - 1, row.lineage.parent
        name = "  " * (depth - 1) + "└ " * (depth > 0) + row.name
        ratios = ("", "")
        if parent is not None:
            above = (costs[parent.last.model], costs[row.lineage.steps[0].model])
            ratios = tuple(f"1/{c.parameters / cost.parameters:.1f}" for c in above)
        table.add_row(
            Text(name + (f" ×{row.variants}" if row.variants > 1 else "")),
            short_count(cost.parameters),
            str(cost.depth),
            short_count(cost.macs),
            *ratios,
            ", ".join(row.labels),
        )
    return table


def show(
    experiment: Experiment,
    costs: dict[str, Cost],
    rates: dict[str, dict[str, float]],
    size: Size | None,
    cores: int,
    console: Console,
) -> None:
    """Print the plan."""
    found = trainings(experiment)
    total = sum(map(len, found.values()))
    unshared = sum(len(lineage) for lineage in experiment.lineages.values())
    unshared *= len(experiment.seeds) * len(experiment.datasets)
    parts = [f"{len(found['models'])} models"]
    parts += [f"{len(found['fronts'])} pre-trained fronts"] if found["fronts"] else []
    parts += [f"{len(found['folds'])} fold teachers"] if found["folds"] else []
    lines = [
        f"[bold]{experiment.name}[/bold]: {', '.join(experiment.datasets)}; "
        f"seeds {', '.join(map(str, experiment.seeds))}",
        tree(experiment, costs) if costs else "sizes: unknown until the images have been read",
        f"\n{total} trainings: {', '.join(parts)} ({unshared} models without sharing)",
    ]
    if size is None:
        lines.append("time: unknown until the data set has been downloaded")
    else:
        processor, wall = estimate(experiment, rates, size, cores)
        threads = experiment.resources.threads
        lines.append(
            f"time: about {duration(wall)} on {cores} cores, {threads} a training "
            f"({duration(processor)} one after the other)"
        )
    console.print(Group(*lines))
