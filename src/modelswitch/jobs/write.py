"""What a training leaves: outputs, history, weights."""

import contextlib
import csv
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from modelswitch.errors import UserError, naming
from modelswitch.jobs.session import Session, report
from modelswitch.models import answers, kept, metrics
from modelswitch.models.build import fill
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
    outputs = session.outputs(model) | (extra_outputs or {}) | session.beside
    measured = {"train_seconds": seconds, "evaluation_seconds": time.perf_counter() - start}
    measured |= _used() | session.findings | {"at_chance": _at_chance(outputs)}
    # Nothing measured goes into the weight file: equal trainings give equal bytes.
    passport = session.passport("model", input=session.input, **entries)
    passport |= {"architecture": session.architecture.model_dump(mode="json")}
    with checked_weights(session, model, weights, passport):
        artifacts.save(outputs_file, outputs, session.passport("outputs", **entries, **measured))
        write_history(history_file, history, "train")


@contextlib.contextmanager
def checked_weights(
    session: Session, model: nn.Module, path: str, passport: dict[str, Any]
) -> Iterator[None]:
    """Write a trained model's weights; they get their name when the block has ended.

    Before it, the file is loaded into a new model, of other first weights, whose answers to a batch
    have to be those of ``model``.

    Raises:
        UserError: they are not.
    """
    images = session.data.test_images[: answers.BATCH]

    def answered(by: nn.Module) -> torch.Tensor:
        return answers.logits_on(by, images, session.normalise, session.device)

    with artifacts.saving(path, model.state_dict(), passport) as part:
        with naming(f"{path}: what was trained cannot be kept"):
            copy = session.new_model(seed=session.seed("weights", "another"))
            fill(copy, artifacts.load(part)[0])
            if apart := kept.difference(answered(model), answered(copy)):
                raise UserError(
                    f"loaded into a new model, the weights answer otherwise {apart}: the model "
                    "keeps something outside its parameters and buffers"
                )
        yield


def _at_chance(outputs: dict[str, torch.Tensor]) -> bool:
    """Whether a model has learned nothing that shows on the images that it was not trained on; said
    in the log."""
    split = "validation" if "validation.logits" in outputs else "test"
    logits, labels = outputs[f"{split}.logits"], outputs[f"{split}.labels"]
    if not metrics.at_chance(logits, labels):
        return False
    guess = metrics.constant_guess(labels)
    report(
        f"warning: ends no better than a constant guess: on {len(labels)} {split} images "
        f"accuracy {100 * metrics.accuracy(logits, labels):.1f} % and negative log-likelihood "
        f"{metrics.negative_log_likelihood(logits, labels):.3g}, where naming the largest class "
        f"gives {100 * guess['accuracy']:.1f} % and the classes' shares give {guess['nll']:.3g}"
    )
    return True
