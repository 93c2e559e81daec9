"""Pre-train a student up to its guided layer to match its teacher's hint layer."""

from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.hint import pretrain
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    for name in ("teacher", "hint", "history"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--origin", help="weights that the student starts from")
    args = parser.parse_args()
    with open_session(args, trains=True) as session:
        pretrain(session, args.teacher, args.hint, args.history, origin=args.origin)


if __name__ == "__main__":
    run_script(main)
