"""What every student of a search costs, before any of them is trained.

Sizes and operations follow from the architecture. Latency and the size of a file are those of the
exported ONNX file, whose weights are any: what it does for an image is the same.
"""

import dataclasses
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from modelswitch.config.experiment import Experiment, load
from modelswitch.config.search import Search
from modelswitch.config.space import Choices, Values
from modelswitch.data.shapes import DataSize, Shape
from modelswitch.deployment import latency
from modelswitch.deployment.deployable import Deployable
from modelswitch.deployment.export import export
from modelswitch.errors import UserError
from modelswitch.lineage import Lineage
from modelswitch.models.build import build
from modelswitch.models.designs import Designs, model_costs
from modelswitch.planning.speed import MeasuredPace
from modelswitch.search.schedule import trainings, whole_epochs
from modelswitch.search.steps import Quantities
from modelswitch.storage import atomic
from modelswitch.wording import amount

MEASURED = ("latency_ms", "size_kb")


def of_space(experiment: Experiment) -> Experiment:
    """The experiment with the space's students, and its own chains, as chains."""
    choices = experiment.choices
    assert choices is not None
    found = {str(lineage): lineage for lineage in experiment.lineages.values()}
    for lineage, _ in choices.designs():
        found.setdefault(experiment.design(lineage), lineage)
    values = experiment.model_dump(mode="json")
    chains = {f"design{number}": str(lineage) for number, lineage in enumerate(found.values())}
    parts = ("data", "models", "transfers", "training", "model_training", "search", "resources")
    kept = {name: values[name] for name in parts}
    # Transfers of sweeps, which chains may have, are no part of what a network costs.
    kept["transfers"] |= {
        name: transfer.model_dump(mode="json")
        for name, transfer in experiment.all_transfers.items()
        if name not in choices.transfers
    }
    return load(kept | {"name": experiment.name, "chains": chains, "seeds": experiment.seeds})


def within(search: Search, quantities: Quantities) -> bool:
    """Whether a student keeps to what is known beforehand."""
    return all(quantities[name] <= bound for name, bound in search.constraints.bounds.items())


def sizes_of(experiment: Experiment, shape: Shape) -> dict[str, dict[str, float]]:
    """By design, parameters, depth and macs of the space's students and of the chains' ends.

    Raises:
        UserError: a model cannot run, or no student keeps to the constraints.
    """
    found = {
        design: {name: float(value) for name, value in dataclasses.asdict(cost).items()}
        for design, cost in model_costs(of_space(experiment), *shape).items()
    }
    _refuse_none_left(experiment, found)
    return found


def _refuse_none_left(experiment: Experiment, found: Mapping[str, Mapping[str, float]]) -> None:
    search = experiment.search
    assert search is not None
    students = designs_of_students(experiment)
    known = [found[design] for design in students if design in found]
    for name, bound in search.constraints.bounds.items():
        values = [each[name] for each in known if name in each]
        if values and min(values) > bound:
            raise UserError(
                f"search.constraints.{name}: found {amount(bound)}, but the smallest of "
                f"{len(values)} students of search.space has {_shown(min(values))}"
            )
    bounds = {k: v for k, v in search.constraints.bounds.items() if k in next(iter(known))}
    if not any(all(each[name] <= bound for name, bound in bounds.items()) for each in known):
        raise UserError(
            f"search.constraints: no student of search.space keeps to {' and '.join(bounds)} "
            "at once"
        )


def _shown(value: float) -> str:
    return amount(value) if value >= 100 else f"{value:.3g}"


def designs_of_students(experiment: Experiment) -> list[str]:
    assert experiment.choices is not None
    return list(
        dict.fromkeys(experiment.design(lineage) for lineage, _ in experiment.choices.designs())
    )


