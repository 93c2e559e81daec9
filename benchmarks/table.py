"""The one table of all figures: for the terminal, as markdown and as CSV."""

from __future__ import annotations

import csv
import io

from measure import Part
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDTH = 80
_COLUMNS = (("figure", 30), ("measured", 14), ("lowest–highest", 15), ("goal", 9), ("verdict", 7))
_COLOURS = {"reached": "green", "missed": "bold red", "": ""}


def _grid() -> Table:
    grid = Table(
        box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0), collapse_padding=True
    )
    for name, width in _COLUMNS:
        grid.add_column(
            name, width=width, justify="left" if name in ("figure", "verdict") else "right"
        )
    return grid


def table(parts: list[Part]) -> Group:
    """Figure, measured, spread, goal and verdict, 80 columns wide; a heading over every part."""
    head = _grid()
    head.add_row(*(Text(name, style="bold") for name, _ in _COLUMNS))
    blocks: list = [head]
    for part in parts:
        blocks.append(Text(f"\n{part.title}", style="bold cyan"))
        grid = _grid()
        for figure in part.figures:
            verdict = Text(figure.verdict, style=_COLOURS[figure.verdict])
            cells = (figure.measured_text, figure.spread_text, figure.goal_text)
            grid.add_row(figure.name, *cells, verdict)
        blocks.append(grid)
        for line in ([part.data] if part.data else []) + part.notes:
            blocks.append(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
    return Group(*blocks)


def markdown(
    parts: list[Part], machine: dict[str, str], title: str = "Benchmarks", head: str = ""
) -> str:
    """The same for a file, with what was measured on, and before it what has to be known first."""
    lines = [f"# {title}", "", *([head, ""] if head else [])]
    lines += [f"- {key}: {value}" for key, value in machine.items()]
    for part in parts:
        lines += ["", f"## {part.title}", ""]
        lines.append("| figure | measured | lowest–highest | goal | verdict |")
        lines.append("|---|--:|--:|--:|---|")
        for figure in part.figures:
            cells = (figure.measured_text, figure.spread_text, figure.goal_text, figure.verdict)
            lines.append(f"| {figure.name} | {' | '.join(cells)} |")
        lines += ["", *(f"- {line}" for line in part.notes)]
        data = f"{part.data}; " if part.data else ""
        lines.append(f"- {data}measured {part.when}, commit {part.commit}, {part.seconds:.0f} s")
    return "\n".join(lines) + "\n"


def as_csv(parts: list[Part]) -> str:
    """One row a figure, with all its digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["part", "figure", "median", "low", "high", "unit", "goal", "verdict", "commit", "measured"]
    )
    for part in parts:
        for figure in part.figures:
            numbers = (figure.value, figure.low, figure.high)
            cells = ["" if number is None else f"{number:.6g}" for number in numbers]
            goal = figure.goal_text.removesuffix(figure.unit).strip()
            row = [part.name, figure.name, *cells, figure.unit, goal, figure.verdict]
            writer.writerow([*row, part.commit, part.when])
    return text.getvalue()
