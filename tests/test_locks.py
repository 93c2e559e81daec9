"""Two processes never train the same model at once."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelswitch.execution import training_lock

# As a training does: SIGTERM is noted, the state is saved, the process leaves.
HOLD = """
import signal, sys, time
from modelswitch.execution import training_lock
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
with training_lock.alone(sys.argv[1], lambda line: print(line, flush=True)):
    print("holds", flush=True)
    while not stop:
        time.sleep(0.01)
print("saved", flush=True)
"""


@contextlib.contextmanager
def holder(path, before=""):
    process = subprocess.Popen(
        [sys.executable, "-c", before + HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_process_left_behind_saves_and_leaves_first(tmp_path):
    path, said = tmp_path / "a" / "lock", []
    with holder(path) as other:
        assert other.stdout.readline() == "holds\n"
        with training_lock.alone(path, said.append):
            # Not before the other has left: it has said its last word.
            assert other.wait(10) == 0
            assert other.stdout.read() == "saved\n"
    assert "left behind" in said[0]
    assert str(other.pid) in said[0]
    assert not path.parent.exists()


def test_a_killed_process_holds_nothing(tmp_path):
    path, said = tmp_path / "lock", []
    with holder(path) as other:
        other.stdout.readline()
        other.send_signal(signal.SIGKILL)
        other.wait()
        with training_lock.alone(path, said.append):
            pass
    assert said == []


def test_a_process_of_another_machine_is_waited_for(tmp_path):
    path = tmp_path / "lock"
    elsewhere = "import socket; socket.gethostname = lambda: 'elsewhere'\n"
    with holder(path, elsewhere) as other:
        other.stdout.readline()
        with holder(path) as second:
            assert "on elsewhere trains this model in" in second.stdout.readline()
            time.sleep(0.5)
            assert other.poll() is None
            other.send_signal(signal.SIGTERM)
            assert second.stdout.readline() == "holds\n"


def test_many_at_once_take_turns(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import os, sys; from modelswitch.execution import training_lock\n"
        "training_lock._ask_to_stop = lambda *_: None\n"
        "for _ in range(20):\n"
        "    with training_lock.alone(sys.argv[1], lambda line: None):\n"
        "        os.mkdir(sys.argv[2]); os.rmdir(sys.argv[2])\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(tmp_path / "held")])
        for _ in range(3)
    ]
    # Making a folder that is there fails: two at once would not all leave with 0.
    assert [process.wait(60) for process in processes] == [0, 0, 0]


def test_the_lock_says_who_holds_it(tmp_path):
    with training_lock.alone(tmp_path / "lock"):
        holder = training_lock.Holder.parse((tmp_path / "lock").read_text())
    assert holder == training_lock.Holder.this()
    assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
    assert holder.folder == str(Path.cwd())


def proven(holder, path):
    """What `_left_behind` says of ``holder``, told to have this process's open lock file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        process = training_lock._left_behind(holder, descriptor)
    finally:
        os.close(descriptor)
    if process is not None:
        os.close(process)
    return process is not None


def of(process) -> training_lock.Holder:
    started = training_lock._started(process.pid)
    return training_lock.Holder.this()._replace(pid=process.pid, started=started)


# Each a way in which a file may name somebody else: another host, boot, container, an id that was
# used again, a lock file from before this was written in it.
OTHERS = {
    "another host": lambda holder: holder._replace(host="elsewhere"),
    "another boot": lambda holder: holder._replace(boot="0" * 36),
    "another container": lambda holder: holder._replace(processes="pid:[1]"),
    "an id used again": lambda holder: holder._replace(started=holder.started - 1),
    "no such process": lambda holder: holder._replace(pid=2**22 - 1),
    "the first process": lambda holder: holder._replace(pid=1),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_only_who_surely_is_the_one_left_behind_is_asked_to_stop(tmp_path, other):
    path = tmp_path / "lock"
    with holder(path) as process:
        process.stdout.readline()
        assert proven(of(process), path)
        assert not proven(other(of(process)), path)


def test_a_process_in_another_folder_is_waited_for(tmp_path):
    path = tmp_path / "lock"
    elsewhere = f"import os; os.chdir({str(tmp_path)!r})\n"
    with holder(path, elsewhere) as process:
        process.stdout.readline()
        assert not proven(of(process), path)
        with holder(path) as second:
            assert f"in {tmp_path}; waiting" in second.stdout.readline()
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert second.stdout.readline() == "holds\n"


@pytest.mark.parametrize("said", ["", "4711 elsewhere\n", "{}", "[1]", '{"pid": 1}', "\xff{"])
def test_an_unrelated_process_that_a_file_names_lives_on(tmp_path, said):
    """Whoever holds the lock has written what is no holder, or names somebody else's process."""
    path = tmp_path / "lock"
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        for content in (said, str(of(bystander))):
            path.write_text(content)
            code = (
                "import fcntl, sys, time; f = open(sys.argv[1], 'r+'); fcntl.flock(f, 2);"
                "print('holds', flush=True); sys.stdin.read()"
            )
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            with subprocess.Popen([sys.executable, "-c", code, str(path)], **pipes) as keeper:
                keeper.stdout.readline()
                with holder(path) as second:
                    assert "waiting for it" in second.stdout.readline()
                    keeper.stdin.close()
                    assert second.stdout.readline() == "holds\n"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_folders_that_others_share_stay(tmp_path):
    shared = tmp_path / "shared"
    with training_lock.alone(shared / "run" / "results" / "lock", within=shared):
        pass
    assert list(tmp_path.rglob("*")) == [shared]


def identity_in(folder, **environment):
    code = "from modelswitch.storage.working_folder import identity; print(identity())"
    variables = {k: v for k, v in os.environ.items() if k != "MODELSWITCH_RUN"} | environment
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("snakemake", [True, False], ids=["with its notes", "by hand"])
def test_a_copy_of_a_working_folder_is_another_one(tmp_path, snakemake):
    folder = tmp_path / "a study"
    (folder / ".snakemake").mkdir(parents=True) if snakemake else folder.mkdir()
    first = identity_in(folder)
    assert first.startswith("a-study-")
    assert identity_in(folder) == first
    (tmp_path / "link").symlink_to(folder)
    assert identity_in(tmp_path / "link") == first
    shutil.copytree(folder, tmp_path / "copy")
    assert identity_in(tmp_path / "copy") != first
    if snakemake:
        assert identity_in(tmp_path / "copy").startswith("a-study-")
    else:
        assert list(folder.iterdir()) == []


def test_a_renamed_working_folder_is_still_the_same(tmp_path):
    (tmp_path / "one" / ".snakemake").mkdir(parents=True)
    first = identity_in(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert identity_in(tmp_path / "two") == first


def test_jobs_whose_working_folders_differ_are_one_run_by_its_storage(tmp_path):
    for name in ("pod1", "pod2"):
        (tmp_path / name).mkdir()
    here, there = "s3://bucket/study", "s3://bucket/other"
    one, two = (identity_in(tmp_path / f"pod{n}", MODELSWITCH_RUN=here) for n in (1, 2))
    assert one == two
    assert identity_in(tmp_path / "pod1", MODELSWITCH_RUN=there) != one


def test_many_that_ask_at_once_agree_on_what_their_folder_is_called(tmp_path):
    (tmp_path / ".snakemake").mkdir()
    code = "from modelswitch.storage.working_folder import identity; print(identity())"
    asked = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    assert len({process.communicate()[0] for process in asked}) == 1
