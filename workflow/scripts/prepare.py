"""Turn a data set, wherever it is kept, into one checked file of arrays a modality."""

import argparse

from pydantic import TypeAdapter

from modelswitch.config.data import DataSpec
from modelswitch.errors import run_script
from modelswitch.jobs.prepare import prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the `data` section, as JSON")
    parser.add_argument("--data", required=True, nargs="+", help="one file a modality, in order")
    parser.add_argument("--holds", default="", help="what the data held when this was planned")
    parser.add_argument("--configuration", nargs="*", default=[], help="where `data` comes from")
    args = parser.parse_args()
    spec: DataSpec = TypeAdapter(DataSpec).validate_json(args.spec)
    print(*prepare(spec, args.data, args.holds, args.configuration), sep="\n")


if __name__ == "__main__":
    run_script(main)
