"""Write recognisers and their selector as one ONNX file, judged on the whole test set."""

import argparse

import torch

from modelswitch.config.deploy import DeployJob
from modelswitch.config.job import SelectorJob
from modelswitch.errors import run_script
from modelswitch.jobs.export_selector import export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", required=True, help="the selector's configuration, as JSON")
    parser.add_argument("--deploy", required=True, help="settings, as JSON")
    for name in ("data", "models", "outputs"):
        parser.add_argument(
            f"--{name}", required=True, nargs="+", help="one file a modality, in order"
        )
    parser.add_argument("--selector", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--file", required=True, help="file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    job = SelectorJob.model_validate_json(args.job)
    deploy = DeployJob.model_validate_json(args.deploy)
    export(job, deploy, args.data, args.models, args.outputs, args.selector, args.file)


if __name__ == "__main__":
    run_script(main)
