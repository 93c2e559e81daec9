"""Measure how many threads a training should have on this machine, and remember it."""

import argparse

from modelswitch.config import file
from modelswitch.data.shapes import sizes_of
from modelswitch.errors import UserError, run_script
from modelswitch.execution import cores
from modelswitch.planning.calibration import costliest, measured, remember
from modelswitch.planning.plan import threads_here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    sizes = [size for size in sizes_of(experiment.data).values() if size is not None]
    if not sizes:
        raise UserError("data: sizes are not known before the download; run once, then calibrate")
    name, spec, training = costliest(experiment, sizes[0])
    count = len(cores.available())
    print(f"{count} cores, trainings of {name}, batches of {training.batch}", flush=True)
    remember(measured(spec, sizes[0], training, lambda line: print(line, flush=True)))
    for line in threads_here(experiment.resources.threads):
        print(line)


if __name__ == "__main__":
    run_script(main)
