"""A summary table in one form, from which CSV, Markdown, HTML and the terminal's table are made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from modelswitch.config.metrics import METRICS, SHARE, Metric, Unit
from modelswitch.storage import atomic
from modelswitch.wording import markdown_table

DASH = "–"  # what a cell with nothing to say shows
# Of a table on a page of 1280 pixels, as page.css has it: its width, of a letter, beside a cell's
# text, the least of the first column, and the letters after which a text goes on in the next line.
WIDTH, LETTER, PADDING, FIRST, WORDS = 1200, 8, 22, 144, 24


@dataclass(frozen=True)
class Shown:
    """A column as a reader sees it: text from a row, and what the column is sorted by."""

    heading: str
    text: Callable[[dict], str]
    key: Callable[[dict], float | str]
    numeric: bool = True
    brief: bool = True  # also in the terminal, where there are 80 columns for all


@dataclass(frozen=True)
class Sheet:
    """A table: `rows` hold the plain numbers (as in the CSV file), `columns` what is shown."""

    name: str  # file name without suffix
    title: str
    system: str  # category on the results page
    rows: list[dict]
    columns: list[Shown]
    note: str = ""  # how to read it
    brief_note: str = ""  # the same of what the terminal shows, where its headings do not say it
    warnings: list[str] = field(default_factory=list)
    in_brief: Callable[[dict], bool] = lambda row: True
    detail: bool = False  # folded on the page
    _lengths: dict[Shown, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def cells(self, brief: bool = False) -> list[list[str]]:
        columns = self.visible(brief)
        rows = [row for row in self.rows if self.in_brief(row)] if brief else self.rows
        return [[column.text(row) or DASH for column in columns] for row in rows]

    def visible(self, brief: bool = False) -> list[Shown]:
        """The columns that are shown; one that has nothing to say in any row is not."""
        return [
            column
            for column in self.columns
            if (column.brief or not brief) and any(column.text(row) for row in self.rows)
        ]

    def foremost(self, width: int = WIDTH) -> list[Shown]:
        """The visible columns that fit `width` pixels on the page: the first, then those of the
        terminal's table, then the others, each as far as there is room for it."""
        columns = self.visible()
        chosen: list[Shown] = []
        for column in sorted(columns, key=lambda column: (column is not columns[0],
                                                          not column.brief)):  # fmt: skip
            if not chosen or self._pixels(column) <= width:
                chosen.append(column)
                width -= self._pixels(column)
        return [column for column in columns if column in chosen]

    def _pixels(self, column: Shown) -> int:
        """About how wide a column of the page is. Numbers are on one line, texts on several."""
        head = max(len(word) for word in f"{column.heading} ".split(" ")) + 2  # an arrow behind it
        longest = self._longest(column)
        pixels = LETTER * max(head, longest if column.numeric else min(longest, WORDS)) + PADDING
        return max(pixels, FIRST if column is self.visible()[0] else 0)

    def wraps(self, column: Shown) -> bool:
        """Whether its texts are too long for one line of the page."""
        return not column.numeric and self._longest(column) > WORDS

    def _longest(self, column: Shown) -> int:
        # Asked for every cell.
        if column not in self._lengths:
            self._lengths[column] = max((len(column.text(row)) for row in self.rows), default=0)
        return self._lengths[column]

    def write_csv(self, folder: Path) -> None:
        import pandas as pd

        with atomic.replacing(Path(folder) / f"{self.name}.csv") as part:
            pd.DataFrame(self.rows).to_csv(part, index=False, float_format="%.10g")

    def markdown(self) -> str:
        columns = self.visible()
        numeric = {at for at, column in enumerate(columns) if column.numeric}
        return markdown_table([column.heading for column in columns], self.cells(), numeric)

    def terminal(self, width: int = 80):
        """A `rich` table that fits `width` columns."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, width=None, padding=(0, 1), pad_edge=False)
        for column in self.visible(brief=True):
            if column.numeric:
                table.add_column(column.heading, justify="right", no_wrap=True)
            else:
                table.add_column(column.heading, overflow="fold", max_width=width * 3 // 8)
        for row in self.cells(brief=True):
            table.add_row(*row)
        return table


def text(heading: str, key: str, **options) -> Shown:
    return Shown(heading, lambda row: str(row[key] or ""), lambda row: str(row[key] or ""),
                 numeric=False, **options)  # fmt: skip


def number(heading: str, key: str, form: Callable[[float], str] | str = "{:.3g}", **options):
    """A plain number; nothing where it is NaN."""
    write = form.format if isinstance(form, str) else form
    return Shown(
        heading,
        lambda row: "" if _nan(row[key]) else write(row[key]),
        lambda row: _number(row[key]),
        **options,
    )


def share(heading: str, key: str, digits: int = 1, signed: bool = False, **options) -> Shown:
    """A share in percent: its mean and, where there is one, half of its interval.

    Reads `<key>`, `<key>_low` and `<key>_high` of a row.
    """

    def write(row: dict) -> str:
        low, high = (_number(row.get(f"{key}_{end}")) for end in ("low", "high"))
        return SHARE.estimate(_number(row[key]), low, high, signed, finer=digits - 1)

    return Shown(heading, write, lambda row: _number(row[key]), **options)


def difference(
    heading: str,
    key: str,
    interval: str = "95 % interval",
    unit: Callable[[dict], Unit] = lambda row: SHARE,
    ends: tuple[str, str] | None = None,
    brief: bool = True,
) -> list[Shown]:
    """Two columns: a difference with its sign, and its interval.

    Args:
        key: reads it of a row.
        interval: the second column's heading.
        ends: reads the interval's; `<key>_low` and `<key>_high` otherwise.
        brief: whether the interval is in the terminal's table, too.
    """
    low, high = ends or (f"{key}_low", f"{key}_high")
    return [
        Shown(heading, lambda row: unit(row).change(row[key]), lambda row: row[key]),
        Shown(interval, lambda row: unit(row).interval(row[low], row[high]),
              lambda row: row[low], brief=brief),
    ]  # fmt: skip


def of_metric(row: dict) -> Unit:
    """The unit of the metric that a row is about."""
    return METRICS[row["metric"]].unit


def measured(metric: Metric, heading: str = "", **options) -> Shown:
    """A column of means of a metric, under its own heading unless another is given.

    Reads `<name>` of a row, and for shares the interval's ends as `share` does.
    """
    heading = heading or metric.title
    if metric.unit is SHARE:
        return share(heading, metric.name, **options)
    return number(heading, metric.name, metric.unit.text, **options)


def probability(heading: str, key: str, **options) -> Shown:
    return number(heading, key, p_text, **options)


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _nan(value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(value) -> float:
    return math.nan if _nan(value) else float(value)
