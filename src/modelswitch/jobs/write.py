"""What a training leaves: outputs, history, weights."""

import csv
import resource
import sys
import time

import torch
from torch import nn

from modelswitch.jobs.session import Session
from modelswitch.storage import artifacts, atomic
from modelswitch.training import precision


def write_history(path: str, history: list[dict[str, float]], stage: str) -> None:
    """History rows as CSV; floats with all their digits, so that equal runs are equal files."""
    columns = ["stage", *dict.fromkeys(key for row in history for key in row)]
    with atomic.replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"stage": stage} | row for row in history)


def _used() -> dict[str, float]:
    """What this process has used of the machine so far.

    Snakemake's benchmark files cannot say it for a job that was started warm: they look at the
    process that waits for it.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return {
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": kilobytes / 1024,
    }


def write_model(
    session: Session,
    model: nn.Module,
    history: list[dict[str, float]],
    weights: str,
    history_file: str,
    outputs_file: str,
    extra_outputs: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write outputs, history and, last, the weights of a trained model, to these paths."""
    start = time.perf_counter()
    seconds = sum(row["seconds"] for row in history)
    dtype = precision.dtype_for(session.job.training.precision, session.device)
    entries = {"epochs": len(history), "precision": str(dtype).removeprefix("torch.")}
    outputs = session.outputs(model) | (extra_outputs or {})
    measured = {"train_seconds": seconds, "evaluation_seconds": time.perf_counter() - start}
    measured |= _used()
    artifacts.save(outputs_file, outputs, session.passport("outputs", **entries, **measured))
    write_history(history_file, history, "train")
    # Nothing measured goes into the weight file: equal trainings give equal bytes.
    artifacts.save(
        weights, model.state_dict(), session.passport("model", input=session.input, **entries)
    )
