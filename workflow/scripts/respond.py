"""Write a teacher's responses to the fixed views of every training image: float16 [K, N, C]."""

from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.respond import respond
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--teachers", nargs="+", required=True, help="one model, or one a fold")
    parser.add_argument("--responses", required=True)
    args = parser.parse_args()
    with open_session(args) as session:
        respond(session, args.teachers, args.responses)


if __name__ == "__main__":
    run_script(main)
