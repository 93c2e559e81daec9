"""Lines about a long reading, now and then."""

import time
from collections.abc import Callable

from modelswitch.wording import duration

_SAMPLES, _SECONDS = 10_000, 30.0  # between two lines, whichever come first


class Progress:
    """Counts samples as they are read.

    Args:
        total: samples that there are.
        report: called with a line; None for nobody who would read it.
    """

    def __init__(self, total: int, report: Callable[[str], None] | None) -> None:
        self._total, self._report = total, report
        self._seen = self._read = self._told = 0
        self._begun = self._last = time.monotonic()

    def step(self, read: bool = True) -> None:
        """One more sample comes; ``read`` unless it was before, which takes no time."""
        now = time.monotonic()
        due = self._read - self._told >= _SAMPLES or now - self._last >= _SECONDS
        if self._report is not None and due and self._read:
            left = (now - self._begun) / self._read * (self._total - self._seen)
            self._report(
                f"read {self._seen:,} of {self._total:,} samples, about {duration(left)} to go"
            )
            self._told, self._last = self._read, now
        self._seen += 1
        self._read += read
