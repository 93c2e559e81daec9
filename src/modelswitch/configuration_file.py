"""A validated configuration as a file, for the scripts that need the whole of it.

Not an argument on their command line, which ends at 128 KiB: some 300 chains. Light to import, for
Snakemake writes it while it parses the workflow: no torch in here.
"""

import contextlib
import json
import tempfile
from pathlib import Path

from modelswitch.config import Experiment, load
from modelswitch.specs import digest

FOLDER = Path(".snakemake/modelswitch")


def keep(experiment: Experiment) -> str:
    """The path of a file with ``experiment`` in it, written unless it is there.

    The path holds the content's digest: as a parameter of a rule it changes with the configuration.
    """
    text = experiment.model_dump_json()
    path = FOLDER / f"experiment-{digest(text)}.json"
    # In a folder that can be read only, a dry run still works; a script then names the file.
    with contextlib.suppress(OSError):
        if not path.exists():
            _write(path, text)
    return str(path)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, also when several processes parse the workflow at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
    ) as stream:
        part = Path(stream.name)
        try:
            stream.write(text)
            stream.flush()
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def read(path: str | Path) -> Experiment:
    """The experiment that `keep` wrote to ``path``; raises `OSError` where there is none."""
    return load(json.loads(Path(path).read_text(encoding="utf-8")), str(path))
