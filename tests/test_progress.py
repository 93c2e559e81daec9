"""What a terminal shows while the workflow runs, in 80 columns, and how little without one."""

import io
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from modelswitch.execution import progress
from modelswitch.execution.stages import RULES, TARGETS, Stages, clock_text, last_epoch, rule_of
from modelswitch.training.loop import _line

ROOT = Path(__file__).parents[1]
ROW = {"epoch": 7, "loss": 0.53217, "seconds": 1.5, "validation_accuracy": 0.8125}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def started(stages: Stages, job: int, rule: str, log: str | Path = "", **wildcards) -> None:
    stages.started(job, rule, wildcards, [log] if log else [])


def test_the_rules_that_have_a_name_for_people_are_those_of_the_workflow():
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk")]
    rules = re.findall(r"^ *(?:rule|checkpoint) (\w+):", "\n".join(files), flags=re.MULTILINE)
    assert {*RULES, *TARGETS} <= {*map(rule_of, rules), "all"}
    assert all(len(name) <= 22 for name in RULES.values())


def test_rules_of_modules_are_told_together(clock):
    stages = Stages(clock)
    stages.planned({"compression_train": 3, "eyes_train": 4, "eyes_train_selector": 2,
                    "compression_export_onnx_int8": 2, "export_onnx": 1, "eyes_selector": 1,
                    "somebodys_rule": 5, "all": 1, "total": 19})  # fmt: skip
    assert stages.totals == {"train": 7, "train_selector": 2, "export": 3, "somebodys_rule": 5}
    assert rule_of("train_selector") == "train_selector"


def test_time_left_is_that_of_the_jobs_that_are_left(clock):
    stages = Stages(clock)
    stages.planned({"train": 4, "distil": 8, "total": 12})
    assert stages.left is None
    for job in range(4):
        started(stages, job, "train")
        clock.now += 10
        stages.finished(job)
    # Of the other rule nothing is known yet.
    assert stages.left == pytest.approx(8 * 10)
    started(stages, 5, "distil")
    clock.now += 2
    stages.finished(5)
    assert stages.left == pytest.approx(7 * 2)
    started(stages, 6, "distil")
    started(stages, 7, "distil")
    clock.now += 1
    assert stages.left == pytest.approx(7 * 2 - 2 * 1)


