"""Turn a data set, wherever it is kept, into one checked file of arrays a modality."""

import argparse
from pathlib import Path

from pydantic import TypeAdapter

from modelswitch.config.data import DataSpec
from modelswitch.errors import run_script
from modelswitch.jobs.prepare import prepare
from modelswitch.storage.code_digest import code_digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the `data` section, as JSON")
    parser.add_argument("--data", required=True, nargs="+", help="one file a modality, in order")
    parser.add_argument("--holds", default="", help="what the data held when this was planned")
    parser.add_argument("--configuration", nargs="*", default=[], help="where `data` comes from")
    args = parser.parse_args()
    spec: DataSpec = TypeAdapter(DataSpec).validate_json(args.spec)
    code = code_digest(Path(__file__).resolve())
    print(*prepare(spec, args.data, args.holds, args.configuration, code), sep="\n")


if __name__ == "__main__":
    run_script(main)
