"""The command line beside the workflow: ask a trained model, measure an exported file."""

import argparse
import csv
import json
import sys
from pathlib import Path

from modelswitch.errors import UserError, run_script


def _predict(args: argparse.Namespace) -> None:
    from modelswitch.deployment.predictor import load

    predictor = load(args.model)
    found = predictor.predict(args.images, args.top)
    if args.json:
        rows = [
            {"image": image, "classes": one.classes, "probabilities": one.probabilities}
            for image, one in zip(args.images, found, strict=True)
        ]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right")
    for image, one in zip(args.images, found, strict=True):
        for rank, (name, probability) in enumerate(
            zip(one.classes, one.probabilities, strict=True)
        ):
            table.add_row(Text("" if rank else image), Text(name), f"{probability:.3f}")
    Console(highlight=False).print(table)


def _methods(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from modelswitch.config.method_docs import overview

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "method", "source", "needs"):
        table.add_column(heading, overflow="fold")
    previous = None
    for part, *cells in overview():
        table.add_row(part if part != previous else "", *cells)
        previous = part
    Console(highlight=False).print(table)
    print("Formulas are in docs/methods.md, settings in config/README.md.")


def _measure(args: argparse.Namespace) -> None:
    from modelswitch.deployment import latency

    rows = [row for path in args.files for row in latency.measure(path, args.threads, args.machine)]
    writer = csv.DictWriter(sys.stdout, latency.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _where(args: argparse.Namespace) -> None:
    package = Path(__file__).parent
    # In a wheel beside the package's modules, in a clone above them.
    places = [package / "installed" / "Snakefile", package.parents[1] / "Snakefile"]
    for place in places:
        if place.is_file():
            print(place)
            return
    raise UserError(
        f"{package}: was installed without the workflow; install a wheel or a clone of it"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="modelswitch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("predict", help="what a trained model says about images")
    one.add_argument("model", type=Path, help="model.safetensors")
    one.add_argument("images", nargs="+", metavar="image")
    one.add_argument("--top", type=int, default=1, help="classes an image (default: 1)")
    one.add_argument("--json", action="store_true", help="JSON instead of a table")
    one.set_defaults(run=_predict)
    one = commands.add_parser(
        "measure", help="how long exported files take on this machine, as CSV"
    )
    one.add_argument("files", nargs="+", type=Path, metavar="file")
    one.add_argument("--threads", type=int, help="by default on one, and on all there are")
    one.add_argument("--machine", help="what the table calls this machine (default: its processor)")
    one.set_defaults(run=_measure)
    one = commands.add_parser("methods", help="losses and weighting rules, with their sources")
    one.set_defaults(run=_methods)
    one = commands.add_parser("where", help="the Snakefile, for snakemake --snakefile")
    one.set_defaults(run=_where)
    args = parser.parse_args()
    args.run(args)


def command() -> None:
    run_script(main)


if __name__ == "__main__":
    command()
