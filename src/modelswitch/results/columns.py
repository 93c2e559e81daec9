"""What a tidy table consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelswitch.config.metrics import Metric


@dataclass(frozen=True)
class Column:
    name: str
    kind: str  # text | integer | number
    meaning: str
    required: bool = True
    absent: float = math.nan  # what every row has where the column, one of numbers, is missing


@dataclass(frozen=True)
class Schema:
    file: str
    row: str  # what one row stands for
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()  # columns that tell rows apart: no two rows agree in all of them
    collected: bool = False  # from what trainings left, for every experiment


def metric_column(metric: Metric) -> Column:
    return Column(metric.name, metric.kind, metric.explained, metric.required)


def columns(text: str) -> tuple[Column, ...]:
    """Columns from lines `name | kind | meaning`; a `?` behind the name makes it optional, and a
    number behind that is what it holds where it is missing."""
    found = []
    for line in text.strip().splitlines():
        name, kind, meaning = (part.strip() for part in line.split("|", 2))
        name, optional, absent = name.partition("?")
        found.append(Column(name, kind, meaning, not optional, float(absent or "nan")))
    return tuple(found)