class Known:
    """What is known of a search's students, as `write` left it.

    Attributes:
        trainings: how many students the budget begins.
    """

    def __init__(self, experiment: Experiment, path: str | Path) -> None:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        self._experiment = experiment
        self._quantities: dict[str, dict[str, float]] = values["designs"]
        self.trainings: int = values["trainings"]
        self.seconds_per_epoch: float = values["seconds_per_epoch"] or math.nan

    def of(self, lineage: Lineage) -> dict[str, float]:
        """What the last model of a chain costs."""
        return self._quantities[self._experiment.design(lineage)]

    def parameters(self, lineage: Lineage) -> float:
        """Of any model of a chain; NaN for one whose size was not measured."""
        found = self._quantities.get(self._experiment.design(lineage), {})
        return found.get("parameters", math.nan)

    def allows(self, lineage: Lineage) -> bool:
        """Whether it keeps to what is known beforehand."""
        assert self._experiment.search is not None
        return within(self._experiment.search, self.of(lineage))

    def allowed(self, choices: Choices, values: Values) -> bool:
        return self.allows(choices.lineage(values))


def write(experiment: Experiment, shape: Shape, size: DataSize | None, path: str) -> None:
    """Measure all students and write what `Known` reads.

    Raises:
        UserError: no student keeps to the constraints, or the budget pays for none.
    """
    search = experiment.search
    assert search is not None
    found = sizes_of(experiment, shape)
    asked = {*search.constraints.bounds, *search.goal.least} & set(MEASURED)
    space = of_space(experiment)
    if asked:
        designs = Designs(space, *shape)
        bounds = {k: v for k, v in search.constraints.bounds.items() if k not in MEASURED}
        for design, quantities in found.items():
            if all(quantities[name] <= bound for name, bound in bounds.items()):
                quantities |= _exported(designs, design, shape)
            else:
                quantities |= dict.fromkeys(MEASURED, math.inf)
        _refuse_none_left(experiment, found)
    seconds = math.nan
    if search.budget.hours is not None:
        if size is None:
            raise UserError(
                "search.budget.hours: how many images there are is known after a download only; "
                "give trainings or epochs"
            )
        seconds = seconds_per_epoch(experiment, size)
    text = {
        "trainings": trainings(experiment, seconds),
        "seconds_per_epoch": None if math.isnan(seconds) else seconds,
        "whole_epochs": whole_epochs(experiment),
        "designs": found,
    }
    atomic.write_text(path, json.dumps(text, indent=1) + "\n")


def _exported(designs: Designs, design: str, shape: Shape) -> dict[str, float]:
    """Latency and size of a design's ONNX file."""
    (height, width, channels), classes = shape
    network = build(designs.of(design), channels, classes).eval()
    with torch.no_grad():
        network(torch.zeros(1, channels, height, width))
    model = Deployable(network, [0.5] * channels, [0.5] * channels)
    about: dict[str, Any] = {"lineage": design, "shape": [height, width, channels]}
    about |= {"classes": [str(number) for number in range(classes)]}
    pixels = torch.zeros(2, height, width, channels, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export("onnx", model, pixels, path, about)
        rows = latency.measure(path, threads=1)
    [median] = [row["median_ms"] for row in rows if row["batch"] == 1]
    return {"latency_ms": median, "size_kb": rows[0]["bytes"] / 1000}


def seconds_per_epoch(experiment: Experiment, size: DataSize, most: int | None = None) -> float:
    """Mean of the space's students, by this machine's measured speed.

    Args:
        most: how many of them are measured, spread over the space; all by default.
    """
    space = of_space(experiment)
    assert experiment.choices is not None
    assert experiment.search is not None
    pace, [dataset] = MeasuredPace(space, {experiment.datasets[0]: size}), experiment.datasets
    share, found = experiment.data.validation, []
    students = [
        lineage
        for lineage in space.lineages.values()
        if lineage.last.model in experiment.choices.students
    ]
    for lineage in students[:: max(1, len(students) // (most or len(students)))]:
        training = experiment.training_of(lineage.last)
        design, images = experiment.design(lineage), min(training.batch, size.to_train(share))
        assert lineage.parent is not None
        answer = pace.answer(dataset, design, training, images)
        above = space.design(lineage.parent)
        if above in space.designs:
            teacher = pace.answer(dataset, above, training, images)
        else:
            teacher = answer
        step = pace.step(dataset, design, training, images) + teacher
        found.append((size.to_train(share) * step + size.to_validate(share) * answer) / images)
    return sum(found) / len(found)
