"""Measuring what every model of an experiment costs: parameters, depth, operations, latency."""

import dataclasses
import json
from collections.abc import Mapping

from modelswitch.config.experiment import Experiment
from modelswitch.data.arrays import prepared_shape
from modelswitch.models.build import build, stored_architecture
from modelswitch.models.cost import latency
from modelswitch.models.designs import Designs, model_costs
from modelswitch.storage import artifacts, atomic


def measure(experiment: Experiment, data: str, costs: str, models: Mapping[str, str]) -> None:
    """Write the cost of every used model on the images of ``data`` to the JSON file ``costs``.

    Args:
        models: of designs that weights decide about, a file with a model that is of each.
    """
    shape, classes = prepared_shape(data)
    result = {}
    found = {
        design: stored_architecture(artifacts.read_passport(path), path)
        for design, path in models.items()
    }
    designs = Designs(experiment, shape, classes, found)
    for design, cost in model_costs(experiment, shape, classes, found).items():
        model = build(designs.of(design), shape[2], classes)
        result[design] = dataclasses.asdict(cost) | {"latency_ms": latency(model, shape)}
    with atomic.replacing(costs) as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
