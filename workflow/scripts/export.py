"""Write a trained model in a device's format, judged by its own runtime on the whole test set."""

from modelswitch.config.deploy import DeployJob
from modelswitch.errors import run_script
from modelswitch.jobs import arguments
from modelswitch.jobs.export import export_model
from modelswitch.jobs.session import open_session


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--deploy", required=True, help="format and settings, as JSON")
    for name in ("model", "outputs"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--file", required=True, help="file to write")
    args = parser.parse_args()
    deploy = DeployJob.model_validate_json(args.deploy)
    with open_session(args) as session:
        export_model(session, deploy, args.model, args.outputs, args.file)


if __name__ == "__main__":
    run_script(main)
