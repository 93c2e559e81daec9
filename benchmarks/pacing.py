"""Trainings that run a few steps when they are told to, so that programs can take turns.

Standard library alone: programs that are compared import this in environments of their own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Turn:
    """The window of steps that was asked for last, and how much of it is left.

    A window is a line with a number on the standard input. When the training asks for the batch
    after the last one of it, that many steps are done, and the seconds they took go to the
    standard output. What is in a step is then everything that the training does from batch to
    batch, making the batch included. The end of the input ends the process.

    Args:
        settle: waits until a device has done what it was told to; none for a processor.
    """

    def __init__(self, settle: Callable[[], object] | None = None) -> None:
        self._settle = settle or (lambda: None)
        self._left = 0
        self._start: float | None = None

    def step(self) -> None:
        """Begin a step, in a window."""
        while not self._left:
            if self._start is not None:
                self._settle()
                print(json.dumps(time.perf_counter() - self._start), flush=True)
            if not (line := sys.stdin.readline()):
                raise SystemExit
            self._left, self._start = int(line), time.perf_counter()
        self._left -= 1

    def back(self) -> None:
        """There was no batch for the step that was begun."""
        self._left += 1


class Windows:
    """Batches that wait at the start of every window of steps; one may go on in the next epoch's,
    which share its ``turn``."""

    def __init__(self, batches: Iterable[Any], length: int, turn: Turn | None = None) -> None:
        self._batches, self._length = batches, length
        self._turn = turn or Turn()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._batches)
        while True:
            self._turn.step()
            try:
                batch = next(batches)
            except StopIteration:
                self._turn.back()
                return
            yield batch


class Program:
    """A paced training in a process of its own."""

    def __init__(self, command: list[str], **options: Any) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            text=True,
            **options,
            encoding="utf-8",
            errors="replace",
        )

    def ready(self) -> dict[str, Any]:
        """What the program says about itself, in the first line that it prints."""
        return self._read()

    def start(self, steps: int) -> None:
        """Begin the next ``steps`` steps."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()

    def seconds(self) -> float:
        """Wait for the end of what was begun, and return how long it took."""
        return self._read()

    def run(self, steps: int) -> float:
        """Seconds that the next ``steps`` steps take."""
        self.start(steps)
        return self.seconds()

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args[:3]} ended, status {self._process.wait()}")
        return json.loads(line)

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait()
