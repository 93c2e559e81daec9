"""What a tidy table consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelswitch.config.metrics import SHARE, Metric


@dataclass(frozen=True)
class Column:
    name: str
    kind: str  # text | integer | number
    meaning: str
    required: bool = True
    absent: float = math.nan  # what every row has where the column, one of numbers, is missing
    is_share: bool = False  # from 0 to 1
    is_json: bool = False  # a text that holds an object, where it holds anything


@dataclass(frozen=True)
class Schema:
    file: str
    row: str  # what one row stands for
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()  # columns that tell rows apart: no two rows agree in all of them
    collected: bool = False  # from what trainings left, for every experiment


def metric_column(metric: Metric) -> Column:
    share = metric.unit is SHARE
    return Column(metric.name, metric.kind, metric.explained, metric.required, is_share=share)


def columns(text: str) -> tuple[Column, ...]:
    """Columns from lines `name | kind | meaning`; a `?` behind the name makes it optional, and a
    number behind that is what it holds where it is missing. The kind `json` is a text that is."""
    found = []
    for line in text.strip().splitlines():
        name, kind, meaning = (part.strip() for part in line.split("|", 2))
        name, optional, absent = name.partition("?")
        held, is_json = ("text", True) if kind == "json" else (kind, False)
        absent_value = float(absent or "nan")
        found.append(Column(name, held, meaning, not optional, absent_value, is_json=is_json))
    return tuple(found)
