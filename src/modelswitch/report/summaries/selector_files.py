"""The table of selectors as files: each with its recognisers, what it keeps and what it costs."""

from __future__ import annotations

from modelswitch.report.contents import DEVICES
from modelswitch.report.sheet import Sheet, number, share, text
from modelswitch.report.summaries.devices import cost_columns, costs
from modelswitch.report.summaries.remarks import one_seed
from modelswitch.results import intervals
from modelswitch.results.devices import Times, by_machine


def selector_files_sheet(tables) -> Sheet | None:
    """Every selector that is one file with its recognisers: accuracy with interval, size, times."""
    if tables.selector_exports is None:
        return None
    rows = [
        row
        for (name, kind), files in tables.selector_exports.groupby(
            ["selector", "format"], sort=False
        )
        for row in _rows(name, kind, files, tables.selector_latency)
    ]
    machines = list(dict.fromkeys(row["machine"] for row in rows if row["machine"]))
    columns = [
        text("selector", "selector"),
        text("format", "format"),
        share("accuracy %", "accuracy"),
        share("lost", "lost", digits=2, brief=False),
        share("same person %", "agreement", digits=2, brief=False),
        share("same modality %", "selection_agreement", digits=2, brief=False),
        *cost_columns(machines, "samples"),
        number("seeds", "seeds", "{:.0f}", brief=False),
        text("takes", "takes", brief=False),
    ]
    where = f" Measured on {'; '.join(machines)}." if machines else ""
    return Sheet(
        "selector_files", "A selector and its recognisers in one file", DEVICES, rows, columns,
        note="Accuracy: of the file in its own runtime, over the whole test set clean and with "
        "each modality in turn degraded by each degradation at its highest level, mean over seeds "
        "± half of the 95 % t interval. Lost: accuracy in torch less the file's, paired by seed, "
        "in percentage points. Same person, same modality: samples for which both answer so. ms: "
        "one sample, an image of every modality, on one thread, median, of the first seed's file; "
        "all threads: one sample; 32 samples: on one thread, all of them. Memory: of a process "
        f"with the runtime alone.{where}",
        brief_note="Accuracy over clean and degraded test samples, in the file's own runtime; ms "
        f"for one sample on one thread.{where} The files: "
        "results/<experiment>/selector/seed<k>/<selector>/deploy/",
        warnings=one_seed(rows),
    )  # fmt: skip


def _rows(name: str, kind: str, files, latency) -> list[dict]:
    """One row for each machine."""
    by_seed = files.set_index("seed")
    own, network = (dict(by_seed[key]) for key in ("accuracy", "network_accuracy"))
    accuracy = intervals.mean_interval(list(own.values()))
    lost = intervals.paired_by_seed(network, own, resamples=99)
    known = {
        "selector": name,
        "format": kind,
        "takes": ", ".join(files["modalities"].iloc[0].split(";")),
        "seeds": accuracy.count,
        **accuracy.columns("accuracy"),
        "lost": lost.estimate,
        "lost_low": lost.low,
        "lost_high": lost.high,
        "agreement": files["agreement"].mean(),
        "selection_agreement": files["selection_agreement"].mean(),
        "file_bytes": files["file_bytes"].mean(),
    }
    on: dict[str, Times] = {"": {}}
    if latency is not None:
        chosen = (latency["selector"] == name) & (latency["format"] == kind)
        on = by_machine(latency[chosen]) or on
    return [known | costs(times) | {"machine": machine} for machine, times in on.items()]
