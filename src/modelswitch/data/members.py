"""Images that lie inside larger files, as members of an archive or cells of a table."""

import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Member:
    """An image file's bytes within another file.

    Attributes:
        file: what holds it.
        name: what a person knows it by in there.
        offset, length: where its bytes are.
    """

    file: Path
    name: str
    offset: int
    length: int

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Its bytes, as `Path.open` gives those of a file; raises `OSError`."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return io.BytesIO(file.read(self.length))

    def __str__(self) -> str:
        return f"{self.file}/{self.name}"


FileOrMember = Path | Member


def place_in(file: FileOrMember, root: str | Path) -> str:
    """Where an image is below ``root``, with strokes, also where ``root`` is the file that it is
    in."""
    if isinstance(file, Path):
        return Path(os.path.relpath(file, root)).as_posix()
    begin = Path(os.path.relpath(file.file, root)).as_posix()
    return file.name if begin == "." else f"{begin}/{file.name}"


class Row(NamedTuple):
    """One image, its label as stored and, if there are any, its group."""

    image: Member
    label: int | str
    group: str | None = None


class Listed(NamedTuple):
    """What a file holds: its samples, the names of its numbered classes, if it has them, and what
    was left out, by reason."""

    rows: list[Row]
    class_names: list[str] | None
    left_out: Counter[str]
