"""Several studies side by side: one table of all claims, and what chains gain by teachers' leads.

Needs nothing but their tables.
"""

import argparse
from pathlib import Path

from modelswitch.errors import naming, run_script
from modelswitch.report import studies
from modelswitch.report.figures import draw, gains, style
from modelswitch.report.two_runs import tables_of
from modelswitch.storage import atomic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "studies", nargs="+", metavar="STUDY",
        help="a results folder, a folder with tables, or a configuration",
    )  # fmt: skip
    parser.add_argument("--into", required=True, type=Path, help="folder to write to")
    args = parser.parse_args()
    with naming("STUDY"):
        found = studies.by_name([tables_of(where) for where in args.studies])
    points = studies.gains(found)
    for sheet in (studies.claims_sheet(found), studies.gains_sheet(points)):
        if not sheet.rows:
            # What others had there before is not of these studies.
            for kind in ("csv", "md"):
                (args.into / f"{sheet.name}.{kind}").unlink(missing_ok=True)
            continue
        sheet.write_csv(args.into)
        page = args.into / f"{sheet.name}.md"
        atomic.write_text(page, f"{sheet.markdown()}\n\n{sheet.note}\n")
        print(page)
    with style.look():
        style.save(gains.gains(points), args.into, "all_gains", draw.FORMATS)
    print(args.into / "all_gains.png")


if __name__ == "__main__":
    run_script(main)
