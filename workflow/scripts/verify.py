"""Tell people apart whom no model was trained with, all seeds: the tables of verification."""

import argparse
from pathlib import Path

import torch

from modelswitch.config import file
from modelswitch.errors import run_script
from modelswitch.jobs.verify import verify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--results", required=True, type=Path, help="folder of all results")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    verify(file.read(args.experiment), args.results)


if __name__ == "__main__":
    run_script(main)
