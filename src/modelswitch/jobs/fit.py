"""A job's training: the loop with the job's views, validation, resume files and checks."""

from collections.abc import Callable

import torch
from torch import nn

from modelswitch.config.architecture import QuantisedModel
from modelswitch.config.base import digest
from modelswitch.config.models import OWN_FAMILIES
from modelswitch.config.training import Training
from modelswitch.data.views import Batch, Views
from modelswitch.errors import naming
from modelswitch.execution import out_of_memory
from modelswitch.execution.malloc import keep_freed_memory
from modelswitch.jobs.guards import report
from modelswitch.jobs.session import Session
from modelswitch.models import answers, metrics
from modelswitch.models.kept import check_kept
from modelswitch.storage.stored_rows import Rows, chosen
from modelswitch.training import finite, parallel, precision
from modelswitch.training.finite import FiniteState
from modelswitch.training.loop import train
from modelswitch.training.result import Result
from modelswitch.training.resume import ResumeFiles

# Images with which a model is tried before it is trained.
_TRIED = 16


def fit(
    session: Session,
    objective: nn.Module,
    student: nn.Module,
    stage: str,
    training: Training,
    validates: bool = True,
) -> list[dict[str, float]]:
    """Run the training loop on ``objective`` and return the history.

    Args:
        student: the model in it that is trained.
        stage: names the random streams.
        validates: whether the student answers the validation images.
    """
    objective.to(session.device)
    images = chosen(session.data.train_images, session.validation_index)
    labels = session.data.train_labels[session.validation_index]
    dtype = precision.dtype_for(training.precision, session.device)

    def validate() -> dict[str, float]:
        # In float32 as the stored outputs, so that there is one validation accuracy.
        logits = answers.logits_on(student, images, session.normalise, session.device)
        return {
            "validation_accuracy": metrics.accuracy(logits, labels),
            "validation_nll": metrics.negative_log_likelihood(logits, labels),
        }

    def validate_loss() -> dict[str, float]:
        with torch.no_grad(), precision.autocast(session.device, dtype):
            return {"validation_loss": _mean_loss(session, objective, images, labels)}

    looks: Callable[[], dict[str, float]] | None = validate if validates else None
    if not validates and training.stop.patience:
        looks = validate_loss
    if not len(images):
        looks = None
    result = Result(student, training)
    resume = None
    assert session.resume is not None or session.later is None, (
        "states are handed on by resume files"
    )
    if session.resume is not None:
        # A teacher that was trained again, by other code say, has the digest it had before.
        whole = session.job.model_copy(update={"branch": str(session.branch.whole)})
        parts = (whole.digest, stage, session.code, session.data.checksum, *session.inputs)
        resume = ResumeFiles(
            session.resume,
            digest(" ".join(parts)),
            report,
            session.arithmetic,
            earlier=session.earlier,
            later=session.later,
        )

    def run() -> list[dict[str, float]]:
        _check_kept(session, training.batch)
        FiniteState(student).check("before the training", "it cannot start from there")
        views = session.views(stage, training)
        # Not earlier, for what reading the data took for a moment can go back.
        keep_freed_memory()
        with (
            parallel.joined(session.place, session.device, _leaves_out(session, stage)),
            parallel.norm_synchronised(objective, training.sync_norm),
        ):
            rows = train(
                objective,
                views,
                training,
                device=session.device,
                epoch_seed=lambda epoch: session.seed(stage, "epoch", epoch),
                resume=resume,
                validate=looks,
                report=report,
                model=student,
                result=result,
                until=session.branch.until,
            )
        if session.place.number:
            # What is left to do is rank 0's.
            raise SystemExit(0)
        if result.beside:
            other = "last" if training.result == "average" else "average"
            session.beside = {f"{other}.{name}": t for name, t in result.beside.items()}
        if resume is not None:
            # Its front's training may have been, before.
            session.findings["mixed_arithmetic"] = resume.mixed or session.findings.get(
                "mixed_arithmetic", False
            )
        if not validates:
            _look_again(session, objective, views, dtype)
        return rows

    def attempt(size: int) -> None:
        part = -(-size // session.place.count)
        views = session.views(stage, training.model_copy(update={"batch": part}), whole=True)
        with precision.autocast(session.device, dtype):
            loss = objective(next(views.epoch(0)))["loss"]
        loss.backward()

    batch = min(training.batch, len(session.train_index))
    return out_of_memory.run_within_memory(run, attempt, batch, "training.batch", session.memory)


def _leaves_out(session: Session, stage: str) -> bool:
    """Whether there may be steps in which some parameters have no gradient: behind a front that is
    pre-trained, of a hint that has no weight, in a model of which nobody knows."""
    transfer = session.job.transfer
    pairs = transfer.joint_hints if transfer else []
    unweighted = any(pair.scheduled or not pair.weight for pair in pairs)
    known = isinstance(session.architecture, OWN_FAMILIES)
    return stage == "hint" or unweighted or not known


def _mean_loss(session: Session, objective: nn.Module, images: Rows, labels: torch.Tensor) -> float:
    """The loss of images as they are, for a training that looks at no answers."""
    total = 0.0
    for start in range(0, len(images), answers.BATCH):
        pixels = images[start : start + answers.BATCH].to(session.device)
        positions = torch.arange(start, start + len(pixels), device=session.device)
        truth = labels[start : start + answers.BATCH].to(session.device)
        batch = Batch(session.normalise(pixels), truth, positions, None)
        total += objective(batch)["loss"].item() * len(pixels)
    return total / len(images)


def _check_kept(session: Session, batch: int) -> None:
    """Refuse a model that its file would not hold; this project's own families are held, and of
    what is quantised its parent was looked at."""
    if isinstance(session.architecture, (*OWN_FAMILIES, QuantisedModel)):
        return
    tried = session.train_index[: min(batch, _TRIED)]
    with naming(f"model {session.name}"):
        depends = check_kept(
            lambda seed: session.new_model(seed=seed),
            session.seed("weights"),
            session.normalise(session.data.train_images[tried].to(session.device)),
            session.data.train_labels[tried].to(session.device),
        )
    session.findings.setdefault("same_first_weights", not depends)
    if not depends:
        report(
            f"model {session.name}: its first weights do not depend on the seed; seeds differ in "
            "the order and views of the images alone"
        )


def _look_again(session: Session, objective: nn.Module, views: Views, dtype: torch.dtype) -> None:
    """Raise `UserError` if the last update, which no loss was computed after, was one too far.

    Where there is validation, that looks at it.
    """
    objective.eval()
    with torch.no_grad(), precision.autocast(session.device, dtype):
        terms = objective(next(views.epoch(0)))
    with naming("after the last step"):
        finite.checked({name: value.item() for name, value in terms.items()})
