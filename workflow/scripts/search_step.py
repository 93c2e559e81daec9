"""What a search trains next, from what came of everything before."""

import argparse
from pathlib import Path

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.graph import Graph
from modelswitch.search import steps
from modelswitch.search.designs import Known
from modelswitch.search.flow import next_step
from modelswitch.search.scores import scores_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--results", required=True, help="folder with all results")
    parser.add_argument("--designs", required=True, help="what students cost")
    parser.add_argument("--arm", required=True, help="which search")
    parser.add_argument("--step", type=int, required=True)
    parser.add_argument("--before", nargs="*", default=[], help="all steps before it, in order")
    parser.add_argument("--next", required=True, help="JSON file to write")
    args = parser.parse_args()
    experiment = file.read(args.experiment)
    before = [steps.read(path) for path in args.before]
    scores = scores_of(Graph(experiment), Path(args.results), before[-1]) if before else []
    known = Known(experiment, args.designs)
    next_step(experiment, args.arm, args.step, before, scores, known).write(args.next)


if __name__ == "__main__":
    run_script(main)
