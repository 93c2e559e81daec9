"""Join finished parts of one study, each with seeds of its own, into one set of tables and a page.

Nothing is trained. Parts are refused where they differ in more than the seed.
"""

import argparse
from pathlib import Path

from modelswitch.errors import UserError, run_script
from modelswitch.report import write
from modelswitch.results import joining
from modelswitch.results.table_files import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="+", type=Path, help="folders of results, or of the tables in them"
    )
    parser.add_argument("--into", required=True, help="folder for all results, as `results` is one")
    parser.add_argument(
        "--versions-may-differ", action="store_true", help="of Python and of libraries"
    )
    parser.add_argument(
        "--plan", type=Path, help="configuration with all seeds of the study; needed with `looks`"
    )
    parser.add_argument("--command", default="", help="what made the parts, for the page to tell")
    args = parser.parse_args()
    if not args.into:
        raise UserError("--into: found nothing; give a folder for the joined results")
    parts = [joining.read_part(path) for path in args.parts]
    plan = joining.read_plan(args.plan) if args.plan else None
    whole = joining.join(parts, args.versions_may_differ, plan)
    root = Path(__file__).parents[2]
    report = write.Report(
        whole.experiment, root / "workflow" / "report", Path(args.into), args.command, root
    )
    if report.tables.resolve() in [part.folder.resolve() for part in parts]:
        raise UserError(f"--into: {args.into}: has one of the parts in it; give another folder")
    joining.make_room(report.tables, whole)
    # First, so that a join that was broken off can be done again.
    report.write_configuration()
    for name, table in whole.tables.items():
        write_table(report.tables, name, table)
    report.write_summaries()
    report.write_figures()
    report.write_page()
    missing = set(whole.experiment.seeds) - whole.seeds
    print(
        f"{len(parts)} parts, {len(whole.seeds)} seeds"
        + (f", {len(missing)} more to come" if missing else "")
        + f": {report.folder / 'results.html'}"
    )


if __name__ == "__main__":
    run_script(main)
