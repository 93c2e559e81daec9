"""Take a model as it is given: check it, measure it, and write what a training would."""

from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.origin import adopt
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    for output in ("model", "history", "outputs"):
        parser.add_argument(f"--{output}", required=True)
    parser.add_argument("--members", nargs="*", default=[], help="weights of what is merged")
    args = parser.parse_args()
    with open_session(args) as session:
        adopt(session, args.model, args.history, args.outputs, members=args.members)


if __name__ == "__main__":
    run_script(main)
