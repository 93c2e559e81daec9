"""Repeats: a model that is trained several times for a seed, whose mean stands for the seed.

Repeats share the seed's split of the images and its teachers, so they are not independent: whatever
counts chance counts seeds. Here several rows become one a seed; nothing after it can count repeats.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from modelswitch.results.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

REPEAT = "repeat"
# Columns of text that say "true" of a training that ended no better than a guess.
DIED = {"at_chance"}
# Columns that count, in tables in which what does not occur has no row, and what tells apart the
# trainings that are counted.
COUNTED = {
    "class_confusions.csv": (("images",), ("dataset", "seed", "lineage", "split")),
    "weights.csv": (("count_right", "count_wrong"), ("dataset", "seed", "lineage")),
}


def by_seed(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """One row where there is one for each repeat, in the order of their first ones.

    Numbers are means over the repeats that know them; of what only counts occurrences, repeats
    without any count as 0. Text is that of the lowest repeat; that one died is told of all.
    Column `repeats`, how many there are, takes the place of `repeat`. A table that does not tell
    repeats apart stays as it is.
    """
    if REPEAT not in schema.key:
        return table
    if not table[REPEAT].any():
        return table.drop(columns=REPEAT).assign(repeats=1)
    key = [column for column in schema.key if column != REPEAT]
    groups = table.groupby(key, sort=False, dropna=False)
    result = table.loc[groups[REPEAT].idxmin()].drop(columns=REPEAT).reset_index(drop=True)
    numbers = [c for c in result.select_dtypes("number").columns if c not in key]
    result[numbers] = groups[numbers].mean().to_numpy(dtype=float)
    result["repeats"] = groups[REPEAT].nunique().to_numpy()
    for column in DIED & set(table.columns):
        result.loc[groups[column].agg(lambda told: "true" in set(told)).to_numpy(), column] = "true"
    if schema.file in COUNTED:
        counts, of = COUNTED[schema.file]
        trainings = table.groupby(list(of))[REPEAT].nunique().rename("repeats")
        result = result.drop(columns="repeats").join(trainings, on=list(of))
        for column in counts:
            result[column] = groups[column].sum().to_numpy() / result["repeats"].to_numpy()
    return result


def spread(trainings: pd.DataFrame, lineage: str, metric: str, split: str) -> float:
    """Standard deviation of a lineage's repeats around their seed's mean, pooled over the seeds.

    √(Σ (x - mean of its seed)² / Σ (repeats - 1)), as in an analysis of variance by seed; NaN where
    no seed has two.

    Args:
        trainings: rows of models.csv, one a training, of one data set.
    """
    if not trainings[REPEAT].any():
        return math.nan
    rows = trainings[(trainings["lineage"] == lineage) & (trainings["split"] == split)]
    rows = rows[rows[metric].notna()]
    values = rows.groupby("seed")[metric]
    freedom = len(rows) - values.ngroups
    if freedom == 0:
        return math.nan
    return float((((rows[metric] - values.transform("mean")) ** 2).sum() / freedom) ** 0.5)


def most(trainings: pd.DataFrame, lineage: str) -> int:
    """How often a lineage was trained for the seed that has most of it; 0 for none."""
    rows = trainings[trainings["lineage"] == lineage]
    if not rows[REPEAT].any():
        return int(len(rows) > 0)
    return int(rows.groupby("seed")[REPEAT].nunique().max())
