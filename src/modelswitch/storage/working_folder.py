"""Which run's what is kept outside the working folder is.

Several working folders, of several hosts even, may share a folder of resume files and the name of
an experiment. What a run keeps there lies in a subfolder of its own.
"""

import hashlib
import os
import re
import secrets
from pathlib import Path

from modelswitch.execution import flock
from modelswitch.storage import cache_folder


def identity() -> str:
    """A folder's name for this run: the same for all jobs of it and for no other run.

    It stands for the first of these that there is:

    - ``MODELSWITCH_RUN``, anything that the jobs of one run alone share. The workflow sets it to
      the storage prefix, such as ``s3://bucket/folder``, where results are stored away from the
      working folder: there every job may have a folder of its own, as on Kubernetes.
    - A note beside Snakemake's own files together with the folder's number on its file system. A
      folder that was renamed is still the same, also through a link; a copy is another, although
      the note was copied too.
    - The folder's path and number, where no Snakemake is.
    """
    here = Path.cwd()
    run = os.environ.get("MODELSWITCH_RUN")
    if run:
        name, owner = _readable(run.rstrip("/").rpartition("/")[2]), run
    else:
        note = _note() or f"{_readable(here.name)} {here}"
        name, owner = note.partition(" ")[0], f"{note} {here.stat().st_ino}"
    return f"{name}-{hashlib.sha256(os.fsencode(owner)).hexdigest()[:12]}"


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:40].strip(".-") or "run"


def _note() -> str:
    """What this folder alone is called, drawn when it is first asked for; empty where no Snakemake
    is, for a script called by hand leaves no folder behind, or where its folder is read-only."""
    # Only looked for, since Snakemake makes it.
    if not cache_folder.FOLDER.parent.is_dir():
        return ""
    try:
        cache_folder.FOLDER.mkdir(exist_ok=True)
        # Jobs that start at once have to agree.
        with flock.waiting(cache_folder.FOLDER / "folder") as descriptor:
            known = os.pread(descriptor, 100, 0).decode()
            if not known:
                # Its name as well, for whoever looks for what can be removed.
                known = f"{_readable(Path.cwd().name)} {secrets.token_hex(16)}"
                os.pwrite(descriptor, known.encode(), 0)
    except OSError:
        return ""
    return known
