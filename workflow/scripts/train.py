"""Train a first model, or a baseline, on the labels."""

from modelswitch import jobs
from modelswitch.errors import run_script
from modelswitch.objectives.labels import Labels


def main() -> None:
    parser = jobs.parser(__doc__)
    for output in ("model", "history", "outputs"):
        parser.add_argument(f"--{output}", required=True)
    args = parser.parse_args()
    with jobs.session(args) as session:
        training = session.job.training
        model = session.new_model()
        history = session.fit(Labels(model, training.label_smoothing), model, "train", training)
        jobs.write_model(session, model, history, args)


if __name__ == "__main__":
    run_script(main)
