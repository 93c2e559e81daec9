"""The table of run times."""

from __future__ import annotations

from modelswitch.report.contents import RUN
from modelswitch.report.sheet import Sheet, number, text
from modelswitch.report.summaries.remarks import datasets
from modelswitch.wording import duration


def run_times_sheet(tables) -> Sheet | None:
    """Time that the trainings took, from the tables themselves."""
    unique = tables.trainings.drop_duplicates(["dataset", "lineage", "seed", "repeat"])
    if unique["train_seconds"].notna().sum() == 0:
        return None
    rows = []
    for (dataset, lineage), group in unique.groupby(["dataset", "lineage"], sort=False):
        seconds = group["train_seconds"]
        rows.append(
            {
                "dataset": dataset,
                "lineage": lineage,
                "trainings": int(seconds.notna().sum()),
                "epochs": group["epochs"].mean(),
                "seconds_each": seconds.mean(),
                "seconds_per_epoch": (seconds / group["epochs"]).mean(),
                "seconds": seconds.sum(),
                "precision": group["precision"].iloc[0],
            }
        )
    total = sum(row["seconds"] for row in rows)
    columns = [
        *([text("data set", "dataset")] if len(datasets(tables)) > 1 else []),
        text("lineage", "lineage"),
        number("trainings", "trainings", "{:.0f}"),
        number("epochs", "epochs", "{:.0f}"),
        number("s an epoch", "seconds_per_epoch", "{:.1f}"),
        number("one training", "seconds_each", duration),
        number("all", "seconds", duration),
        text("precision", "precision", brief=False),
    ]
    return Sheet(
        "run_times", "Run times", RUN, rows, columns,
        detail=True,
        note=f"Wall-clock time of the trainings: {duration(total)} in all for "
        f"{sum(row['trainings'] for row in rows)} trainings, each counted once however many chains "
        "share it.",
    )  # fmt: skip
