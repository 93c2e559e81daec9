"""A validated configuration as a file, for the scripts that need the whole of it.

Not an argument on their command line, which ends at 128 KiB: some 300 chains. Light to import, for
Snakemake writes it while it parses the workflow: no torch in here.
"""

import json
from pathlib import Path

from modelswitch.config.base import digest
from modelswitch.config.experiment import Experiment, load
from modelswitch.storage import cache_folder


def keep(experiment: Experiment) -> str:
    """The path of a file with ``experiment`` in it, written unless it is there.

    The path holds the content's digest: as a parameter of a rule it changes with the configuration.
    Where nothing can be written, a script that needs the file names it.
    """
    text = experiment.model_dump_json()
    path = cache_folder.FOLDER / f"experiment-{digest(text)}.json"
    if not path.exists():
        cache_folder.write(path, text)
    return str(path)


def read(path: str | Path) -> Experiment:
    """The experiment that `keep` wrote to ``path``; raises `OSError` where there is none."""
    return load(json.loads(Path(path).read_text(encoding="utf-8")), str(path))
