"""Pre-training a student up to its guided layer to match its teacher's hint layer."""

import torch

from modelswitch.jobs.fit import fit
from modelswitch.jobs.session import Session, report
from modelswitch.jobs.write import checked_weights, write_history
from modelswitch.models.isolation import refuse_shared
from modelswitch.transfer.hints import HintPretraining, hint_parts
from modelswitch.transfer.teachers import LiveTeacher


def pretrain(
    session: Session, teacher: str, hint: str, history: str, *, origin: str | None = None
) -> None:
    """Train the front of the job's model; ``teacher`` is read, ``hint`` and ``history`` written.

    Args:
        origin: the weights that the model starts from, if they are not drawn.
    """
    session.start_from(origin)
    job = session.job
    assert job.transfer is not None
    assert job.transfer.hint is not None
    [parent] = job.teachers
    names = f"student {job.lineage}", f"teacher {parent.lineage}"
    guide = session.teacher(parent, teacher)
    student = session.new_model()
    refuse_shared(dict(zip(names, (student, guide), strict=True)))
    torch.manual_seed(session.seed("regressor"))
    parts = hint_parts(job.transfer.hint, student, guide, session.example(), names)
    report(f"hint: {parts}")
    live = LiveTeacher(guide, names[1])
    objective = HintPretraining(student, live, parts, names[0])
    rows = fit(session, objective, student, "hint", job.training, validates=False)
    live.check_unchanged()
    layers = {
        "teacher_layer": parts.teacher_layers[0].path,
        "student_layer": parts.student_layers[0].path,
    }
    found = {"mixed_arithmetic": session.findings.get("mixed_arithmetic", False)}
    with checked_weights(session, student, hint, session.passport("hint", **layers, **found)):
        write_history(history, rows, "hint")
