"""A lineage's figures over seeds."""

from __future__ import annotations

import math

from modelswitch.results.intervals import Estimate, mean_interval


def over_seeds(models, metric: str, split: str = "test") -> dict[str, Estimate]:
    """Mean and interval of a metric for each lineage."""
    rows = models[models["split"] == split]
    return {
        lineage: mean_interval(group[metric])
        for lineage, group in rows.groupby("lineage", sort=False)
    }


def per_seed(models, lineage: str, metric: str = "accuracy", split: str = "test") -> dict:
    """{seed: value} of one lineage."""
    rows = models[(models["lineage"] == lineage) & (models["split"] == split)]
    values = rows.groupby("seed")[metric].mean().dropna()
    return {int(seed): float(value) for seed, value in values.items()}


def split_of(models) -> str:
    """`test`, or `validation` for a run that never touched the test set (a search)."""
    return "test" if (models["split"] == "test").any() else "validation"


def percent(estimate: Estimate, digits: int = 1) -> str:
    """`84.3 ± 0.4`, in percent; without an interval just `84.3`."""
    if math.isnan(estimate.mean):
        return ""
    mean = f"{100 * estimate.mean:.{digits}f}"
    if math.isnan(estimate.low):
        return mean
    return f"{mean} ± {100 * estimate.half_width:.{digits}f}"
