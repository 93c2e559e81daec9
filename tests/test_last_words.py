"""What a person sees last when something fails is the reason, however Snakemake is called."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from faults_run import ROOT, environment
from PIL import Image

from modelswitch.execution.last_words import LastWords, reason

MIXED = {
    "name": "mixed",  # a comment behind it is put into the file
    "data": {"source": "folder", "path": "pictures", "test": 0.3},
    "models": {"small": {"family": "plain", "stages": [[4], [4]]}},
    "chains": {"alone": "small"},
    "seeds": [0],
    "training": {"epochs": 1, "warmup": 0},
}


def job_error(number: int, rule: str, log: Path) -> logging.LogRecord:
    values = {"event": "job_error", "jobid": number, "rule_name": rule, "log": [str(log)]}
    return logging.makeLogRecord(values | {"levelno": logging.ERROR})


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("epoch 1\nerror: data.size: set it\n", "error: data.size: set it"),
        ("\x1b[31merror: red\x1b[0m\n\n  \n", "error: red"),
        ("error: first\nerror: second\nException ignored in: <socket>\n", "error: second"),
        (
            "Traceback (most recent call last):\n  File x\nRuntimeError: CUDA\n",
            "RuntimeError: CUDA",
        ),
        (
            "srun: error: Unable to create step for job 11: More processors requested\n"
            "rule train:\nsrun: error: vm: task 0: Exited with exit code 1\nWorkflowError:\n",
            "error: SLURM: Unable to create step for job 11: More processors requested",
        ),
        (
            "epoch 7/40\nslurmstepd-vm: error: *** JOB 5 ON vm CANCELLED DUE TO TIME LIMIT ***\n",
            "error: SLURM: *** JOB 5 ON vm CANCELLED DUE TO TIME LIMIT ***",
        ),
        ("srun: error: vm: task 0: Exited with exit code 1\nthe end\n", "the end"),
        ("b\xe4d bytes", "b\ufffdd bytes"),
        ("", ""),
    ],
)
def test_the_reason_is_the_last_line_for_a_person(tmp_path, text, last):
    (tmp_path / "log").write_bytes(text.encode("latin-1"))
    assert reason(tmp_path / "log") == last


def test_equal_reasons_are_said_once_and_what_succeeds_later_is_forgotten(tmp_path):
    heard = LastWords()
    for number in range(40):
        (tmp_path / f"{number}.log").write_text("error: out of memory\n" if number else "error: x")
        heard.emit(job_error(number, "train", tmp_path / f"{number}.log"))
    heard.emit(logging.makeLogRecord({"event": "job_finished", "job_id": 0}))
    heard.emit(job_error(50, "results", tmp_path / "none.log"))
    assert heard.lines() == [
        "results failed (no log):",
        "error: it ended without a word, as what is killed does",
        f"train failed ({tmp_path}/1.log) and 38 more:",
        "error: out of memory",
    ]


def test_a_job_that_its_cluster_ended_says_so(tmp_path):
    """Its own log is empty, or ends in the middle; the executor's is named beside it."""
    (tmp_path / "own.log").write_text("epoch 7/40\n")
    (tmp_path / "slurm.log").write_text("slurmstepd: error: Detected 1 oom_kill event\nEnd\n")
    record = job_error(1, "train", tmp_path / "own.log")
    record.__dict__["log"].append(str(tmp_path / "slurm.log"))
    heard = LastWords()
    heard.emit(record)
    assert heard.lines() == [
        f"train failed ({tmp_path}/slurm.log):",
        "error: SLURM: Detected 1 oom_kill event",
    ]


def test_a_group_says_what_failed_in_it(tmp_path):
    """Whichever of its jobs that was; Snakemake tells but which jobs there are."""
    (tmp_path / "good.log").write_text("all is well\n")
    (tmp_path / "bad.log").write_text("error: no space left\n")
    jobs = [
        {"jobid": number, "rule_name": name, "log": [str(tmp_path / f"{name}.log")]}
        for number, name in enumerate(("good", "bad", "never"))
    ]
    heard = LastWords()
    heard.emit(
        logging.makeLogRecord({"event": "group_error", "job_error_info": jobs, "aux_logs": []})
    )
    assert heard.lines()[-1] == "error: no space left"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the workflow to call make in, with images of mixed size and experiments on them."""
    folder = tmp_path_factory.mktemp("make")
    for name in ("rules", "workflow", "src", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    # The environment that make would install is the one that runs the tests.
    (folder / ".venv" / "bin").mkdir(parents=True)
    for program in ("python", "snakemake"):
        (folder / ".venv/bin" / program).symlink_to(Path(sys.executable).with_name(program))
    (folder / ".venv/run.stamp").touch()
    for index in range(24):
        path = folder / "pictures" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((8 + index % 3, 8), 30 + index).save(path)
    text = yaml.safe_dump(MIXED, sort_keys=False)
    (folder / "mixed.yaml").write_text(text.replace("name: mixed", 'name: "mixed"   # a study'))
    (folder / "good.yaml").write_text(
        text.replace("name: mixed", "name: 'good'  # sized").replace(
            "test: 0.3", "test: 0.3\n  size: [8, 8]"
        )
    )
    (folder / "gone.yaml").write_text(text.replace("pictures", "nowhere"))
    (folder / "broken.yaml").write_text("name: [unfinished\n")
    return folder


def make(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder / "src")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    # What make itself says of the status, under a make that runs these tests with its depth.
    made = re.compile(r"make(\[\d+\])?: \*\*\*")
    return done.returncode, [line for line in lines if not made.match(line)]


SIZES = "set data.size to resize all"


@pytest.mark.parametrize(
    ("target", "configuration", "said"),
    [
        ("run", "mixed.yaml", SIZES),
        ("report", "mixed.yaml", SIZES),
        ("plan", "gone.yaml", "error: data.path: nowhere: no such folder"),
        ("plan", "broken.yaml", "error: broken.yaml: not YAML that can be read"),
        ("run", "broken.yaml", "error: broken.yaml: not YAML that can be read"),
        ("plan", "none.yaml", "error: none.yaml: No such file or directory"),
        ("run", "none.yaml", "error: none.yaml: No such file or directory"),
    ],
)
def test_make_ends_with_the_reason(folder, target, configuration, said):
    status, lines = make(folder, target, f"CONFIG={configuration}")
    assert status == 2
    assert said in lines[-1], lines[-5:]
    if said == SIZES:
        assert lines[-1].startswith("error: ")


@pytest.mark.parametrize("quiet", [[], ["--quiet"], ["--quiet", "rules"], ["--quiet", "all"]])
def test_snakemake_ends_with_the_reason(folder, quiet):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "mixed.yaml", *quiet],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: pictures/")
    assert SIZES in done.stderr.splitlines()[-1]


@pytest.mark.long
@pytest.mark.slow
def test_make_reports_on_a_configuration_as_people_write_them(folder):
    """With quotes round the name and a comment behind it."""
    status, lines = make(folder, "report", "CONFIG=good.yaml")
    assert status == 0, lines[-20:]
    assert lines[-1] == "results/good/report.html"
    assert "results/good/results.html" in lines, "where to look after make run"
    assert (folder / "results/good/report.html").stat().st_size > 10_000
