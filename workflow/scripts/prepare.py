"""Turn a data set, wherever it is kept, into one checked file of arrays."""

import argparse

from pydantic import TypeAdapter

from modelswitch.data_specs import DataSpec
from modelswitch.errors import run_script
from modelswitch.sources import read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the `data` section, as JSON")
    parser.add_argument("--data", required=True)
    args = parser.parse_args()
    arrays = read(TypeAdapter(DataSpec).validate_json(args.spec))
    arrays.save(args.data)
    train, test = len(arrays.train_labels), len(arrays.test_labels)
    shape = "x".join(map(str, arrays.image_shape))
    print(f"{train} training and {test} test images {shape}, {arrays.num_classes} classes")


if __name__ == "__main__":
    run_script(main)
