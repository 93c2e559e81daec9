"""Pre-training a student up to its guided layer to match its teacher's hint layer."""

import torch

from modelswitch.jobs.session import Session
from modelswitch.jobs.write import write_history
from modelswitch.models.layers import cut
from modelswitch.storage import artifacts
from modelswitch.transfer.hints import HintPretraining, hint_parts


def pretrain(session: Session, teacher: str, hint: str, history: str) -> None:
    """Train the front of the job's model; ``teacher`` is read, ``hint`` and ``history`` written."""
    job = session.job
    [parent] = job.teachers
    guide = session.teacher(parent, teacher)
    student = session.new_model()
    names = (job.lineage, parent.lineage)
    torch.manual_seed(session.seed("regressor"))
    parts = hint_parts(job.transfer.hint, student, guide, session.example(), names)
    front = cut(student, parts.student_layer.path, f"student {job.lineage}")
    objective = HintPretraining(student, front, parts.teacher_front, parts.regressor)
    rows = session.fit(objective, student, "hint", job.training, validates=False)
    write_history(history, rows, "hint")
    layers = {
        "teacher_layer": parts.teacher_layer.path,
        "student_layer": parts.student_layer.path,
    }
    artifacts.save(hint, student.state_dict(), session.passport("hint", **layers))
