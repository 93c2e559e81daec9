"""Call the workflow's scripts as Snakemake does, but in this process or in a fork of it.

Starting Python and importing torch takes seconds; killing or mutating hundreds of runs needs
milliseconds.
"""

import contextlib
import functools
import importlib.util
import io
import os
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from modelswitch.errors import run_script
from modelswitch.storage.code_digest import code_digest

SCRIPTS = Path(__file__).parent.parent / "workflow" / "scripts"


class Ended(NamedTuple):
    """How a script ended: its exit status and what it said on standard error."""

    status: int
    said: str


@functools.cache
def load(name: str):
    """The module of a script."""
    path = SCRIPTS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Computed once here rather than in every fork.
    code_digest(path)
    return module


@contextlib.contextmanager
def arguments(name: str, *values: object):
    before, sys.argv = sys.argv, [str(SCRIPTS / f"{name}.py"), *map(str, values)]
    try:
        yield
    finally:
        sys.argv = before


def run(name: str, *values: object) -> Ended:
    """Run a script to its end in this process. What it does not catch goes through."""
    said = io.StringIO()
    with arguments(name, *values):
        status = call(load(name).main, said)
    return Ended(status, said.getvalue())


def call(main, said: io.StringIO) -> int:
    """The exit status of a script whose function is ``main``; it speaks to ``said``."""
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            run_script(main)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
    return 0


def fork(name: str, *values: object, prepare=lambda: None) -> int:
    """Run a script in a fork of this process; returns its process id.

    ``prepare`` is called first in the fork, to set limits, say.
    """
    module = load(name)
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        prepare()
        with arguments(name, *values):
            run_script(module.main)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
