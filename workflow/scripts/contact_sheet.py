"""Draw a contact sheet of the modalities, clean and degraded."""

import argparse
from pathlib import Path

from modelswitch.config.degradations import Degradations
from modelswitch.data.arrays import ImageArrays
from modelswitch.errors import run_script
from modelswitch.report.figures import style
from modelswitch.report.figures.contact import contact_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, nargs="+", help="one file a modality, in order")
    parser.add_argument("--modalities", required=True, nargs="+", help="their names")
    parser.add_argument("--degradations", required=True, help="their configuration, as JSON")
    parser.add_argument("--synthetic", action="store_true", help="say that nobody is shown")
    parser.add_argument("--sheet", required=True, type=Path)
    args = parser.parse_args()
    arrays = [ImageArrays.load(path) for path in args.data]
    images = {name: one.test_images for name, one in zip(args.modalities, arrays, strict=True)}
    degradations = Degradations.model_validate_json(args.degradations)
    with style.look():
        figure = contact_sheet(images, arrays[0].test_labels, degradations, args.synthetic)
        style.save(figure, args.sheet.parent, args.sheet.stem, [args.sheet.suffix[1:]])


if __name__ == "__main__":
    run_script(main)
