"""Tidy tables as files: written, and read as they were written or refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modelswitch.errors import UserError
from modelswitch.results import repeats
from modelswitch.results.columns import Column, Schema
from modelswitch.results.intervals import ROUNDING
from modelswitch.results.schema import SCHEMAS
from modelswitch.storage import atomic

if TYPE_CHECKING:
    import pandas as pd

# What stands for nothing in a column of numbers; in one of text only nothing does.
NOTHING = ("", "nan", "NaN", "NA", "N/A", "None", "null")
# Columns of text without which a row is about nothing.
WHOSE = ("dataset", "lineage", "split")


def stored_at(folder: str | Path, name: str) -> Path | None:
    """The file of a table, by any name that it may have; `None` where there is none."""
    path = Path(folder) / SCHEMAS[name].file
    # A reader may bring their own table as text, and long ones are committed packed.
    text = path.with_suffix(".csv")
    named = (path, text, text.with_name(f"{text.name}.gz"))
    return next((one for one in named if one.exists()), None)


def read_table(
    folder: str | Path, name: str, only: Sequence[tuple[str, str, object]] | None = None
) -> pd.DataFrame | None:
    """Table `name` of `folder` as a data frame with all columns of its schema, or `None`.

    Of a Parquet file, rows for which one of `only` (as pyarrow has its filters) does not hold are
    not read.

    Text columns hold '' for nothing, the others NaN. Names are what they were when written: one
    called `NA`, `None` or `1e5` is no missing value and no number.

    Raises:
        UserError: a file that cannot be read or was cut short, lacks a required column, holds what
            the column cannot, or says one thing twice.
    """
    import pandas as pd

    schema, path = SCHEMAS[name], stored_at(folder, name)
    if path is None:
        return None
    try:
        table = (
            pd.read_parquet(path, filters=only)
            if path.suffix == ".parquet"
            else read_csv(path, schema)
        )
    except pd.errors.EmptyDataError:
        return None  # a table without a single row has not even a header
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: not a readable table ({error})") from error
    if table.empty:
        return None
    _check(path, table, schema)
    for column in schema.columns:
        if column.name not in table.columns:
            table[column.name] = "" if column.kind == "text" else column.absent
        elif column.kind == "text":
            table[column.name] = table[column.name].astype(object).fillna("").astype(str)
        else:
            try:
                table[column.name] = pd.to_numeric(table[column.name])
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}: column {column.name!r} holds more than numbers ({error})"
                ) from error
        if not math.isnan(column.absent):
            table[column.name] = table[column.name].fillna(column.absent).astype(int)
        _check_column(path, table[column.name], column, schema)
    _check_key(path, table, schema)
    return table


def write_table(folder: str | Path, name: str, rows: pd.DataFrame) -> None:
    """Write table `name` into `folder`, so that `read_table` gives the same names and numbers."""
    path = Path(folder) / SCHEMAS[name].file
    with atomic.replacing(path) as part:
        if path.suffix == ".parquet":
            rows.to_parquet(part, index=False, compression="zstd")
        else:
            # Numbers with all their digits: two differences that are equal have to stay equal.
            rows.to_csv(part, index=False, encoding="utf-8", quoting=_quoting(rows))


def _quoting(rows: pd.DataFrame) -> Literal[0, 2]:
    """Quotes where they are needed; a carriage return needs them, which the writer does not see."""
    texts = rows.select_dtypes(["object", "string"])
    returns = texts.map(lambda cell: isinstance(cell, str) and "\r" in cell)
    return csv.QUOTE_NONNUMERIC if returns.to_numpy().any() else csv.QUOTE_MINIMAL


def read_csv(
    path: str | Path | io.StringIO, schema: Schema, text: Iterable[str] = ()
) -> pd.DataFrame:
    """A CSV file in which text is what was written: `NA` is a name, and so is `1e5`.

    The text columns are those of the schema and `text`; all others hold numbers or nothing.
    """
    import pandas as pd

    header = pd.read_csv(path, nrows=0, encoding="utf-8").columns
    if isinstance(path, io.StringIO):
        path.seek(0)
    else:
        _check_rows(Path(path))
    text = {*text, *(column.name for column in schema.columns if column.kind == "text")}
    return pd.read_csv(
        path,
        encoding="utf-8",
        dtype=dict.fromkeys(text, str),
        keep_default_na=False,
        na_values={column: list(NOTHING) for column in header if column not in text},
    )


def joined_csv(
    files: Sequence[tuple[Mapping[str, str | int], Path]], schema: Schema
) -> pd.DataFrame:
    """The rows of many small CSV files in their order, each after the columns that tell whose it
    is.

    Files with one header are parsed together: pandas takes longer to begin than to read them.
    """
    import numpy as np
    import pandas as pd

    alike: dict[str, list[tuple[int, str, int]]] = {}  # header: (place in the order, rows, count)
    for position, (_, path) in enumerate(files):
        header, *lines = path.read_text(encoding="utf-8").split("\n")
        lines = [line for line in lines if line]
        if lines:
            alike.setdefault(header, []).append((position, "\n".join(lines), len(lines)))
    frames = []
    for header, parts in alike.items():
        positions, rows, counts = zip(*parts, strict=True)
        frame = read_csv(io.StringIO("\n".join([header, *rows])), schema)
        if len(frame) != sum(counts):
            # A cell with a line break in it; of what a training writes there is none.
            raise UserError(f"{files[positions[0]][1]}: not a table with one row on each line")
        keys = pd.DataFrame([files[position][0] for position in positions])
        owners = keys.loc[np.repeat(np.arange(len(keys)), counts)].set_index(
            np.repeat(positions, counts)
        )
        frames.append(pd.concat([owners, frame.set_index(owners.index)], axis=1))
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)


def _check_rows(path: Path) -> None:
    """Raise `UserError` for a row that is longer or shorter than the header, and for a last line
    that does not end: pandas takes what a copy has lost for nothing."""
    packed = path.suffix == ".gz"  # and one that was cut cannot be unpacked
    csv.field_size_limit(2**31 - 1)
    with (gzip.open if packed else open)(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        columns = len(next(rows, []))
        for row in rows:
            if len(row) != columns and "".join(row).strip():
                raise UserError(
                    f"{path}: line {rows.line_num} has {len(row)} cells, and the first line "
                    f"{columns}; was the file cut short?"
                )
    if not packed and not _ends(path):
        raise UserError(
            f"{path}: the last line does not end, as if the file had been cut short; where it was "
            "not, end it with a line break"
        )


def _ends(path: Path) -> bool:
    """Whether the last line of a file does, where it has any but the header."""
    with path.open("rb") as file:
        if not file.readline().endswith(b"\n"):
            return True  # no rows
        file.seek(-1, os.SEEK_END)
        return file.read() in (b"\n", b"\r")


def _check_column(path: Path, held: pd.Series, column: Column, schema: Schema) -> None:
    """Raise `UserError` for a cell that its column cannot hold."""
    bad = None
    if column.name in schema.key and column.required:
        if column.name in WHOSE:
            bad, what = held == "", "nothing"
        elif column.kind != "text":
            bad, what = held.isna(), "nothing"
    if column.is_share:
        within = held.between(-ROUNDING, 1 + ROUNDING)
        bad, what = ~held.isna() & ~within, "no share from 0 to 1"
    if column.is_json:
        wrong = [text for text in held.unique() if text and not _is_object(text)]
        bad, what = held.isin(wrong), "no JSON object"
    if bad is not None and bad.any():
        row = int(bad.to_numpy().argmax())
        found = f" ({str(held.iloc[row])[:40]!r})" if what != "nothing" else ""
        raise UserError(f"{path}: column {column.name!r} holds {what}{found} in row {row + 1}")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _check(path: Path, table: pd.DataFrame, schema: Schema) -> None:
    missing = [c.name for c in schema.columns if c.required and c.name not in table.columns]
    if missing:
        raise UserError(
            f"{path}: column {missing[0]!r} is missing; found {', '.join(map(str, table.columns))}"
        )


def _check_key(path: Path, table: pd.DataFrame, schema: Schema) -> None:
    """Raise `UserError` for two rows about one thing: a mean would count it twice."""
    if what := said_twice(table, schema):
        raise UserError(f"{path}: two rows for {what}; leave one")


def said_twice(table: pd.DataFrame, schema: Schema) -> str:
    """The first thing that two rows are about, by the columns that tell rows apart; '' for none."""
    twice = table.duplicated(list(schema.key), keep="first")
    if not twice.any():
        return ""
    row = table[twice].iloc[0]
    # Where nothing is repeated nobody has heard of it.
    told = [column for column in schema.key if column != repeats.REPEAT or row[column]]
    return ", ".join(f"{column} {row[column]}" for column in told)
