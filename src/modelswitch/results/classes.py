"""What models make of single classes, over seeds: how often a class is known, and what it is taken
for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Confusion:
    """A class that was taken for another: how many of its images in all seeds, and their share."""

    label: str
    answer: str
    images: int
    share: float


def names_of(per_class: pd.DataFrame) -> list[str]:
    """The classes' names in the order of their numbers."""
    return per_class.drop_duplicates("label").sort_values("label")["label_name"].tolist()


def matrix(confusions: pd.DataFrame, classes: int) -> np.ndarray:
    """Share of each class's images, all seeds together, that was given each answer: [C, C].

    `confusions` are one model's rows on one split. Rows are the right classes and add up to 1; NaN
    for a class without images.
    """
    counts = np.zeros((classes, classes))
    right, answers = (confusions[c].to_numpy(dtype=int) for c in ("label", "predicted"))
    np.add.at(counts, (right, answers), confusions["images"].to_numpy(dtype=float))
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


def most_confused(confusions: pd.DataFrame, most: int) -> list[Confusion]:
    """The pairs of classes of which the largest share is mistaken, in one model's rows."""
    images = confusions.groupby("label")["images"].sum()
    pair = ["label", "predicted", "label_name", "predicted_name"]
    mistaken = confusions[confusions["label"] != confusions["predicted"]]
    pairs = mistaken.groupby(pair, as_index=False)[["images"]].sum()
    pairs["share"] = pairs["images"] / pairs["label"].map(images)
    # Among equal shares the larger class first, then the order of the classes: never chance.
    pairs = pairs.sort_values(
        ["share", "images", "label", "predicted"], ascending=[False, False, True, True]
    )
    return [
        Confusion(
            row["label_name"], row["predicted_name"], round(row["images"]), float(row["share"])
        )
        for row in pairs.head(most).to_dict("records")
    ]


def hardest(per_class: pd.DataFrame, confusions: pd.DataFrame | None, most: int) -> list[dict]:
    """The classes that one model knows least, means over seeds, and what they are taken for.

    Both tables are that model's rows on one split. Rows with keys label, label_name, images,
    recall, precision, f1, taken_for ('' for nothing) and taken_share.
    """
    means = per_class.groupby(["label", "label_name"], as_index=False)[
        ["images", "recall", "precision", "f1"]
    ].mean()
    known = means[means["recall"].notna()].sort_values(["recall", "label"]).head(most)
    rows = []
    for row in known.to_dict("records"):
        worst = None
        if confusions is not None:
            own = confusions[confusions["label"] == row["label"]]
            worst = next(iter(most_confused(own, 1)), None)
        rows.append(
            row
            | {
                "taken_for": worst.answer if worst else "",
                "taken_share": worst.share if worst else math.nan,
            }
        )
    return rows
