"""Keep the people that no model is trained with, one file of images a modality."""

import argparse

from pydantic import TypeAdapter

from modelswitch.config.data import DataSpec
from modelswitch.config.verification import Verification
from modelswitch.errors import run_script
from modelswitch.jobs.strangers import keep_strangers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the `data` section, as JSON")
    parser.add_argument("--settings", required=True, help="selector.verification, as JSON")
    parser.add_argument("--strangers", required=True, nargs="+", help="one file a modality")
    parser.add_argument("--holds", default="", help="what the data held when this was planned")
    args = parser.parse_args()
    spec: DataSpec = TypeAdapter(DataSpec).validate_json(args.spec)
    settings = Verification.model_validate_json(args.settings)
    print(*keep_strangers(spec, settings, args.strangers, args.holds), sep="\n")


if __name__ == "__main__":
    run_script(main)
