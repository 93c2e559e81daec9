"""Small files that the workflow keeps beside Snakemake's own, so as not to compute things twice.

All of them can be removed at any time. Light to import: Snakemake needs it to parse the workflow.
"""

import contextlib
from pathlib import Path

from modelswitch.storage import atomic

FOLDER = Path(".snakemake/modelswitch")


def write(path: Path, text: str) -> None:
    """Whole or not at all, also when several processes write it at once.

    In a folder that can be read only, nothing is written: a dry run still works there.
    """
    with contextlib.suppress(OSError):
        atomic.write_text(path, text)
