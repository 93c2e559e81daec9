"""What a terminal shows while the workflow runs: `snakemake --logger modelswitch`.

One bar a rule, all of it with the time left, and the last epoch of every training that runs, within
80 columns. Where nobody watches (a pipe, a file, CI) there is a plain line now and then.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase

from modelswitch.execution.last_words import reason
from modelswitch.execution.stages import Stages, called, clock_text
from modelswitch.wording import short

WIDTH = 80
# What Snakemake says of a failed job besides: its whole command, and that there was one.
_OF_JOBS = (
    "CalledProcessError in file",
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
)
_NAME, _COUNT, _NOTE = 22, 9, 13
_BAR = WIDTH - _NAME - _COUNT - _NOTE - 4
_MOST_TRAININGS = 4
# Beside the bars: the total, an empty line, the trainings, and a line to spare.
_BESIDE = _MOST_TRAININGS + 3
# Without a terminal a line at every so much of the run, but not before so many seconds.
_STEP, _PAUSE = 0.1, 20.0


def rows(stages: Stages, height: int = 40, ascii_only: bool = False) -> list[Text]:
    """The display: bars, then the total, then the trainings that run; at most ``height`` lines, of
    80 columns at most."""
    shown = list(stages.totals)
    room = max(1, height - _BESIDE)
    if len(shown) > room:
        # What is over has nothing more to tell.
        open_ = [rule for rule in shown if stages.done.get(rule, 0) < stages.totals[rule]]
        shown = (open_ or shown)[:room]
    lines = [_bar(stages, rule, ascii_only) for rule in shown]
    left = stages.left
    total = Text(
        f"{'all of it':<{_NAME}} {_drawn(stages.all_done, stages.total, ascii_only)} "
        f"{_counted(stages.all_done, stages.total)} {clock_text(stages.elapsed):>6}",
        style="bold",
    )
    lines.append(total)
    if left is not None and stages.all_done < stages.total:
        lines.append(Text(f"{'':<{_NAME}} about {clock_text(left)} left", style="dim"))
    for job, epoch in stages.epochs()[:_MOST_TRAININGS]:
        space = WIDTH - len(epoch.text) - 2
        lines.append(Text(f"{short(job.about, space):<{space}}  {epoch.text}", style="cyan"))
    return [line[:WIDTH] for line in lines]


def _bar(stages: Stages, rule: str, ascii_only: bool) -> Text:
    done, total = stages.done.get(rule, 0), stages.totals[rule]
    failed = stages.failed.get(rule, 0)
    active = sum(job.rule == rule for job in list(stages.running.values()))
    note = f"{failed} failed" if failed else f"{active} running" if active else ""
    colour = "red" if failed else "green" if done == total else ""
    return Text(
        f"{short(called(rule), _NAME):<{_NAME}} {_drawn(done, total, ascii_only)} "
        f"{_counted(done, total)} {note:>{_NOTE}}".rstrip(),
        style=colour or ("" if active else "dim"),
    )


def _counted(done: int, total: int) -> str:
    return f"{f'{done}/{total}':>{_COUNT}}"


def _drawn(done: int, total: int, ascii_only: bool) -> str:
    full, empty = ("#", ".") if ascii_only else ("━", "┄")
    filled = _BAR * done // total if total else 0
    return full * filled + empty * (_BAR - filled)


def plain(stages: Stages) -> str:
    """The same in one line."""
    text = f"{stages.all_done} of {stages.total} steps, {clock_text(stages.elapsed)}"
    left = stages.left
    if left is not None and stages.all_done < stages.total:
        text += f", about {clock_text(left)} left"
    epochs = stages.epochs()
    if epochs:
        job, epoch = epochs[0]
        text += f"; {short(job.about, 30)} {epoch.text}"
    return text


class LogHandler(LogHandlerBase):
    """Snakemake's events, shown. A dry run is told as Snakemake tells it."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        said = self.common_settings
        # Log files get the 80 columns of a terminal.
        self.console = Console(
            stderr=not said.stdout, no_color=said.nocolor or None, highlight=False, soft_wrap=True
        )
        self.stages = Stages()
        self.live: Live | None = None
        self._ended = False
        self._told = 0.0, 0.0  # share and time of the last plain line
        quiet: Any = said.quiet or set()
        self._passes = DefaultFilter(
            quiet, said.debug_dag, said.verbose, said.dryrun, said.printshellcmds
        ).filter
        self._as_ever = DefaultFormatter(quiet, said.show_failed_logs).format
        # Snakemake closes its handlers only where it ends as it should.
        atexit.register(self.close)

    @property
    def watched(self) -> bool:
        """Whether somebody looks at a terminal."""
        return self.console.is_terminal and not self.console.is_dumb_terminal and not _in_ci()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.common_settings.dryrun:
                if self._passes(record):
                    self.console.print(Text(self._as_ever(record)))
                return
            self._take(record, record.__dict__)
        except Exception:
            # A display is no reason for a training to end.
            self.handleError(record)

    def _take(self, record: logging.LogRecord, told: Mapping[str, Any]) -> None:
        event = told.get("event")
        stages = self.stages
        if event == "run_info":
            stages.planned(told["stats"])
            self._begin()
        elif event == "job_info":
            stages.started(
                told["jobid"], told["rule_name"], told["wildcards"] or {}, told["log"] or ()
            )
        elif event == "job_finished":
            stages.finished(told["job_id"])
            self._now_and_then()
        elif event == "job_error":
            self._failed(told["jobid"], told["rule_name"], told["log"] or ())
        elif event == "group_error":
            for job in told["job_error_info"]:
                self._failed(job["jobid"], job["rule_name"], job["log"] or ())
        elif event == "error" or (event is None and record.levelno >= logging.WARNING):
            message = record.getMessage()
            style = "red" if record.levelno >= logging.ERROR or event else "yellow"
            if not any(words in message for words in _OF_JOBS):
                self.console.print(Text(message, style=style))
        elif event is None and record.getMessage().startswith("Nothing to be done"):
            self.console.print("Nothing to be done: all of it is there and up to date.")

    def _begin(self) -> None:
        stages = self.stages
        if not stages.total:
            return
        if self.watched:
            self.live = Live(
                console=self.console,
                get_renderable=self._display,
                refresh_per_second=2,
                transient=True,
                vertical_overflow="crop",
            )
            self.live.start()
        else:
            parts = ", ".join(f"{called(rule)} {n}" for rule, n in stages.totals.items())
            self.console.print(Text(f"{stages.total} steps: {parts}"))

    def _display(self) -> Group:
        height = shutil.get_terminal_size((WIDTH, 24)).lines
        ascii_only = self.console.options.ascii_only
        return Group(*rows(self.stages, height - 1, ascii_only))

    def _now_and_then(self) -> None:
        """Without a display, a line; of a short run only few."""
        stages = self.stages
        if self.live is not None or not stages.total:
            return
        share, now = stages.all_done / stages.total, stages.elapsed
        if share - self._told[0] >= _STEP and now - self._told[1] >= _PAUSE:
            self._told = share, now
            self.console.print(Text(plain(stages)))

    def _failed(self, jobid: int, rule_name: str, logs: Any) -> None:
        job = self.stages.broke(jobid)
        found = [path for path in map(Path, logs) if path.is_file()]
        what = f"{rule_name} failed" + (f": {job.about}" if job and job.about else "")
        where = f" ({found[0]})" if found else ""
        self.console.print(Text(f"{what}{where}", style="bold red"))
        last = reason(found[0]) if found else ""
        if last:
            self.console.print(Text(f"  {last}", style="red"))

    def close(self) -> None:
        """End the display, and leave a line of what was done."""
        if not self._ended and not self.common_settings.dryrun:
            self._ended = True
            if self.live is not None:
                self.live.stop()
            stages = self.stages
            if stages.total:
                failed = sum(stages.failed.values())
                text = f"{stages.all_done} of {stages.total} steps in {clock_text(stages.elapsed)}"
                self.console.print(Text(f"{text}, {failed} failed" if failed else text))
        super().close()


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
