"""Trainings that run a few steps when they are told to, so that programs can take turns.

Standard library alone: programs that are compared import this in environments of their own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any


class Windows:
    """Batches that wait at the start of every window of steps.

    A window is a line with a number on the standard input. When the training asks for the batch
    after the last one of it, that many steps are done, and the seconds they took go to the
    standard output. What is in a step is then everything that the training does from batch to
    batch, making the batch included. The end of the input ends the process.
    """

    def __init__(self, batches: Iterable[Any], length: int) -> None:
        self._batches, self._length = batches, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._batches)
        while line := sys.stdin.readline():
            start = time.perf_counter()
            for _ in range(int(line)):
                yield next(batches)
            print(json.dumps(time.perf_counter() - start), flush=True)
        raise SystemExit


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
