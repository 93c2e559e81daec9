"""The image that jobs run in where Snakemake is asked for it: `--sdm apptainer`."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from modelswitch.errors import UserError

VARIABLE = "MODELSWITCH_IMAGE"
BY_DEFAULT = "modelswitch.sif"


def image() -> str:
    """What the environment names: a file, or what apptainer can fetch (docker://…)."""
    return os.environ.get(VARIABLE) or BY_DEFAULT


def check_image(name: str) -> None:
    """Raise `UserError` for an image that is a file and is not there, or that cannot be named."""
    wanted = f"{VARIABLE}=<file, or docker://…>; docs/cluster.md says how an image is built"
    if " " in name:
        raise UserError(f"{VARIABLE}: found {name!r}; Snakemake allows no blank in it")
    if urlsplit(name).scheme in ("", "file") and not Path(urlsplit(name).path).is_file():
        raise UserError(f"--sdm apptainer: no image {name!r} here; set {wanted}")


def bind(paths: Iterable[str | Path]) -> None:
    """Let containers see what jobs read outside of the working folder, which they see anyway.

    What is no longer a path of its own when its links are followed is bound under both names.
    """
    here = Path.cwd()
    names = {Path(place) for path in paths if Path(path).exists()
             for place in (os.path.abspath(path), os.path.realpath(path))}  # noqa: PTH100 # fmt: skip
    outside = sorted(str(path) for path in names if not path.is_relative_to(here))
    # The same choice as Snakemake's.
    variable = f"{'APPTAINER' if shutil.which('apptainer') else 'SINGULARITY'}_BIND"
    bound = [part for part in os.environ.get(variable, "").split(",") if part]
    os.environ[variable] = ",".join(dict.fromkeys([*bound, *outside]))
