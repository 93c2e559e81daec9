"""Switch models: train a student on the labels and on what its teachers answer."""

from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.distil import distil
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    for output in ("model", "history", "outputs"):
        parser.add_argument(f"--{output}", required=True)
    parser.add_argument("--teachers", nargs="*", default=[], help="weights, nearest teacher first")
    parser.add_argument("--responses", nargs="*", default=[], help="stored responses, likewise")
    parser.add_argument("--origin", help="weights that the student starts from")
    parser.add_argument("--hint", help="student whose front was pre-trained")
    parser.add_argument("--matched", help="history of the training whose weights are matched")
    parser.add_argument("--earlier", help="state of the same training that was cut short earlier")
    parser.add_argument("--state", help="where the state goes with which this one is cut short")
    args = parser.parse_args()
    with open_session(args, trains=True) as session:
        session.earlier, session.later = args.earlier, args.state
        distil(
            session,
            args.model,
            args.history,
            args.outputs,
            teachers=args.teachers,
            responses=args.responses,
            origin=args.origin,
            hint=args.hint,
            matched=args.matched,
        )


if __name__ == "__main__":
    run_script(main)
