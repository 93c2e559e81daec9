"""Print experiments' results on the terminal: claims, tables, and where the figures are."""

import argparse
from pathlib import Path

from rich.console import Console

from modelswitch.errors import UserError, run_script
from modelswitch.report import screen
from modelswitch.report.contents import RUN
from modelswitch.report.sheet import Sheet
from modelswitch.report.summaries import make
from modelswitch.results import tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="results/<experiment>")
    parser.add_argument("--last", default="", metavar="TABLE", help="one that ends what is printed")
    parser.add_argument("--screen", action="store_true", help="findings alone, on one screen")
    parser.add_argument("--next", nargs="*", default=[], help="with --screen: lines that end it")
    args = parser.parse_args()
    for folder in args.folders:
        if not (folder / "tables").is_dir():
            raise UserError(f"{folder}: no tables here; give the folder results/<experiment>")
    if args.screen:
        print(*screen.lines(args.folders, args.next), sep="\n")
        return
    # Log files and pipes get the same 80 columns.
    console = Console(width=80, highlight=False)
    last = []
    for folder in args.folders:
        if len(args.folders) > 1:
            console.rule(f"[bold]{folder.name}", characters="=")
        sheets = [
            sheet
            for sheet in make.all_sheets(tables.Tables(folder / "tables"))
            if sheet.system != RUN and sheet.cells(brief=True)
        ]
        last += [(folder, sheet) for sheet in sheets if sheet.name == args.last]
        show(folder, [sheet for sheet in sheets if sheet.name != args.last], console)
    for folder, sheet in last:
        console.rule(f"[bold]{folder.name}: {sheet.system.lower()}", characters="=")
        _print(sheet, console)


def _print(sheet: Sheet, console: Console) -> None:
    console.print(f"\n[bold]{sheet.title}[/bold]")
    console.print(sheet.terminal())
    for warning in sheet.warnings:
        console.print(f"[yellow]{warning}[/yellow]", soft_wrap=False)
    if sheet.brief_note:
        console.print(sheet.brief_note, style="dim", markup=False)


def show(folder: Path, sheets: list[Sheet], console: Console) -> None:
    """Print ``sheets`` of the results in one folder, and where the rest is."""
    for sheet in sheets:
        _print(sheet, console)
    console.print("± half of the 95 % t interval over seeds; gains paired by seed\n", style="dim")
    for title, pattern in (("Figures", "figures/*.png"), ("Page", "results.html"),
                           ("Summary", "summary.md")):  # fmt: skip
        found = sorted(folder.glob(pattern))
        if found:
            console.print(f"[bold]{title}[/bold]")
        for path in found:
            console.print(f"  {path}", soft_wrap=True)


if __name__ == "__main__":
    run_script(main)
