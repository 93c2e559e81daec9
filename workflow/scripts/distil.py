"""Switch models: train a student on the labels and on what its teachers answer."""

import csv
from pathlib import Path

import torch

from modelswitch import artifacts, jobs
from modelswitch.errors import run_script
from modelswitch.hinting import hint_parts
from modelswitch.layers import cut
from modelswitch.objectives.distillation import (
    Distillation,
    LiveTeacher,
    Responses,
    StoredResponses,
)
from modelswitch.objectives.hints import JointTransfer
from modelswitch.specs import Job
from modelswitch.weighting import resolve


def guides(session: jobs.Session, teachers: list[str], responses: list[str]) -> list[Responses]:
    """What answers for each teacher: its stored responses, or the teacher itself."""
    job = session.job
    if responses:
        for path in responses:
            jobs.refuse_future(path)
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


def mean_weights(history: str | None) -> dict[str, float]:
    """The mean weights that the training of ``history`` used, for the rule `matched`."""
    if history is None:
        return {}
    with Path(history).open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    return {
        f"{part}_weight": sum(float(row[f"weight_{part}"]) for row in table) / len(table)
        for part in ("soft", "hard")
    }


def main() -> None:
    parser = jobs.parser(__doc__)
    for output in ("model", "history", "outputs"):
        parser.add_argument(f"--{output}", required=True)
    parser.add_argument("--teachers", nargs="*", default=[], help="weights, nearest teacher first")
    parser.add_argument("--responses", nargs="*", default=[], help="stored responses, likewise")
    parser.add_argument("--hint", help="student whose front was pre-trained")
    parser.add_argument("--matched", help="history of the training whose weights are matched")
    args = parser.parse_args()
    job = Job.model_validate_json(args.job)
    transfer = job.transfer
    with jobs.session(args) as session:
        student = session.new_model()
        if args.hint is not None:
            session.load_weights(student, args.hint, kind="hint", job_digest=job.hint)
        matched = mean_weights(args.matched)
        session.inputs += map(str, matched.values())
        distillation = objective = Distillation(
            student,
            guides(session, args.teachers, args.responses),
            resolve(transfer.weighting, **matched),
            soft=transfer.soft,
            temperature=transfer.temperature,
            label_smoothing=job.training.label_smoothing,
            drop=transfer.drop,
        )
        if transfer.hint is not None and transfer.hint.mode == "joint":
            parent = job.teachers[0]
            teacher = session.teacher(parent, args.teachers[0])
            names = (job.lineage, parent.lineage)
            torch.manual_seed(session.seed("regressor"))
            parts = hint_parts(transfer.hint, student, teacher, session.example(), names)
            tapped = cut(
                student, parts.student_layer.path, f"student {job.lineage}", with_logits=True
            )
            objective = JointTransfer(
                distillation, tapped, parts.teacher_front, parts.regressor, transfer.hint.weight
            )
        history = session.fit(objective, student, "train", job.training)
        jobs.write_model(
            session, student, history, args, {"weight_counts": distillation.weight_counts}
        )


if __name__ == "__main__":
    run_script(main)
