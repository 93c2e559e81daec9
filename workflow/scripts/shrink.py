"""Write a configuration that searches for a smaller model than the one that is there."""

import argparse
from pathlib import Path

from modelswitch.errors import UserError, run_script
from modelswitch.search.shrink import configuration
from modelswitch.storage import atomic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of images, .npz, or digits")
    parser.add_argument("--teacher", help="file with the weights of the model that is there")
    parser.add_argument("--max", default="parameters<50k", help="e.g. parameters<50k,latency_ms<1")
    parser.add_argument("--as", dest="kind", help="what network it is, e.g. torchvision:resnet18")
    parser.add_argument("--size", type=int, help="height and width of the images")
    parser.add_argument("--trainings", type=int, default=81, help="students that are begun")
    parser.add_argument("--epochs", type=int, default=27, help="of a whole training")
    parser.add_argument("--into", default="shrink.yaml", help="YAML file to write")
    args = parser.parse_args()
    path = Path(args.into)
    text = configuration(
        args.data,
        args.teacher or None,
        args.max,
        kind=args.kind or None,
        size=args.size,
        trainings=args.trainings,
        epochs=args.epochs,
        name=path.stem,
    )
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(f"{path}: is there and says something else; remove it, or give INTO=<file>")
    atomic.write_text(path, text)
    print(f"{path} is written")


if __name__ == "__main__":
    run_script(main)
