"""A job that is started warm is the job that it would be in a process of its own."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelswitch.execution import warm_start

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="the system has no descriptors of processes"
)

# Says all that a script can see of its process; where it came from is left to the tests.
LOOK = """
import json, os, signal, sys
umask = os.umask(0)
signals = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ)
seen = {
    "argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path, "cwd": os.getcwd(),
    "environment": dict(os.environ), "umask": umask, "stdin": sys.stdin.read(),
    "signals": [str(signal.getsignal(s)) for s in signals],
    "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "main": sys.modules["__main__"].__dict__ is globals(),
    "threads": len(os.listdir("/proc/self/task")),
    "descriptors": [n for n in range(20) if os.path.exists(f"/proc/self/fd/{n}")],
    "own": sorted(name for name in sys.modules if name.startswith("modelswitch")),
    "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
}
json.dump(seen, open(sys.argv[1], "w"))
print("said")
print("complained", file=sys.stderr)
sys.exit(int(sys.argv[2]))
"""
# Waits for a signal like a training, which leaves with 128 and its number.
WAIT = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda n, frame: (print("asked", n, flush=True), sys.exit(128 + n)))
print(os.getpid(), os.getppid(), flush=True)
# In pieces: a signal just before the call would be seen after it.
for _ in range(600):
    time.sleep(0.1)
"""


class Run:
    """Stands for one run of Snakemake: starts jobs, warm ones by the same server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snakemake = subprocess.Popen(["sleep", "600"])
        self.name = f"modelswitch-test-{self.snakemake.pid}"
        self.environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def script(self, text: str) -> str:
        path = self.folder / "script.py"
        path.write_text(text)
        return str(path)

    def start(self, text: str, *arguments: str, **how) -> subprocess.Popen:
        client = [sys.executable, "-I", "-S", "-E", warm_start.__file__]
        how = {"cwd": self.folder, "env": self.environment, "stdout": subprocess.PIPE, **how}
        return subprocess.Popen(
            [*client, self.name, str(self.snakemake.pid), "", self.script(text), *arguments],
            text=True,
            **how,
        )

    def waiting(self, **how) -> tuple[subprocess.Popen, int, int]:
        """A job that waits for a signal, its process and the server's."""
        job = self.start(WAIT, **how)
        child, server = map(int, job.stdout.readline().split())
        assert Path(f"/proc/{child}/comm").read_text() == "script.py\n"
        return job, child, server

    def end(self) -> None:
        self.snakemake.kill()
        self.snakemake.wait()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("warm"))
    yield run
    run.end()


def until_gone(*processes: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process)
            assert select.select([descriptor], [], [], 20)[0], f"{process} is still there"
            os.close(descriptor)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_script_sees_the_same_as_in_a_process_of_its_own(run, tmp_path, ignored):
    def prepare():
        os.umask(0o027)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    how = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": prepare}
    arguments = ("seen.json", "7", "{braces} and 'quotes'", "")
    looks = []
    for start in (
        lambda: run.start(LOOK, *arguments, **how),
        lambda: subprocess.Popen(
            [sys.executable, run.script(LOOK), *arguments],
            cwd=run.folder, env=run.environment, text=True, stdout=subprocess.PIPE, **how,
        ),
    ):  # fmt: skip
        job = start()
        assert job.communicate("given", timeout=60) == ("said\n", "complained\n")
        assert job.returncode == 7
        looks.append(json.loads((run.folder / "seen.json").read_text()))
    assert looks[0] == looks[1]


def test_it_is_warm_and_runs_the_code_that_is_on_the_disk(run):
    text = "import sys; print('torch' in sys.modules, [m for m in sys.modules if 'modelsw' in m])"
    assert run.start(text).communicate(timeout=60)[0] == "True []\n"
    assert run.start("print('changed')").communicate(timeout=60)[0] == "changed\n"


@pytest.mark.parametrize("change", [{"OPENBLAS_NUM_THREADS": "2"}, {"PYTHONPATH": "/nowhere"}])
def test_another_environment_is_a_process_of_its_own(run, change):
    text = "import sys; print('torch' in sys.modules)"
    job = run.start(text, env=run.environment | change)
    assert job.communicate(timeout=60)[0] == "False\n"


def test_errors_end_as_usual(run):
    for text, status, last in (
        ("raise ValueError('wrong')", 1, "ValueError: wrong"),
        ("import sys; sys.exit('error: one line')", 1, "error: one line"),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ):
        job = run.start(text, stderr=subprocess.PIPE)
        assert job.communicate(timeout=60)[1].strip().endswith(last)
        assert job.returncode == status


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_script_once(run, signum):
    # As from a terminal: to all processes of the group.
    job, _, _ = run.waiting(start_new_session=True)
    os.killpg(job.pid, signum)
    assert job.communicate(timeout=20)[0] == f"asked {int(signum)}\n"
    assert job.returncode == 128 + signum


def test_a_signal_before_there_is_a_child_ends_the_client(run):
    job = Run(run.folder)
    client = job.start(WAIT)
    client.terminate()
    assert client.wait(20) == -signal.SIGTERM
    job.end()


def test_suspended_with_its_client_and_going_on_with_it(run):
    job, child, _ = run.waiting()

    def state() -> str:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]

    for signum, states in ((signal.SIGTSTP, "T"), (signal.SIGCONT, "S")):
        job.send_signal(signum)
        deadline = time.monotonic() + 20
        while state() not in states:
            assert time.monotonic() < deadline, state()
            time.sleep(0.01)
    job.terminate()
    assert job.wait(20) == 143


def test_a_killed_client_takes_its_script_along_and_no_other(run):
    first, first_child, server = run.waiting()
    second, second_child, _ = run.waiting()
    first.kill()
    until_gone(first_child)
    assert second.poll() is None
    os.kill(second_child, signal.SIGKILL)
    assert second.wait(20) == 137
    assert run.waiting()[2] == server


def test_a_killed_server_takes_its_scripts_along_and_the_next_job_has_another(tmp_path):
    run = Run(tmp_path)
    jobs = [run.waiting(stderr=subprocess.PIPE) for _ in range(2)]
    server = jobs[0][2]
    os.kill(server, signal.SIGKILL)
    for job, child, _ in jobs:
        assert job.communicate(timeout=20)[1].startswith("error: the process that starts jobs")
        assert job.returncode == 1
        assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text()
    again, _, other = run.waiting()
    assert other != server
    again.terminate()
    run.end()
    until_gone(other)


def test_the_server_leaves_after_snakemake_and_the_last_of_its_jobs(tmp_path):
    run = Run(tmp_path)
    job, child, server = run.waiting()
    # Nothing but its jobs keeps it, and nothing but SIGKILL ends it before them.
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(server, signum)
    run.end()
    late = run.start("import sys; print('torch' in sys.modules)")
    late.wait(60)
    assert job.poll() is None
    os.kill(child, signal.SIGTERM)
    assert job.wait(20) == 143
    until_gone(server)
    assert run.name not in Path("/proc/net/unix").read_text()


def test_no_server_to_be_had_is_a_process_of_its_own(tmp_path):
    run = Run(tmp_path)
    run.end()
    # Snakemake has gone: the server finds nobody to work for.
    text = "import sys; print('torch' in sys.modules)"
    assert run.start(text).communicate(timeout=60)[0] == "False\n"
