"""What an experiment would train: the tree of models, their cost, and how long it takes."""

from collections import Counter
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelswitch.config.experiment import Experiment
from modelswitch.config.resources import RULES
from modelswitch.data.arrays import LARGE
from modelswitch.data.batches import incomplete
from modelswitch.data.shapes import DataSize
from modelswitch.execution import cores as cores_here
from modelswitch.lineage import Lineage
from modelswitch.models.cost import Cost
from modelswitch.planning import power
from modelswitch.planning.memory import bytes_of, images_stay_on_disk
from modelswitch.planning.tasks import ANSWERS, TRAININGS, Tasks
from modelswitch.storage import cache_folder
from modelswitch.wording import duration, part_of, short_count


@dataclass(frozen=True)
class Row:
    """A line of the tree: one lineage, or all variants of a sweep, which cost the same."""

    lineage: Lineage
    name: str
    variants: int
    ends: tuple[str, ...]


def rows(experiment: Experiment) -> list[Row]:
    """The models in the order of the tree, the variants of each sweep gathered in one row.

    A variant that has a name of its own, as a chain's end, or that is switched on has a row.
    """
    swept: dict[Lineage, list[str]] = {}
    for variant in experiment.variants:
        swept.setdefault(variant.lineage, []).append(variant.sweep)
    labels: dict[Lineage, list[str]] = {}
    for label in experiment.chains:
        labels.setdefault(experiment.lineages[label], []).append(label)
    parents = {lineage.parent for lineage in experiment.all_lineages}
    found: dict[object, Row] = {}
    for lineage in sorted(
        experiment.all_lineages, key=lambda end: [str(step) for step in end.steps]
    ):
        sweeps = tuple(dict.fromkeys(swept.get(lineage, ())))
        if not sweeps or lineage in labels or lineage in parents:
            ends_here = (*labels.get(lineage, ()), *sweeps)
            found[lineage] = Row(lineage, str(lineage.last), 1, ends_here)
            continue
        step = Lineage.parse(experiment.sweeps[sweeps[0]].chain).last
        key = (lineage.parent, str(step), sweeps)
        variants = found[key].variants + 1 if key in found else 1
        found[key] = Row(lineage, f"{step}-…", variants, sweeps)
    return list(found.values())


