"""Train a first model, or a baseline, on the labels."""

from modelswitch import jobs
from modelswitch.errors import run_script
from modelswitch.objectives.labels import Labels
from modelswitch.specs import Job


def main() -> None:
    parser = jobs.parser(__doc__)
    for output in ("model", "history", "outputs"):
        parser.add_argument(f"--{output}", required=True)
    args = parser.parse_args()
    job = Job.model_validate_json(args.job)
    session = jobs.Session(job, args.data, args.threads)
    model = session.new_model()
    objective = Labels(model, job.training.label_smoothing)
    with jobs.quiet_interruption():
        history = session.fit(objective, model, "train", job.training, args.resume)
    jobs.write_model(session, model, history, args)


if __name__ == "__main__":
    run_script(main)
