"""The processes of one training on several devices: started, watched, ended as one.

The job's own process is rank 0. It starts the others with its own command line, each on a device of
its own; all do the same work on other parts of every batch, and rank 0 alone speaks, reads and
writes resume files, and writes results. Whichever of them ends before its time, the job ends: rank
0 says which one it was and why. The others never outlive it, for the kernel ends them with it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import IO

from modelswitch.errors import UserError
from modelswitch.execution.warm_start import end_with

_VARIABLE = "MODELSWITCH_RANK"
_POLL_SECONDS = 0.1
# Another process's end shows in rank 0 as a broken connection, or not at all while it waits for a
# device. So long it may take to see why, or to say it itself.
_GRACE_SECONDS = 10.0
_SHOWN_LINES = 30


@dataclass(frozen=True)
class Rank:
    """One process of a training.

    Attributes:
        number, count: of the process, from 0, and how many there are.
        port: where rank 0 is met.
        device: as `torch.device` takes it.
    """

    number: int
    count: int
    port: int
    device: str


def this() -> Rank | None:
    """What this process was started as, if it is one that another started; it ends with that one
    then, and leaves what signals mean to it."""
    given = os.environ.pop(_VARIABLE, None)
    if given is None:
        return None
    said = json.loads(given)
    end_with(said.pop("parent"))
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    return Rank(**said)


class Others:
    """The other processes of a training, as rank 0 sees them."""

    def __init__(self, devices: Sequence[str], port: int) -> None:
        self._count = len(devices)
        self._said: list[IO[bytes]] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ending = threading.Event()
        for number, device in enumerate(devices[1:], 1):
            rank = Rank(number, self._count, port, device)
            variable = json.dumps(asdict(rank) | {"parent": os.getpid()})
            said = tempfile.TemporaryFile()  # noqa: SIM115
            self._said.append(said)
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-X", "utf8", *sys.argv],
                    env=os.environ | {_VARIABLE: variable},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
            )
        self._watch = threading.Thread(target=self._end_all, daemon=True)
        self._watch.start()

    def failed(self) -> str:
        """What became of the first process that has ended before its time; '' if none has."""
        for number, (process, said) in enumerate(zip(self._processes, self._said, strict=True), 1):
            status = process.poll()
            if not status:
                continue
            where = f"process {number} of {self._count} (counted from 0)"
            if status < 0:
                name = signal.Signals(-status).name
                return f"{where} was killed ({name}), and the training with it; run again to go on"
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            if lines and lines[-1].startswith("error: "):
                return f"{where}: {lines[-1].removeprefix('error: ')}"
            print(*lines[-_SHOWN_LINES:], sep="\n", file=sys.stderr, flush=True)
            return f"{where} ended with status {status}, and the training with it"
        return ""

    def why(self) -> str:
        """What has ended the training, if that is another process's end; waits for it a while."""
        deadline = time.monotonic() + _GRACE_SECONDS / 2
        while not (said := self.failed()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return said

    def _end_all(self) -> None:
        """Leave when one of the others has failed and this process does not leave by itself, for
        it may wait for that one for ever."""
        while not self._ending.wait(_POLL_SECONDS):
            if not (said := self.failed()):
                continue
            if not self._ending.wait(_GRACE_SECONDS):
                self._kill()
                print("error:", said, file=sys.stderr, flush=True)
                os._exit(1)

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()

    def stop(self) -> None:
        """End those that are still there; they hold nothing that rank 0 has not."""
        self._ending.set()
        self._watch.join()
        self._kill()
        for process, said in zip(self._processes, self._said, strict=True):
            process.wait()
            said.close()


@contextlib.contextmanager
def started(devices: Sequence[str], port: int) -> Iterator[None]:
    """The other processes of a training on ``devices``, the first of which is this one's.

    Raises:
        UserError: one of them ended before its time.
    """
    others = Others(devices, port)
    try:
        yield
    except RuntimeError as error:
        # What is left of a connection whose other end has gone says less.
        if said := others.why():
            raise UserError(said) from error
        raise
    finally:
        others.stop()
