"""What was found in which photograph of an eye, beside the prepared data."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import torch

from modelswitch.storage import artifacts, atomic

COLUMNS = (
    *("photo", "class", "split", "found", "reason", "pupil_x", "pupil_y", "pupil_radius"),
    *("iris_x", "iris_y", "iris_radius", "seen"),
)


@dataclass
class Irises:
    """What was found in which photograph, and some examples.

    Attributes:
        rows: one a photograph, as `COLUMNS` names them; lengths in pixels of the photograph.
        tensors: of each example ``photo``, ``strip``, ``seen`` and both modalities, uint8.
        examples: of each its row, and its lids as parabolas in radii of the iris.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    examples: list[dict[str, object]] = field(default_factory=list)

    def write(self, table: str | Path, examples: str | Path) -> None:
        """Write the rows as CSV, and the examples as a file of tensors."""
        with (
            atomic.replacing(table) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        artifacts.save(examples, self.tensors, {"kind": "irises", "examples": self.examples})

    @classmethod
    def examples_in(cls, path: str | Path) -> "Irises":
        """The examples that were written to a file."""
        tensors, passport = artifacts.load(path, kind="irises")
        return cls([], tensors, passport["examples"])
