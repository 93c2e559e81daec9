"""The arguments that training scripts share."""

import argparse


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that all training scripts share."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--job", required=True, help="the job's configuration, as JSON")
    result.add_argument("--data", required=True, help="prepared data set")
    result.add_argument(
        "--keep", choices=("auto", "memory", "disk"), default="memory", help="where images are"
    )
    result.add_argument("--threads", type=int, default=1, help="processor threads")
    result.add_argument("--gpus", type=int, default=1, help="0 to compute on the processor")
    result.add_argument(
        "--share", type=int, default=1, help="of how many parts of a GPU to have one"
    )
    result.add_argument("--resume", help="folder for resume files")
    return result