def test_an_epoch_is_read_as_a_training_tells_it(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("hint: a to b\n" + _line(ROW, 30) + "\n" + "x" * 50 + "\n")
    epoch = last_epoch(log)
    assert (epoch.epoch, epoch.epochs, epoch.accuracy) == (7, 30, "81.25")
    assert float(epoch.loss) == pytest.approx(0.53217, abs=1e-3)
    log.write_text(_line({k: v for k, v in ROW.items() if "validation" not in k}, 30))
    assert last_epoch(log).accuracy == ""
    log.write_bytes(b"\xff nothing of the kind")
    assert last_epoch(log) is None
    assert last_epoch(tmp_path / "missing.log") is None


@pytest.mark.parametrize("height", [6, 24, 60])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_display_fits_a_small_terminal(tmp_path, clock, height, ascii_only):
    stages = Stages(clock)
    names = [*RULES, "a_rule_of_somebody_elses_with_a_long_name", "another"]
    stages.planned(dict.fromkeys(names, 12345) | {"total": 1})
    log = tmp_path / "train.log"
    log.write_text(_line(ROW, 30))
    for job, name in enumerate(names):
        started(
            stages, job, name, log, branch="seed12", lineage="/".join(["assistant@kd-hint"] * 9)
        )
    for job in range(5):
        clock.now += 1000
        stages.finished(job)
    stages.broke(7)
    lines = [line.plain for line in progress.rows(stages, height, ascii_only)]
    assert max(map(len, lines)) <= 80
    assert len(lines) <= max(height, 7)
    assert any("1 failed" in line for line in lines) or height == 6
    assert any("epoch 7/30, loss 0.53" in line for line in lines)
    assert any("left" in line for line in lines)
    if ascii_only:
        assert not any("━" in line or "┄" in line for line in lines)


def handler(monkeypatch, terminal: bool, **settings) -> tuple[progress.LogHandler, io.StringIO]:
    monkeypatch.delenv("CI", raising=False)
    names = ("stdout", "debug_dag", "verbose", "dryrun", "printshellcmds", "show_failed_logs")
    said = dict.fromkeys(names, False) | {"nocolor": True, "quiet": None} | settings
    shown = progress.LogHandler(SimpleNamespace(**said), None)
    written = io.StringIO()
    shown.console = Console(file=written, force_terminal=terminal, width=80, soft_wrap=True)
    return shown, written


def tell(shown: progress.LogHandler, event: str | None, message="", level=logging.INFO, **told):
    record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    record.__dict__.update(told | ({"event": event} if event else {}))
    shown.emit(record)


def run(shown, jobs: int, log: Path, failing: int | None = None) -> None:
    tell(shown, "run_info", stats={"distil": jobs, "total": jobs})
    for job in range(jobs):
        tell(shown, "job_info", jobid=job, rule_name="distil", log=[str(log)],
             wildcards={"branch": f"seed{job}", "lineage": "teacher/student@kd"})  # fmt: skip
        if job == failing:
            tell(shown, "job_error", jobid=job, rule_name="distil", log=[str(log)])
        else:
            tell(shown, "job_finished", job_id=job)
    shown.close()


def test_without_a_terminal_little_is_said(monkeypatch, tmp_path):
    shown, written = handler(monkeypatch, terminal=False)
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    tell(shown, None, "Select jobs to execute...")
    run(shown, 200, tmp_path / "train.log")
    lines = written.getvalue().splitlines()
    assert lines[0] == "200 steps: distil students 200"
    assert lines[-1] == "200 of 200 steps in 0:00"
    assert 5 < len(lines) <= 13
    assert "\x1b" not in written.getvalue()


def test_ci_is_no_terminal(monkeypatch):
    shown, _ = handler(monkeypatch, terminal=True)
    assert shown.watched
    monkeypatch.setenv("CI", "true")
    assert not shown.watched


@pytest.mark.parametrize("terminal", [False, True])
def test_a_failure_is_told_with_the_last_line_of_its_log(monkeypatch, tmp_path, terminal):
    log = tmp_path / "train.log"
    log.write_text("epoch 1/3  loss 1.0\nerror: the loss is no number\n")
    shown, written = handler(monkeypatch, terminal)
    tell(shown, "error", 'CalledProcessError in file "chain.smk":\nCommand ...', logging.ERROR)
    run(shown, 3, log, failing=1)
    tell(shown, None, "Exiting because a job execution failed. Look above", logging.ERROR)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue())
    assert f"distil failed: seed1 teacher/student@kd ({log})" in text
    assert "error: the loss is no number" in text
    assert "CalledProcessError" not in text
    assert text.rstrip().endswith("2 of 3 steps in 0:00, 1 failed")


def test_warnings_and_errors_of_snakemake_itself_are_shown(monkeypatch):
    shown, written = handler(monkeypatch, terminal=False)
    tell(shown, None, "a warning", logging.WARNING)
    tell(shown, "error", "MissingInputException: no photos", logging.ERROR)
    tell(shown, None, "Nothing to be done (all requested files are present).")
    assert written.getvalue().splitlines() == [
        "a warning",
        "MissingInputException: no photos",
        "Nothing to be done: all of it is there and up to date.",
    ]


def test_snakemake_finds_it_by_its_name():
    plugin = LoggerPluginRegistry().get_plugin("modelswitch")
    assert issubclass(plugin.log_handler, progress.LogHandler)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65.4, "1:05"), (3599.6, "1:00:00"), (7384, "2:03:04")]
)
def test_times(seconds, text):
    assert clock_text(seconds) == text
