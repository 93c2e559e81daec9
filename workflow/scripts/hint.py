"""Pre-train a student up to its guided layer to match its teacher's hint layer."""

import torch

from modelswitch import artifacts, jobs
from modelswitch.errors import run_script
from modelswitch.hinting import hint_parts
from modelswitch.layers import cut
from modelswitch.objectives.hints import HintPretraining
from modelswitch.specs import Job


def main() -> None:
    parser = jobs.parser(__doc__)
    for name in ("teacher", "hint", "history"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    job = Job.model_validate_json(args.job)
    with jobs.session(args) as session:
        [parent] = job.teachers
        teacher = session.teacher(parent, args.teacher)
        student = session.new_model()
        names = (job.lineage, parent.lineage)
        torch.manual_seed(session.seed("regressor"))
        parts = hint_parts(job.transfer.hint, student, teacher, session.example(), names)
        front = cut(student, parts.student_layer.path, f"student {job.lineage}")
        objective = HintPretraining(student, front, parts.teacher_front, parts.regressor)
        history = session.fit(objective, student, "hint", job.training, validates=False)
        jobs.write_history(args.history, history, "hint")
        layers = {
            "teacher_layer": parts.teacher_layer.path,
            "student_layer": parts.student_layer.path,
        }
        artifacts.save(args.hint, student.state_dict(), session.passport("hint", **layers))


if __name__ == "__main__":
    run_script(main)
