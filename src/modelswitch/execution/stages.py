"""How far a run of the workflow is, from what Snakemake says: a count for each rule, time left, and
the epochs of the trainings that run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The rules of this workflow in the order of a run, as a person would call what they do. A module's
# rules have a prefix; the rules of several modules that do the same are told together.
RULES = {
    "prepare_data": "read the data",
    "origin": "first weights",
    "adopt": "take given models",
    "train": "train first models",
    "hint": "pre-train to hints",
    "respond": "store responses",
    "distil": "distil students",
    "search_designs": "list designs",
    "rung": "choose a rung",
    "search_step": "train while searching",
    "search_results": "judge the search",
    "degrade": "degrade images",
    "train_selector": "train selectors",
    "selection_tables": "compare selectors",
    "selection_figures": "draw selections",
    "contact_sheet": "draw degraded images",
    "strangers": "answer for strangers",
    "embed": "embed images",
    "verification_tables": "compare verification",
    "verification_figures": "draw verification",
    "export": "export for devices",
    "time_exports": "time the exports",
    "measure_models": "measure models",
    "results": "tables and pages",
    "crate": "pack a crate",
}
# Targets, which collect files and do nothing.
TARGETS = ("all", "models", "deploy", "selector", "verification", "searched")
_EXPORTS = re.compile(r"(?:^|_)export_\w+$")
_EPOCH = re.compile(
    r"^(?P<what>.*?)epoch (?P<epoch>\d+)/(?P<epochs>\d+) +loss (?P<loss>\S+)"
    r"(?: +validation accuracy (?P<accuracy>[\d.]+) %)?"
)
# Of a log, enough to hold its last line.
_TAIL = 2000
# Fewer finished jobs say too little of how long the others take.
_FEWEST = 3


def rule_of(name: str) -> str:
    """The rule of this workflow that a rule, maybe of a module, is; its own name for any other."""
    if _EXPORTS.search(name):
        return "export"
    for known in sorted((*RULES, *TARGETS), key=len, reverse=True):
        if name == known or name.endswith(f"_{known}"):
            return known
    return name


def called(rule: str) -> str:
    return RULES.get(rule, rule.replace("_", " "))


@dataclass
class Running:
    """A job that runs: its rule, what it is about, its log and since when."""

    rule: str
    about: str
    log: Path | None
    since: float


@dataclass(frozen=True)
class Epoch:
    """The last epoch that a training has told of."""

    epoch: int
    epochs: int
    loss: str
    accuracy: str  # percent on the validation images, '' where there are none

    @property
    def text(self) -> str:
        known = f", {self.accuracy} % right" if self.accuracy else ""
        return f"epoch {self.epoch}/{self.epochs}, loss {self.loss}{known}"


@dataclass
class Stages:
    """Jobs by rule; `told` takes what Snakemake logs.

    Args:
        clock: seconds, from any start.
    """

    clock: Callable[[], float] = time.monotonic
    totals: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)  # seconds of finished jobs
    began: float | None = None

    def planned(self, stats: Mapping[str, Any]) -> None:
        """Snakemake's count of jobs: rule to number, beside their `total`."""
        totals: dict[str, int] = {}
        for name, count in stats.items():
            rule = rule_of(name)
            if name != "total" and rule not in TARGETS and count:
                totals[rule] = totals.get(rule, 0) + int(count)
        order = list(RULES)
        places = {rule: order.index(rule) if rule in order else len(order) for rule in totals}
        self.totals = dict(sorted(totals.items(), key=lambda item: places[item[0]]))
        self.began = self.clock()

    def started(self, jobid: int, name: str, wildcards: Mapping[str, Any], logs: Iterable) -> None:
        rule = rule_of(name)
        if rule in TARGETS:
            return
        log = next(map(Path, logs), None)
        self.running[jobid] = Running(rule, about(wildcards), log, self.clock())

    def finished(self, jobid: int) -> None:
        job = self.running.pop(jobid, None)
        if job is not None:
            self.done[job.rule] = self.done.get(job.rule, 0) + 1
            self.spent[job.rule] = self.spent.get(job.rule, 0.0) + self.clock() - job.since
            # What a checkpoint adds was not planned.
            self.totals[job.rule] = max(self.totals.get(job.rule, 0), self.done[job.rule])

    def broke(self, jobid: int) -> Running | None:
        """A job has failed; what it was, if it was known to run."""
        job = self.running.pop(jobid, None)
        if job is not None:
            self.failed[job.rule] = self.failed.get(job.rule, 0) + 1
        return job

    @property
    def all_done(self) -> int:
        return sum(self.done.values())

    @property
    def total(self) -> int:
        return sum(self.totals.values())

    @property
    def elapsed(self) -> float:
        return 0.0 if self.began is None else self.clock() - self.began

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes, if its jobs take as long as those of their rule that are
        done, and as many run beside each other as until now; None before anything is known."""
        finished = self.all_done
        if finished < _FEWEST or not self.elapsed:
            return None
        spent = sum(self.spent.values())
        mean = spent / finished
        now = self.clock()
        rest = 0.0
        for rule, total in self.totals.items():
            done = self.done.get(rule, 0)
            each = self.spent[rule] / done if done else mean
            rest += each * (total - done - self.failed.get(rule, 0))
            under_way = [now - job.since for job in self.running.values() if job.rule == rule]
            rest -= sum(min(each, seconds) for seconds in under_way)
        beside = max(1.0, spent / self.elapsed)
        return max(0.0, rest / beside)

    def epochs(self) -> list[tuple[Running, Epoch]]:
        """The trainings that run and the last epoch of each, from their logs."""
        found = [(job, last_epoch(job.log)) for job in list(self.running.values())]
        return [(job, epoch) for job, epoch in found if epoch is not None]


def about(wildcards: Mapping[str, Any]) -> str:
    """What a job works on, from its wildcards: `seed3 teacher/student@kd`."""
    parts = [wildcards.get(name, "") for name in ("branch", "lineage", "selector")]
    words = " ".join(str(part) for part in parts if part)
    return words or str(wildcards.get("dataset", ""))


def last_epoch(log: Path | None) -> Epoch | None:
    """The last epoch in a training's log; None where none is told of."""
    if log is None:
        return None
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:  # before its first word, or gone with a job that failed
        return None
    for line in reversed(lines):
        match = _EPOCH.match(line)
        if match:
            return Epoch(int(match["epoch"]), int(match["epochs"]), match["loss"],
                         match["accuracy"] or "")  # fmt: skip
    return None


def clock_text(seconds: float) -> str:
    """1:05 for 65 seconds, 2:03:04 with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
