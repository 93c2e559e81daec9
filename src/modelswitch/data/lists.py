"""Lists of images: CSV files with a header, in which every cell is text."""

import csv
from collections.abc import Iterator
from pathlib import Path

from modelswitch.data.folders import looks_like_split, shown, some
from modelswitch.errors import UserError

Row = tuple[int, dict[str, str]]


def list_rows(path: Path, required: list[str], optional: list[str]) -> tuple[list[Row], list[str]]:
    """Line numbers and cells by column of a list, and its columns that are not used.

    Columns that are required or optional are known in any case. Raises `UserError` where one is
    missing, a row has not as many cells as the header, the file cannot be read, or a column that
    looks like splits is not called so.
    """
    rows = list(_rows(path, required, optional))
    there = rows[0][1] if rows else {}
    unused = [name for name in there if name not in {*required, *optional}]
    _refuse_split_column(path, rows, unused)
    return rows, unused


def _refuse_split_column(path: Path, rows: list[Row], unused: list[str]) -> None:
    """Raise where a column that is not used holds splits under another name."""
    for name in unused if rows and "split" not in rows[0][1] else ():
        cells = {row[name] for _, row in rows}
        if len(cells) > 1 and all(looks_like_split(cell) for cell in cells):
            raise UserError(f"{shown(path)}: column {name!r} looks like splits; call it 'split'")


def _rows(path: Path, required: list[str], optional: list[str]) -> Iterator[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            known = {name.casefold(): name for name in (*required, *optional)}
            there = [name.strip() for name in reader.fieldnames or []]
            if len({name.casefold() for name in known.values()}) == len(required) + len(optional):
                there = [known.get(name.casefold(), name) for name in there]
            lacking = [name for name in required if there.count(name) != 1]
            if lacking:
                raise UserError(
                    f"{shown(path)}: needs one column {lacking[0]!r}, "
                    f"it has {some(there) or 'none'}"
                )
            reader.fieldnames = there
            for row in reader:
                if None in row or None in row.values():
                    raise UserError(
                        f"{shown(path)}, line {reader.line_num}: "
                        "has not as many cells as the header"
                    )
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"data.csv: {shown(path)}: cannot be read ({reason})") from error
