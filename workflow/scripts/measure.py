"""Measure what every model of an experiment costs: parameters, depth, operations, latency."""

import argparse
import dataclasses
import json

from modelswitch import artifacts, configuration_file
from modelswitch.datasets import prepared_shape
from modelswitch.errors import run_script
from modelswitch.model_checks import model_costs
from modelswitch.models import build
from modelswitch.profiling import latency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--data", required=True, help="prepared data set of the models' inputs")
    parser.add_argument("--costs", required=True, help="JSON file to write")
    args = parser.parse_args()
    experiment = configuration_file.read(args.experiment)
    shape, classes = prepared_shape(args.data)
    result = {}
    for name, cost in model_costs(experiment, shape, classes).items():
        model = build(experiment.models[name], shape[2], classes)
        result[name] = dataclasses.asdict(cost) | {"latency_ms": latency(model, shape)}
    with artifacts.replacing(args.costs) as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
