"""A lineage's figures over seeds, and two lineages' side by side.

Rows are found by lineage and on one data set; a label can be given to a chain that is called like
another model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from modelswitch.config.metrics import SHARE
from modelswitch.results import intervals, pooling
from modelswitch.results.intervals import Estimate, PairedDifference

if TYPE_CHECKING:
    import pandas as pd


def over_seeds(models: pd.DataFrame, metric: str, split: str = "test") -> dict[str, Estimate]:
    """Mean and interval of a metric for each lineage; raises ValueError for several data sets."""
    rows = _of_one_dataset(models)
    rows = rows[rows["split"] == split]
    return {
        str(lineage): intervals.mean_interval(values)
        for lineage, values in rows.groupby("lineage", sort=False)[metric]
    }


def died(models: pd.DataFrame, accuracy: dict[str, Estimate]) -> set[str]:
    """Of the lineages in ``accuracy`` those that have no place on an axis of the others.

    A training of theirs ended no better than a constant guess, and every lineage without such a
    one is better.
    """
    at_chance = set(models.loc[models["at_chance"] == "true", "lineage"]) & set(accuracy)
    lowest = min((accuracy[name].mean for name in set(accuracy) - at_chance), default=-math.inf)
    return {name for name in at_chance if accuracy[name].mean < lowest}


def by_lineage(models: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each model: looking for them in all rows again takes minutes for thousands."""
    return {str(lineage): rows for lineage, rows in models.groupby("lineage", sort=False)}


def per_seed(
    models: pd.DataFrame, lineage: str, metric: str = "accuracy", split: str = "test"
) -> dict[int, float]:
    """{seed: value} of one lineage; raises ValueError for several data sets."""
    rows = _of_one_dataset(models[models["lineage"] == lineage])
    rows = rows[(rows["split"] == split) & rows[metric].notna()]
    return {int(seed): float(value) for seed, value in zip(rows["seed"], rows[metric], strict=True)}


class Compared:
    """Lineages of one data set, to be compared pair by pair: of thousands, each pair would else
    look through all rows.

    Raises:
        ValueError: there are several data sets.
    """

    def __init__(self, models: pd.DataFrame, metric: str, split: str) -> None:
        rows = _of_one_dataset(models)
        rows = rows[(rows["split"] == split) & rows[metric].notna()]
        self._values: dict[str, dict[int, float]] = {}
        for lineage, seed, value in zip(rows["lineage"], rows["seed"], rows[metric], strict=True):
            self._values.setdefault(lineage, {})[int(seed)] = float(value)
        self._made = pooling.made(models)

    def __call__(self, better: str, than: str) -> tuple[PairedDifference, str]:
        """`better - than`, seed by seed, and '', if both were made by one code from one data set.

        Otherwise a difference that knows nothing, and what differs.
        """
        refused = pooling.unlike(self._made, better, than)
        if refused:
            return intervals.paired_difference([], []), refused
        values = (self._values.get(lineage, {}) for lineage in (better, than))
        return intervals.paired_by_seed(*values), ""


def _of_one_dataset(models: pd.DataFrame) -> pd.DataFrame:
    if models["dataset"].nunique() > 1:
        raise ValueError("one data set at a time: what is measured on several is not pooled")
    return models


def split_of(models: pd.DataFrame) -> str:
    """`test`, or `validation` for a run that never touched the test set (a search)."""
    return "test" if (models["split"] == "test").any() else "validation"


def percent(estimate: Estimate) -> str:
    """`84.3 ± 0.4`, in percent; without an interval just `84.3`."""
    return SHARE.estimate(estimate.mean, estimate.low, estimate.high)
