"""What trainings found out about themselves, in lines for whoever reads their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelswitch.results.pooling import Training, called

if TYPE_CHECKING:
    import pandas as pd

# Columns of models.csv, `true` or `false`, and what is said of the seeds for which they are true.
OF_MODELS = {
    "at_chance": "ended no better than a constant guess",
    "same_first_weights": (
        "began with the same first weights whatever the seed; such seeds differ in the order and "
        "views of the images alone"
    ),
    "mixed_arithmetic": (
        "went on after a stop with other threads, processor or libraries; the bits may not be "
        "those of a training that was never stopped"
    ),
}


def found(passport: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Of a passport `true` or `false` under each name; '' where it was not looked for."""
    return {name: str(passport.get(name, "")).lower() for name in names or OF_MODELS}


def of_models(models: pd.DataFrame) -> list[str]:
    """A line for each finding and all lineages that it is true of for the same seeds.

    Args:
        models: a row for every training.
    """
    several = models["dataset"].nunique() > 1
    rows = models.drop_duplicates(["dataset", "lineage", "seed", "repeat"])
    lines = []
    for column, said in OF_MODELS.items():
        names: dict[str, set[Training]] = {}
        for row in rows[rows[column] == "true"].to_dict("records"):
            name = f"{row['lineage']} on {row['dataset']}" if several else str(row["lineage"])
            names.setdefault(name, set()).add((row["seed"], row["repeat"]))
        lines += _lines(names, said)
    return lines


def of_selectors(selection: pd.DataFrame) -> list[str]:
    """The same for selectors."""
    rows = selection[selection["at_chance"] == "true"]
    names: dict[str, set[Training]] = {}
    for selector, seed in zip(rows["selector"], rows["seed"], strict=True):
        names.setdefault(f"selector {selector}", set()).add((seed, 0))
    return _lines(names, "ended no better than naming one modality always")


def _lines(names: Mapping[str, set[Training]], said: str) -> list[str]:
    alike: dict[tuple[Training, ...], list[str]] = {}
    for name, seeds in names.items():
        alike.setdefault(tuple(sorted(seeds)), []).append(name)
    return [
        f"{', '.join(those)}: seed{'s' * (len(seeds) > 1)} {', '.join(map(called, seeds))} {said}."
        for seeds, those in alike.items()
    ]
