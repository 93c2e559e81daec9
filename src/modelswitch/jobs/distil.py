"""A switch of models: a student learns from the labels and from what its teachers answer."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch

from modelswitch.jobs.session import Session, refuse_future
from modelswitch.jobs.write import write_model
from modelswitch.models.layers import cut
from modelswitch.storage import artifacts
from modelswitch.transfer.distillation import Answers, Distillation, LiveTeacher, StoredResponses
from modelswitch.transfer.hints import JointTransfer, hint_parts
from modelswitch.transfer.weighting import rule_for


def _guides(session: Session, teachers: Sequence[str], responses: Sequence[str]) -> list[Answers]:
    """What answers for each teacher: its stored responses, or the teacher itself."""
    job = session.job
    if responses:
        for path in responses:
            refuse_future(path)
        stored = [
            artifacts.MappedTensor(
                path,
                "logits",
                kind="responses",
                job_digest=teacher.responses,
                data=session.data.checksum,
            )
            for teacher, path in zip(job.teachers, responses, strict=True)
        ]
        session.inputs += [each.checksum for each in stored]
        return [StoredResponses(each, session.device) for each in stored]
    return [
        LiveTeacher(session.teacher(teacher, path))
        for teacher, path in zip(job.teachers, teachers, strict=True)
    ]


def _mean_weights(history: str | None) -> dict[str, float]:
    """The mean weights that the training of ``history`` used, for the rule `matched`."""
    if history is None:
        return {}
    with Path(history).open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    return {
        f"{part}_weight": sum(float(row[f"weight_{part}"]) for row in table) / len(table)
        for part in ("soft", "hard")
    }


def distil(
    session: Session,
    model: str,
    history: str,
    outputs: str,
    *,
    teachers: Sequence[str] = (),
    responses: Sequence[str] = (),
    hint: str | None = None,
    matched: str | None = None,
) -> None:
    """Train the job's model and write weights, history and outputs to these paths.

    Args:
        teachers: weights, nearest teacher first.
        responses: stored responses, likewise; they stand in for the teachers' answers.
        hint: the student whose front was pre-trained.
        matched: history of the training whose mean weights are taken.
    """
    job, transfer = session.job, session.job.transfer
    student = session.new_model()
    if hint is not None:
        session.load_weights(student, hint, kind="hint", job_digest=job.hint)
    weights = _mean_weights(matched)
    session.inputs += map(str, weights.values())
    distillation = objective = Distillation(
        student,
        _guides(session, teachers, responses),
        rule_for(transfer.weighting, **weights),
        soft=transfer.soft,
        temperature=transfer.temperature,
        label_smoothing=job.training.label_smoothing,
        drop=transfer.drop,
    )
    if transfer.hint is not None and transfer.hint.mode == "joint":
        parent = job.teachers[0]
        teacher = session.teacher(parent, teachers[0])
        names = (job.lineage, parent.lineage)
        torch.manual_seed(session.seed("regressor"))
        parts = hint_parts(transfer.hint, student, teacher, session.example(), names)
        tapped = cut(student, parts.student_layer.path, f"student {job.lineage}", with_logits=True)
        objective = JointTransfer(
            distillation, tapped, parts.teacher_front, parts.regressor, transfer.hint.weight
        )
    rows = session.fit(objective, student, "train", job.training)
    write_model(
        session, student, rows, model, history, outputs,
        {"weight_counts": distillation.weight_counts},
    )  # fmt: skip
