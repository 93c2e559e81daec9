"""Small files that the workflow keeps beside Snakemake's own, so as not to compute things twice.

All of them can be removed at any time. Light to import: Snakemake needs it to parse the workflow.
"""

import contextlib
import tempfile
from pathlib import Path

FOLDER = Path(".snakemake/modelswitch")


def write(path: Path, text: str) -> None:
    """Whole or not at all, also when several processes write it at once.

    In a folder that can be read only, nothing is written: a dry run still works there.
    """
    with contextlib.suppress(OSError):
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
