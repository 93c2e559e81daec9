"""Remarks that stand above or below several summary tables."""

from __future__ import annotations

import math
from collections.abc import Iterable

from modelswitch.config.metrics import SHARE
from modelswitch.results import differences, intervals, seeds


def datasets(tables) -> list[str]:
    return list(dict.fromkeys(tables.models["dataset"]))


def teachers(models, split: str, dataset: str) -> tuple[list[str], list[str]]:
    """Warnings about teachers that are not worth following, and a line on each of the others."""
    warnings, lines = [], []
    accuracy = seeds.over_seeds(models, "accuracy", split)
    for pair in differences.of_teachers(models):
        difference = pair.difference
        if math.isnan(difference.estimate):
            continue
        teacher, student = (
            seeds.percent(found)
            for found in (accuracy[pair.better.lineage], accuracy[pair.than.lineage])
        )
        change = SHARE.estimate(difference.estimate, difference.low, difference.high, signed=True)
        line = (
            f"{dataset + ', first' if dataset else 'First'} model {pair.better.lineage}: "
            f"{teacher} %; {pair.than.lineage} from scratch: {student} % ({split}); difference, "
            f"paired by seed: {change} percentage points."
        )
        if difference.estimate > 0:
            lines.append(line)
        else:
            warnings.append(f"A teacher that is no better than its student from scratch: {line}")
    return warnings, lines


def no_better_than_majority(models, split: str) -> list[str]:
    """A warning for every model that may know no more than which class is the most frequent.

    That is, if the share of that class is not below both intervals of its accuracy: that over seeds
    (with one seed there is none) and that of a share of so many images.
    """
    warnings = []
    majority = seeds.over_seeds(models, "majority_share", split)
    counts = models[models["split"] == split].groupby("lineage")["images"].min()
    for lineage, accuracy in seeds.over_seeds(models, "accuracy", split).items():
        share = majority[lineage].mean
        images = counts.get(lineage, math.nan)
        if math.isnan(share):
            continue
        by_images = intervals.proportion_low(accuracy.mean, images)
        if accuracy.mean <= share:
            told = "is no better"
        elif accuracy.low <= share or by_images <= share:
            told = "is not shown to be better"
        else:
            continue
        warnings.append(
            f"{lineage} {told} than always answering the most frequent class: "
            f"{seeds.percent(accuracy)} % of {images:.0f} {split} images right against "
            f"{SHARE.text(share)} %."
        )
    return warnings


def refused(pairs: Iterable[differences.Pair]) -> list[str]:
    """A warning for every two models that cannot be compared."""
    return [
        f"{pair.better.lineage} and {pair.than.lineage} are not compared, for more than their "
        f"settings differs: {pair.refused}."
        for pair in pairs
        if pair.refused
    ]


def one_seed(rows: list[dict]) -> list[str]:
    if rows and max(row["seeds"] for row in rows) == 1:
        return ["One seed: there are no intervals, and no difference here means anything yet."]
    return []


def tied(rows: list[dict]) -> list[str]:
    """A warning for every model whose largest output is no single one."""
    return [
        f"{row['lineage']}: on {100 * row['ties']:.1f} % of the images several classes share the "
        "largest output; the first of them counts as the answer."
        for row in rows
        if row["ties"] > 0
    ]
