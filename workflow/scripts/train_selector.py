"""Train a selector on held-back samples under the degradations that it is meant to know."""

import argparse

import torch

from modelswitch.config.job import SelectorJob
from modelswitch.errors import run_script
from modelswitch.jobs.train_selector import train_selector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", required=True, help="the job's configuration, as JSON")
    parser.add_argument("--outputs", required=True, nargs="+", help="one file a modality, in order")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", help="folder for resume files")
    parser.add_argument("--model", required=True)
    parser.add_argument("--history", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    job = SelectorJob.model_validate_json(args.job)
    train_selector(job, args.outputs, args.model, args.history, args.resume)


if __name__ == "__main__":
    run_script(main)
