"""A switch of models: a student learns from the labels and from what its teachers answer."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from modelswitch.config.job import Teacher
from modelswitch.jobs.fit import fit
from modelswitch.jobs.guards import refuse_future
from modelswitch.jobs.session import Session, report
from modelswitch.jobs.write import write_model
from modelswitch.models.isolation import refuse_shared
from modelswitch.models.quantised import Quantised
from modelswitch.storage import artifacts
from modelswitch.transfer.distillation import Answers, Distillation
from modelswitch.transfer.hints import JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.observing import Observing
from modelswitch.transfer.output_losses.registry import output_loss_for
from modelswitch.transfer.teachers import LiveTeacher, StoredResponses
from modelswitch.transfer.weighting import rule_for


def _guides(session: Session, teachers: Sequence[str], responses: Sequence[str]) -> list[Answers]:
    """What answers for each teacher: its stored responses, or the teacher itself."""
    job = session.job
    assert job.transfer is not None
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
        return [
            StoredResponses(
                each, session.device, job.transfer.temperature, f"teacher {teacher.lineage}"
            )
            for teacher, each in zip(job.teachers, stored, strict=True)
        ]
    return [
        _live(session, teacher, path) for teacher, path in zip(job.teachers, teachers, strict=True)
    ]


def _live(session: Session, teacher: Teacher, path: str) -> LiveTeacher:
    return LiveTeacher(session.teacher(teacher, path), f"teacher {teacher.lineage}")


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
    origin: str | None = None,
    hint: str | None = None,
    matched: str | None = None,
) -> None:
    """Train the job's model and write weights, history and outputs to these paths.

    Args:
        teachers: weights, nearest teacher first.
        responses: stored responses, likewise; they stand in for the teachers' answers.
        origin: the weights that the student starts from, if they are not drawn.
        hint: the student whose front was pre-trained.
        matched: history of the training whose mean weights are taken.
    """
    job = session.job
    assert job.transfer is not None
    transfer = job.transfer.separated
    session.start_from(origin)
    student, owner = session.new_model(), f"student {job.lineage}"
    if hint is not None:
        session.load_weights(student, hint, kind="hint", job_digest=job.hint)
    weights = _mean_weights(matched)
    session.inputs += map(str, weights.values())
    guides = _guides(session, teachers, responses)
    live = [guide for guide in guides if isinstance(guide, LiveTeacher)]
    distillation = Distillation(
        student,
        guides,
        rule_for(transfer.weighting, **weights),
        soft=transfer.soft,
        temperature=transfer.temperature,
        loss=output_loss_for(transfer.loss),
        label_smoothing=job.training.label_smoothing,
        class_weights=session.class_weights(),
        drop=transfer.drop,
        mixed_labels=transfer.mixed_labels,
        owner=owner,
    )
    objective: Distillation | JointTransfer = distillation
    if transfer.joint_hints:
        parent = job.teachers[0]
        if not live:
            live = [_live(session, parent, teachers[0])]
        torch.manual_seed(session.seed("regressor"))
        names = owner, f"teacher {parent.lineage}"
        hints = []
        for pair in transfer.joint_hints:
            parts = hint_parts(pair, student, live[0].model, session.example(), names)
            report(f"hint, {parts.name}: {parts}")
            hints.append(WeightedHint.of(pair, parts, job.training.epochs))
        objective = JointTransfer(distillation, live[0], hints)
    whole: nn.Module = objective
    if transfer.quantise is not None:
        assert isinstance(student, Quantised)
        whole = Observing(objective, student, transfer.quantise, job.training.epochs)
    refuse_shared({owner: student} | {teacher.owner: teacher.model for teacher in live})
    rows = fit(session, whole, student, "train", job.training)
    for teacher in live:
        teacher.check_unchanged()
    write_model(
        session, student, rows, model, history, outputs,
        {"weight_counts": distillation.weight_counts},
    )  # fmt: skip
