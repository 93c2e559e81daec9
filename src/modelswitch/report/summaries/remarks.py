"""Remarks that stand above or below several summary tables."""

from __future__ import annotations

import math

from modelswitch.results import differences, seeds


def datasets(tables) -> list[str]:
    return list(dict.fromkeys(tables.models["dataset"]))


def teachers(models, split: str, dataset: str) -> tuple[list[str], list[str]]:
    """Warnings about teachers that are not worth following, and a line on each of the others."""
    warnings, lines = [], []
    accuracy = seeds.over_seeds(models, "accuracy", split)
    for row in differences.of_teachers(models):
        difference = row["difference"]
        if math.isnan(difference.estimate):
            continue
        half = (difference.high - difference.low) / 2
        bounds = "" if math.isnan(half) else f" ± {100 * half:.1f}"
        line = (
            f"{dataset + ', first' if dataset else 'First'} model {row['teacher']}: "
            f"{seeds.percent(accuracy[row['teacher']])} %; {row['student']} from scratch: "
            f"{seeds.percent(accuracy[row['student']])} % ({split}); difference, paired by seed: "
            f"{100 * difference.estimate:+.1f}{bounds} percentage points."
        )
        if difference.estimate > 0:
            lines.append(line)
        else:
            warnings.append(f"A teacher that is no better than its student from scratch: {line}")
    return warnings, lines


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
