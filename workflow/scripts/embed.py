"""Store what a recogniser makes of people that it was not trained with, on every degraded set."""

from modelswitch.config.job import DegradedSpec
from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.embed import embed
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--sets", required=True, help="degradations and levels, as JSON")
    parser.add_argument("--model", required=True, help="weights of the recogniser")
    parser.add_argument("--strangers", required=True, help="images of these people")
    parser.add_argument("--outputs", required=True, help="file to write")
    args = parser.parse_args()
    spec = DegradedSpec.model_validate_json(args.sets)
    with open_session(args) as session:
        embed(session, spec, args.model, args.strangers, args.outputs)


if __name__ == "__main__":
    run_script(main)
