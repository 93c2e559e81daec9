"""Train a first model, or a baseline, on the labels."""

from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.session import open_session
from modelswitch.jobs.train import train_first


def main() -> None:
    parser = arguments.parser(__doc__)
    for output in ("model", "history", "outputs"):
        parser.add_argument(f"--{output}", required=True)
    parser.add_argument("--origin", help="weights that the model starts from")
    args = parser.parse_args()
    with open_session(args, trains=True) as session:
        train_first(session, args.model, args.history, args.outputs, origin=args.origin)


if __name__ == "__main__":
    run_script(main)
