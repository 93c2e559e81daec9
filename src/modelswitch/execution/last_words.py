"""Why jobs failed, said last: what Snakemake prints at its end is about Snakemake.

And said always: ``--quiet rules`` drops the logs of failed jobs, ``--quiet all`` every error.
"""

import atexit
import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

# Of many jobs that fail, each in its own way, the first few say what there is to say.
_MOST = 5
# A line for a person may be followed by what Python says while it ends.
_NEAR_THE_END = 20
# What SLURM itself has against a job: its limits, its node. That a step has failed is no reason.
_OF_SLURM = re.compile(r"(?:srun|slurmstepd\S*): error: (?!.*Exited with exit code)(.+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def reason(log: Path) -> str:
    """The last line that a job left for a person in its ``log``, or what SLURM says there, or its
    last line at all."""
    text = _COLOURS.sub("", log.read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines[-_NEAR_THE_END:]):
        if line.startswith("error: "):
            return line
    for line in reversed(lines):
        if found := _OF_SLURM.match(line):
            return f"error: SLURM: {found[1]}"
    return lines[-1] if lines else ""


class LastWords(logging.Handler):
    """Listens to Snakemake's messages for jobs that fail, and knows what to say of them.

    Args:
        quiet: whether Snakemake keeps its own errors to itself.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self._quiet = quiet
        self._failed: dict[int, tuple[str, list[str]]] = {}
        self._error = ""

    def emit(self, record: logging.LogRecord) -> None:
        told = record.__dict__
        event = told.get("event")
        if event == "job_error":
            self._failed[told["jobid"]] = told["rule_name"], list(told["log"])
        elif event == "group_error":
            # Which of its jobs failed is not told; those that never began have no log.
            jobs = told["job_error_info"]
            logs = [log for job in jobs for log in job["log"]] + list(told["aux_logs"])
            self._failed |= {job["jobid"]: (job["rule_name"], logs) for job in jobs}
        elif event == "job_finished":
            # At another attempt.
            self._failed.pop(told.get("job_id", -1), None)
        elif event == "error":
            self._error = record.getMessage()

    def lines(self) -> list[str]:
        """What to print, the reason last; equal reasons once."""
        found: dict[str, list[tuple[str, str]]] = {}
        for rule, logs in self._failed.values():
            said = [(reason(path), str(path)) for path in map(Path, logs) if path.is_file()]
            said.sort(key=lambda pair: not pair[0].startswith("error: "))
            last, where = said[0] if said else ("", "no log")
            last = last or "error: it ended without a word, as what is killed does"
            found.setdefault(last, []).append((rule, where))
        result = []
        for last, jobs in reversed(list(found.items())[:_MOST]):
            rule, where = jobs[0]
            others = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
            result += [f"{rule} failed ({where}){others}:", last]
        if self._quiet and not result:
            result = self._error.splitlines()
        return result


def listen(logger: logging.Logger, quiet: bool) -> None:
    """Say why jobs failed when this process ends; ``logger`` is Snakemake's."""
    if not any(isinstance(handler, LastWords) for handler in logger.handlers):
        handler = LastWords(quiet)
        logger.addHandler(handler)
        atexit.register(_say, handler.lines)


def _say(lines: Callable[[], list[str]]) -> None:
    with contextlib.suppress(OSError, ValueError):
        coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        for line in lines():
            print(f"\x1b[1;31m{line}\x1b[0m" if coloured else line, file=sys.stderr)
        sys.stderr.flush()
