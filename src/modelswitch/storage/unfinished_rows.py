"""Rows of a preparation that outlive it when it is killed, for the next one to go on behind them.

Beside the rows lies a journal, a line of JSON for every sample whose rows are written. What is
behind its last whole line, or does not have the checksum that stands there, was never written.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from modelswitch.errors import UserError
from modelswitch.execution import flock
from modelswitch.storage.stored_rows import RowSpool

_BEGIN = ".unfinished-"
_JOURNAL = f"{_BEGIN}journal"


class InUse(UserError):
    """Another process writes rows in this folder."""


class UnfinishedRows:
    """Files of rows that are written side by side, sample by sample.

    Args:
        folder: where they are kept until `remove`.
        identity: what decides over their bytes; rows of another one are not gone on with.
        makers: what opens the file of each, by name.

    Attributes:
        begun_anew: rows of another identity were there, and are gone.

    Raises `InUse` where another process writes there.
    """

    def __init__(
        self,
        folder: str | Path,
        identity: str,
        makers: Mapping[str, Callable[[Path], RowSpool]],
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = _locked(folder / _JOURNAL)
        lines = self._journal.read().split(b"\n")
        # A journal is of a work once its first line is whole.
        own = len(lines) > 1 and lines[0] == json.dumps(identity).encode()
        self.begun_anew = len(lines) > 1 and not own
        self._lines: list[bytes] = []
        if not own:
            self._journal.truncate(0)
            self._append(identity)
        self.spools = {
            name: make(folder / f"{_BEGIN}rows-{number}")
            for number, (name, make) in enumerate(makers.items())
        }
        end = len(lines[0]) + 1
        # The last piece has no end of a line.
        for line in lines[1:-1] if own else ():
            if not self._again(line):
                break
            end += len(line) + 1
        if own:
            self._journal.truncate(end)
        for spool in self.spools.values():
            spool.forget_rest()

    def _again(self, line: bytes) -> bool:
        """Whether a line and the rows that it tells of are whole."""
        try:
            _, rows = json.loads(line)
        except ValueError:
            return False
        if not all(self.spools[name].again(*each) for name, each in rows.items()):
            return False
        self._mark()
        self._lines.append(line)
        return True

    def __len__(self) -> int:
        """Of how many samples the rows were there already."""
        return len(self._lines)

    def notes(self) -> Iterator[Any]:
        """What is known of those, in their order."""
        # Of a line a value takes several times the memory.
        return (json.loads(line)[0] for line in self._lines)

    def note(self, note: Any) -> None:
        """All rows since the last note are those of a sample of which this (any JSON) is known."""
        rows = {name: spool.unmarked() for name, spool in self.spools.items()}
        # In this order, for what the journal tells has to be there.
        for spool in self.spools.values():
            spool.flush()
        self._append([note, rows])
        self._mark()

    def _mark(self) -> None:
        for spool in self.spools.values():
            spool.mark()

    def _append(self, value: Any) -> None:
        self._journal.write(json.dumps(value).encode() + b"\n")
        self._journal.flush()


def _locked(path: Path) -> IO[bytes]:
    """A journal to be read and appended to by this process alone."""
    while True:
        file = path.open("a+b")
        with contextlib.suppress(flock.NoLocks):
            if not flock.try_lock(file.fileno()):
                file.close()
                raise InUse(f"{path.parent}: another process prepares data there; wait for it")
        if flock.is_still(path, file.fileno()):
            file.seek(0)
            return file
        # It was removed by the one who had it, in the moment before it was locked.
        file.close()


def remove(folder: str | Path) -> None:
    """Forget what is unfinished in a folder; who has it open can read it to the end."""
    for path in Path(folder).glob(f"{_BEGIN}*"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
