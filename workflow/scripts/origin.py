"""Make the weights that a model's training starts from, where they are not fresh."""

from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.origin import make_first_weights
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--origin", required=True, help="file to write")
    parser.add_argument("--parent", help="weights of the model that it is made from")
    args = parser.parse_args()
    with open_session(args) as session:
        make_first_weights(session, args.origin, parent=args.parent)


if __name__ == "__main__":
    run_script(main)