def tree(experiment: Experiment, costs: dict[str, Cost]) -> Table:
    """All lineages as an indented tree, with the cost of every model and its ratios.

    Args:
        costs: by design; of one that is not there nothing is known.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for heading in ("params", "layers", "MACs", "of parent", "of first"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=max(len(heading), 6))
    table.add_column("ends chain", overflow="fold")
    for row in rows(experiment):
        depth = len(row.lineage) - 1
        name = "  " * (depth - 1) + "└ " * (depth > 0) + row.name
        table.add_row(
            Text(name + (f" x {row.variants}" if row.variants > 1 else "")),
            *_sizes(experiment, row.lineage, costs),
            ", ".join(row.ends),
        )
    return table


def _sizes(experiment: Experiment, lineage: Lineage, costs: dict[str, Cost]) -> tuple[str, ...]:
    cost = costs.get(experiment.design(lineage))
    if cost is None:
        return ("?", "?", "?", "", "")
    above = [lineage.parent, Lineage(lineage.steps[:1])] if lineage.parent else []
    ratios = [
        part_of(found.parameters, cost.parameters)
        if (found := costs.get(experiment.design(other)))
        else ""
        for other in above
    ]
    about = "~" if experiment.design(lineage) in experiment.estimated else ""
    sizes = (about + short_count(cost.parameters), str(cost.depth), about + short_count(cost.macs))
    return (*sizes, *(ratios or ("", "")))


def counts(tasks: Tasks, kinds: dict[str, str]) -> tuple[int, str]:
    """How many jobs of these kinds there are, in all and in words."""
    found = Counter(task.kind for task in tasks)
    parts = [f"{found[kind]} {name}" for kind, name in kinds.items() if found[kind]]
    return sum(found[kind] for kind in kinds), ", ".join(parts)


def wall_time(tasks: Tasks, slots: int) -> float:
    """Seconds with so many jobs at a time: the even share, or the longest chain, which cannot be
    split, where that is more."""
    return max(tasks.seconds / slots, tasks.longest)


def slots(cores: int, threads: int, gpus: int = 0, share: int = 1, each: int = 1) -> int:
    """Jobs at a time: as many as have their threads, and where there are GPUs one each, or as many
    on each as share it, or ``each`` so many."""
    return max(1, min(cores // threads, gpus * share // max(each, 1) if gpus else cores))


def unseen(experiment: Experiment, sizes: dict[str, DataSize]) -> list[str]:
    """What an incomplete batch leaves out of every epoch, or where it makes batches smaller."""
    steps = {lineage.last for lineage in experiment.all_lineages}
    trained = [step for step in steps if step.model not in experiment.adopted]
    batches = sorted({experiment.training_of(step).batch for step in trained})
    found = []
    for dataset, size in sizes.items():
        images = size.to_train(experiment.data.validation)
        said = {batch: incomplete(images, batch) for batch in batches}
        found += [f"{dataset}, batches of {b}: about {text}" for b, text in said.items() if text]
    return found


def images_are(experiment: Experiment, sizes: dict[str, DataSize]) -> list[str]:
    """Where trainings have their images, if the configuration says so or there are many."""
    taken = sum(bytes_of(size) for size in sizes.values())
    if experiment.data.keep == "auto" and taken < LARGE:
        return []
    on_disk = images_stay_on_disk(experiment.data, sizes)
    where = "on disk, read as they are used" if on_disk else "in memory"
    return [f"images: {taken / 1e9:.2f} GB, {where}"]


# Where there are fewer cores, a thread a training is never far from the best.
_MANY_CORES = 8


def threads_here(threads: int) -> list[str]:
    """What was measured about threads on this machine, and what to say where trainings have
    others; that nothing was, where it would be worth it."""
    choice = cores_here.chosen(cache_folder.FOLDER)
    if choice is None:
        many = len(cores_here.available()) >= _MANY_CORES or len(cores_here.nodes()) > 1
        return ["threads: not measured on this machine; make calibrate does it once"] * many
    rates = {(count, own): rate for count, own, rate in choice.rates}
    own = ", on cores of its own" if choice.pinned else ""
    line = f"threads: {choice.threads} a training{own}: {rates[choice.threads, choice.pinned]:,.0f}"
    line += " images a second in all, measured"
    worst = min(choice.rates, key=lambda rate: rate[2])
    line += f"; with {worst[0]}{', on cores of its own' * worst[1]}: {worst[2]:,.0f}"
    if threads != choice.threads:
        said = ", ".join(f"{rule}: {choice.threads}" for rule in RULES)
        line += f". A profile says it: set-threads: {{{said}}}"
    return [line]


def show(
    experiment: Experiment,
    costs: dict[str, dict[str, Cost]],
    tasks: Tasks,
    sizes: dict[str, DataSize],
    cores: int,
    console: Console,
    gpus: int = 0,
) -> None:
    """Print the plan.

    Args:
        costs: by data set and design; none for a data set of which nothing is known.
        sizes: of the data sets that are known.
        gpus: that trainings can use.
    """
    several = len(experiment.datasets) > 1
    lines: list[RenderableType] = [
        f"[bold]{experiment.name}[/bold]: {', '.join(experiment.datasets)}; "
        f"seeds {', '.join(map(str, experiment.seeds))}"
    ]
    again = {name: times for name, times in experiment.repeats.items() if times > 1}
    lines += [
        "repeats for each seed: " + ", ".join(f"{name} {times}" for name, times in again.items())
    ] * bool(again)
    shown: list[dict[str, Cost]] = []
    for found in costs.values():
        if found not in shown:
            shown.append(found)
            alike = [name for name, others in costs.items() if others == found]
            lines += [f"\n{', '.join(alike)}"] if several else []
            lines.append(tree(experiment, found))
    total, trained = counts(tasks, TRAININGS)
    alone = sum(len(end) * experiment.repeats_of(end) for end in experiment.lineages.values())
    alone *= len(experiment.seeds) * len(experiment.datasets)
    lines.append(f"\n{total} trainings: {trained} ({alone} models without sharing)")
    stored, answered = counts(tasks, ANSWERS)
    lines += [f"beside them {answered}"] if stored else []
    lines += images_are(experiment, sizes)
    lines += [] if gpus else threads_here(experiment.resources.threads)
    lines += unseen(experiment, sizes)
    lines += power.shown(experiment)
    lines += [
        f"transfers.{name}.{note}"
        for name, transfer in experiment.transfers.items()
        for note in transfer.notes
    ]
    lines += ["with patience: all epochs are counted, and trainings may end earlier"] * any(
        experiment.training_of(step).stop.patience
        for lineage in experiment.lineages.values()
        for step in lineage.steps
    )
    if experiment.estimated:
        lines.append("~: estimated; the weights of a model decide which of its channels are pruned")
    if len(sizes) < len(experiment.datasets):
        lines.append("sizes and time: unknown until the data set has been downloaded")
    else:
        asked = experiment.resources
        threads = asked.threads
        wall = wall_time(tasks, slots(cores, threads, gpus, asked.gpu_share, asked.gpu))
        machine = _counted(cores, "core") + (f" and {_counted(gpus, 'GPU')}" if gpus else "")
        lines.append(
            f"time: about {duration(wall)} on {machine}, {_counted(threads, 'core')} a training "
            f"({duration(tasks.seconds)} one after the other)"
        )
        if gpus and asked.gpu > 1:
            lines.append(f"each training has {asked.gpu} GPUs; its time is estimated as on one")
    console.print(Group(*lines))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
