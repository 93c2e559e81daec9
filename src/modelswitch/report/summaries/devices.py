"""The table of files for devices: what each keeps of its network's accuracy, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelswitch.config.metrics import BYTES, MILLISECONDS
from modelswitch.report.contents import DEVICES
from modelswitch.report.sheet import Sheet, Shown, number, share, text
from modelswitch.report.summaries.remarks import datasets, one_seed
from modelswitch.results import intervals
from modelswitch.results.devices import Exported, Times, exported

NAN = math.nan


def devices_sheet(tables) -> Sheet | None:
    """Every format of every exported model: accuracy with interval, size, latency."""
    if tables.exports is None:
        return None
    rows = [
        _row(dataset, one, machine)
        for dataset in datasets(tables)
        for one in exported(tables.of(dataset))
        for machine in one.on or {"": {}}
    ]
    if not rows:
        return None
    machines = list(dict.fromkeys(row["machine"] for row in rows if row["machine"]))
    columns = [
        *([text("data set", "dataset")] if len(datasets(tables)) > 1 else []),
        text("model", "name"),
        text("format", "format"),
        share("accuracy %", "accuracy"),
        share("lost", "lost", digits=2, brief=False),
        share("agrees %", "agreement", digits=2, brief=False),
        share("balanced %", "balanced_accuracy", brief=False),
        share("calibration error %", "ece", brief=False),
        *cost_columns(machines, "images"),
        number("seeds", "seeds", "{:.0f}", brief=False),
        text("lineage", "lineage", brief=False),
    ]
    where = f" Measured on {'; '.join(machines)}." if machines else ""
    return Sheet(
        "devices", "Files for devices", DEVICES, rows, columns,
        note="Accuracy: of the file in its own runtime, on the whole test set, mean over seeds ± "
        "half of the 95 % t interval. Lost: the network's accuracy less the file's, paired by "
        "seed, in percentage points. Agrees: test images for which both name one class. Balanced: "
        f"mean over classes of the share that is answered rightly.{_majority(tables)} ms: one "
        "image on one thread, median, of the first seed's file; all threads: one image; 32 images: "
        f"on one thread, all of them. Memory: of a process with the runtime alone.{where}",
        brief_note="Each file in its own runtime: accuracy on the whole test set; ms for one image "
        f"on one thread.{where} The files, and a card of each model: "
        "results/<experiment>/<data set>/seed<k>/<lineage>/deploy/",
        warnings=one_seed(rows),
    )  # fmt: skip


def cost_columns(machines: Sequence[str], many: str) -> list[Shown]:
    """What a file costs: its size, and of `costs` what there is to show, of ``many`` at a time."""
    return [
        number("size", "file_bytes", BYTES.text),
        *([text("on", "machine")] if len(machines) > 1 else []),
        number("ms", "median_ms", milliseconds),
        Shown("5 to 95 %", spread, lambda row: row["p5_ms"], brief=False),
        number("all threads", "all_threads_ms", milliseconds, brief=False),
        number(f"32 {many}", "batch_ms", milliseconds, brief=False),
        number("memory MiB", "peak_memory_mb", "{:.0f}", brief=False),
    ]


def costs(times: Times) -> dict[str, float]:
    """Of what one machine took by (threads, images at a time), what a row of a table shows."""
    time = times.get((1, 1), {})
    alone = {key: value for key, value in times.items() if key[1] == 1}
    most = max(alone, default=(1, 1))
    return {
        **{key: time.get(key, NAN) for key in ("median_ms", "p5_ms", "p95_ms", "peak_memory_mb")},
        "all_threads_ms": alone[most]["median_ms"] if most != (1, 1) else NAN,
        "batch_ms": times.get((1, 32), {}).get("median_ms", NAN),
    }


def _row(dataset: str, one: Exported, machine: str) -> dict:
    accuracy = intervals.mean_interval(list(one.accuracy.values()))
    lost = intervals.paired_by_seed(one.network_accuracy, one.accuracy, resamples=99)
    return {
        "dataset": dataset,
        "lineage": one.lineage,
        "name": one.name,
        "format": one.format,
        "seeds": accuracy.count,
        **accuracy.columns("accuracy"),
        "lost": NAN if one.is_network else lost.estimate,
        "lost_low": NAN if one.is_network else lost.low,
        "lost_high": NAN if one.is_network else lost.high,
        "agreement": one.agreement,
        "balanced_accuracy": one.balanced_accuracy,
        "ece": one.ece,
        "file_bytes": one.file_bytes,
        **costs(one.on.get(machine, {})),
        "machine": machine,
    }


def _majority(tables) -> str:
    """What always answering the most frequent class would reach, to hold accuracies against."""
    models = tables.models
    if "majority_share" not in models:
        return ""
    shares = models[models["split"] == "test"].groupby("dataset")["majority_share"].mean().dropna()
    several = len(shares) > 1
    said = "; ".join(
        f"{100 * value:.1f} %{f' on {name}' if several else ''}" for name, value in shares.items()
    )
    return f" Always answering the most frequent class: {said}." if said else ""


def milliseconds(value: float) -> str:
    """Three figures where a hundredth of a millisecond says too little."""
    return MILLISECONDS.text(value) if value >= 1 else f"{value:.3f}"


def spread(row: dict) -> str:
    """From the 5th to the 95th percentile of a row's times; '' where there are none."""
    if math.isnan(row["p5_ms"]):
        return ""
    return f"{milliseconds(row['p5_ms'])} to {milliseconds(row['p95_ms'])}"
