"""Turn data with several modalities into one checked file of arrays for each, rows paired."""

import argparse

from pydantic import TypeAdapter

from modelswitch.data_specs import DataSpec
from modelswitch.errors import run_script
from modelswitch.modalities import read_modalities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the `data` section, as JSON")
    parser.add_argument("--data", required=True, nargs="+", help="one file a modality, in order")
    args = parser.parse_args()
    modalities = read_modalities(TypeAdapter(DataSpec).validate_json(args.spec))
    for path, (name, arrays) in zip(args.data, modalities.items(), strict=True):
        arrays.save(path)
        train, test = len(arrays.train_labels), len(arrays.test_labels)
        shape = "x".join(map(str, arrays.image_shape))
        print(f"{name}: {train} training and {test} test images {shape}")


if __name__ == "__main__":
    run_script(main)
