"""The table of the classes that models know least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelswitch.report.contents import COMPRESSION
from modelswitch.report.sheet import Sheet, number, share, text
from modelswitch.report.summaries.remarks import datasets, one_seed
from modelswitch.results import classes, foremost, seeds, tree

if TYPE_CHECKING:
    import pandas as pd

MOST = 5  # classes of each chain


def classes_sheet(tables) -> Sheet | None:
    """Of every chain's end the classes that are hardest for it, and what they are taken for."""
    several = len(datasets(tables)) > 1
    rows: list[dict] = []
    for dataset in datasets(tables):
        # Of a thousand chains nobody reads the hardest classes, and finding them takes minutes.
        part = foremost.foremost(tables.of(dataset))
        per_class, mistakes = part.per_class, part.class_confusions
        if per_class is None:
            continue
        split = seeds.split_of(part.models)
        for node in tree.ends(part.models):
            own, mistaken = _of(per_class, node.lineage, split), mistakes
            if mistaken is not None:
                mistaken = _of(mistaken, node.lineage, split)
            count = own["seed"].nunique()
            about = {"chain": node.name, "dataset": dataset, "lineage": node.lineage,
                     "split": split, "seeds": count}  # fmt: skip
            rows += [about | row for row in classes.hardest(own, mistaken, MOST)]
    if not rows:
        return None
    columns = [
        *([text("data set", "dataset")] if several else []),
        text("chain", "chain"),
        text("class", "label_name"),
        number("images", "images", "{:.0f}"),
        share(f"{rows[0]['split']} accuracy %", "recall"),
        share("precision %", "precision"),
        share("F1 %", "f1"),
        text("mostly taken for", "taken_for"),
        share("of its images %", "taken_share"),
    ]
    return Sheet(
        "classes", "Hardest classes", COMPRESSION, rows, columns,
        detail=True,
        note=f"{_of_few(tables)}The {MOST} classes of which each chain's end gets the smallest "
        "share right, means over seeds. Precision: share of the answers with this class that are "
        "right; F1: the harmonic mean of both. Of all classes: per_class.csv and "
        "class_confusions.csv.",
        warnings=one_seed(rows),
        in_brief=lambda row: False,
    )  # fmt: skip


def _of_few(tables) -> str:
    if all(len(tree.tree(tables.of(d).models)) <= foremost.MOST for d in datasets(tables)):
        return ""
    return "Of what claims name and of the most accurate on validation images. "


def _of(table: pd.DataFrame, lineage: str, split: str) -> pd.DataFrame:
    return table[(table["lineage"] == lineage) & (table["split"] == split)]
