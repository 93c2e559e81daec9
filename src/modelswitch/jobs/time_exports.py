"""Timing exported files and the networks that they came from, on a machine that is theirs alone."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from modelswitch.deployment import latency
from modelswitch.storage import atomic


def time_exports(files: Sequence[Path], table: Path) -> None:
    """Write rows of `deployment.latency.measure` for all ``files`` to the CSV file ``table``."""
    rows = [row for path in files for row in latency.measure(path)]
    with atomic.replacing(table) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, latency.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
