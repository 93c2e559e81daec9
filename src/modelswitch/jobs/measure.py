"""Measuring what every model of an experiment costs: parameters, depth, operations, latency."""

import dataclasses
import json

from modelswitch.config.experiment import Experiment
from modelswitch.data.arrays import prepared_shape
from modelswitch.models.build import build
from modelswitch.models.cost import latency, model_costs
from modelswitch.models.designs import Designs
from modelswitch.storage import atomic


def measure(experiment: Experiment, data: str, costs: str) -> None:
    """Write the cost of every used model on the images of ``data`` to the JSON file ``costs``."""
    shape, classes = prepared_shape(data)
    result = {}
    designs = Designs(experiment, shape, classes)
    for design, cost in model_costs(experiment, shape, classes).items():
        model = build(designs.of(design), shape[2], classes)
        result[design] = dataclasses.asdict(cost) | {"latency_ms": latency(model, shape)}
    with atomic.replacing(costs) as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
