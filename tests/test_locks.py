"""Two processes never train the same model at once."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

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
            assert "on elsewhere trains this model; waiting" in second.stdout.readline()
            time.sleep(0.5)
            assert other.poll() is None
            other.send_signal(signal.SIGTERM)
            assert second.stdout.readline() == "holds\n"


def test_many_at_once_take_turns(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import os, sys; from modelswitch.execution import training_lock\n"
        "os.kill = lambda *_: None\n"
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
        assert (tmp_path / "lock").read_text() == f"{os.getpid()} {socket.gethostname()}\n"
