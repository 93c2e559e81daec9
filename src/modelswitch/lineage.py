"""Where a trained model came from, and where it lives: all knowledge of paths.

A lineage is written ``teacher/assistant@kd/student@kd``: a first model, then any number of
switches ``<model>@<transfer>``. It is at the same time the folder of the last model, so that
the parent folder is the teacher and chains that share a beginning share folders.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelswitch.errors import UserError

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
STEP = rf"{NAME}@{NAME}"
ONE_STEP = NAME
SEVERAL_STEPS = rf"{NAME}(?:/{STEP})+"
ANY_LINEAGE = rf"{NAME}(?:/{STEP})*"
BRANCH = r"seed\d+(?:\.fold\d+of\d+)?"


@dataclass(frozen=True, slots=True)
class Step:
    """One model of a lineage and the transfer that trained it; the first has none."""

    model: str
    transfer: str | None = None

    def __str__(self) -> str:
        return self.model if self.transfer is None else f"{self.model}@{self.transfer}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """The models that a learning process went through, first to last."""

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> "Lineage":
        """Read ``first/model@transfer/…``; raises `UserError` for anything else."""
        if not text.strip():
            raise UserError("empty chain: a chain needs at least one model, e.g. 'teacher'")
        if not re.fullmatch(ANY_LINEAGE, text):
            raise UserError(
                f"chain {text!r} is not of the form 'teacher/student@transfer': the first step is "
                "a model, each further one is model@transfer, names have only letters, digits "
                "and . _ + -"
            )
        first, *others = text.split("/")
        switches = (Step(*step.split("@")) for step in others)
        return cls((Step(first), *switches))

    def __str__(self) -> str:
        return "/".join(map(str, self.steps))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> Step:
        return self.steps[-1]

    @property
    def parent(self) -> "Lineage | None":
        return Lineage(self.steps[:-1]) if len(self.steps) > 1 else None

    def ancestors(self) -> Iterator["Lineage"]:
        """Parent, grandparent, … up to the first model."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def sibling(self, transfer: str) -> "Lineage":
        """The same model under the same parent, switched by another transfer."""
        return Lineage((*self.steps[:-1], Step(self.last.model, transfer)))


@dataclass(frozen=True, slots=True)
class Replicate:
    """A seed and, for out-of-fold responses, the part of the training images left out."""

    seed: int
    fold: int | None = None
    folds: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Replicate":
        match = re.fullmatch(r"seed(\d+)(?:\.fold(\d+)of(\d+))?", text)
        if match is None:
            raise UserError(f"branch {text!r} is not of the form seed<k> or seed<k>.fold<i>of<n>")
        seed, fold, folds = match.groups()
        return cls(int(seed), *(None if part is None else int(part) for part in (fold, folds)))

    def __str__(self) -> str:
        fold = "" if self.fold is None else f".fold{self.fold}of{self.folds}"
        return f"seed{self.seed}{fold}"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of one trained model."""

    experiment: str
    dataset: str
    branch: Replicate
    lineage: Lineage

    @classmethod
    def parse(cls, folder: str) -> "ModelFolder":
        parts = PurePosixPath(folder).parts
        if len(parts) < 5 or parts[0] != "results":
            raise UserError(f"{folder!r} is not results/<experiment>/<dataset>/<branch>/<lineage>")
        return cls(
            parts[1], parts[2], Replicate.parse(parts[3]), Lineage.parse("/".join(parts[4:]))
        )

    @property
    def folder(self) -> str:
        return f"results/{self.experiment}/{self.dataset}/{self.branch}/{self.lineage}"

    def file(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def resume_folder(self, stage: str) -> str:
        """Where a training keeps its resume files: outside the folder of its outputs."""
        place = f"{self.dataset}/{self.branch}/{self.lineage}"
        return f"results/{self.experiment}/.resume/{place}/{stage}"
