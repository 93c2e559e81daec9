"""The table of the data: what was read, how, and what was left out."""

from __future__ import annotations

import json

from modelswitch.data.batches import incomplete
from modelswitch.report.contents import RUN
from modelswitch.report.sheet import Sheet, text
from modelswitch.report.summaries.remarks import datasets

MOST = 30  # classes that are listed; data_classes.csv has them all


def data_sheet(tables) -> Sheet | None:
    """What is known of every data set; None for results from before it was kept."""
    rows = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        if part.data_classes is not None:
            rows += [{"dataset": dataset} | row for row in _counted(part.data_classes)]
            rows += [{"dataset": dataset} | row for row in _batches(part)]
        if part.reading is not None:
            rows += part.reading[["dataset", "fact", "found"]].to_dict("records")
        told = {row["fact"] for row in rows if row["dataset"] == dataset}
        rows += [{"dataset": dataset} | row for row in _lacking(part) if row["fact"] not in told]
    if not rows:
        return None
    several = len(datasets(tables)) > 1
    columns = [
        *([text("data set", "dataset")] if several else []),
        text("of it", "fact"),
        text("found", "found"),
    ]
    return Sheet(
        "data", "Data", RUN, rows, columns,
        detail=True,
        note="As the data were read, once for all models. Numbers of classes are those of all "
        "tables and of the models' outputs; images of a class are counted for "
        "training + validation (where the data have their own) + test.",
        in_brief=lambda row: False,
    )  # fmt: skip


def _counted(classes) -> list[dict[str, str]]:
    splits = [name for name in ("train", "validation", "test") if classes[name].notna().any()]
    total = ", ".join(f"{classes[split].sum():.0f} {split}" for split in splits)
    shown = [
        f"{row.label} {row.label_name!r} "
        + " + ".join(f"{getattr(row, split):.0f}" for split in splits)
        for row in classes.head(MOST).itertuples()
    ]
    more = f" and {len(classes) - MOST} more" if len(classes) > MOST else ""
    return [
        {"fact": "images", "found": total},
        {"fact": f"{len(classes)} classes", "found": ", ".join(shown) + more},
    ]


def _batches(tables) -> list[dict[str, str]]:
    """What incomplete batches leave out of the models' epochs."""
    models, classes = tables.models, tables.data_classes
    images, about = int(classes["train"].sum()), ""
    if classes["validation"].isna().all():
        # Those held back are among the images for training, with groups not equally many each seed.
        held = models.loc[models["split"] == "validation", "images"].dropna()
        images -= 0 if held.empty else int(held.max())
        about = "about " if held.nunique() > 1 else ""
    settings = [json.loads(text) for text in set(models["settings"]) if text]
    batches = {found["training"]["batch"] for found in settings if "batch" in found["training"]}
    return [
        {"fact": f"batches of {batch}", "found": about + text}
        for batch in sorted(batches)
        if (text := incomplete(images, batch))
    ]


def _lacking(tables) -> list[dict[str, str]]:
    """Classes of which a split has no image to measure with; which one is held back for validation
    is up to the seed."""
    if tables.per_class is None or tables.per_class["images"].isna().all():
        return []
    found = []
    for split, own in tables.per_class.groupby("split"):
        classes, every = own["label"].nunique(), own["seed"].nunique()
        names = []
        for _, rows in own[own["images"] == 0].groupby("label"):
            seeds = sorted(rows["seed"].unique())
            of = "" if len(seeds) == every else f" (seed {', '.join(map(str, seeds))})"
            names.append(f"{rows['label_name'].iloc[0]!r}{of}")
        if names:
            more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
            text = f"no image of {len(names)} of {classes} classes: {', '.join(names[:MOST])}{more}"
            found.append({"fact": f"{split} lacks", "found": text})
    return found
