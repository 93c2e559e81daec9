"""Where results came from: commit and machines, for the results page."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd

from modelswitch.execution.arithmetic import described


def commit(folder: str | Path) -> str:
    """The commit checked out in `folder`, with `+` for uncommitted changes; '' without git."""
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12",
             "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()


def machines(models: pd.DataFrame) -> str:
    """What computed the trainings of a tidy table, commonest first; '' where that was not
    recorded."""
    if "surroundings" not in models:
        return ""
    key = [name for name in ("dataset", "seed", "repeat", "lineage") if name in models]
    once = models.drop_duplicates(key)["surroundings"].fillna("")
    counts = (
        once.map(lambda text: described(json.loads(text or "{}")))
        .value_counts(sort=True)
        .drop("", errors="ignore")
    )
    if len(counts) == 1:
        return str(counts.index[0])
    return "; ".join(f"{name} ({count} of {len(once)} models)" for name, count in counts.items())
