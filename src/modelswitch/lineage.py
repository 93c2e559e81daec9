"""Where a trained model came from, and where it lives: all knowledge of paths.

Every path here begins below the folder of results. Which folder that is, the rules take from
Snakemake's pathvar ``results`` and hand on; nothing else may guess it.

A lineage is written ``teacher/assistant@kd/student@kd``: a first model, then any number of
switches ``<model>@<transfer>``. It is at the same time the folder of the last model, so that
the parent folder is the teacher and chains that share a beginning share folders.
"""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelswitch.errors import UserError

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
STEP = rf"{NAME}@{NAME}"
ONE_STEP = NAME
SEVERAL_STEPS = rf"{NAME}(?:/{STEP})+"
ANY_LINEAGE = rf"{NAME}(?:/{STEP})*"
BRANCH = r"seed\d+(?:\.fold\d+of\d+|\.repeat[1-9]\d*)?"
# Of a training that a search cuts short.
CUT_BRANCH = r"seed\d+\.until[1-9]\d*"

# What is in braces are the rules' wildcards.
EXPERIMENT_FOLDER = "{experiment}"
TABLES_FOLDER = f"{EXPERIMENT_FOLDER}/tables"
FIGURES_FOLDER = f"{EXPERIMENT_FOLDER}/figures"
PAGES_FOLDER = f"{EXPERIMENT_FOLDER}/pages"
DATA_FOLDER = f"{EXPERIMENT_FOLDER}/{{dataset}}"
DATA_FILE = f"{DATA_FOLDER}/data.safetensors"
# Beside it: what changes where the arrays do and only there, and what they were made from.
CHECKSUM_FILE = f"{DATA_FOLDER}/checksum.json"
SOURCE_FILE = f"{DATA_FOLDER}/source.json"
# People that no model is trained with.
STRANGERS_FILE = f"{DATA_FOLDER}/strangers.safetensors"
# Of all modalities beside the first one's: which image is where.
SPLITS_FILE = f"{DATA_FOLDER}/splits.csv"
# Of photographs of eyes: what was found in which, and examples of it.
IRISES_FILE = f"{DATA_FOLDER}/irises.csv"
IRIS_EXAMPLES_FILE = f"{DATA_FOLDER}/irises.safetensors"
COSTS_FILE = f"{DATA_FOLDER}/models.json"
LATENCY_FILE = f"{DATA_FOLDER}/latency.csv"
MODEL_FOLDER = f"{DATA_FOLDER}/{{branch}}/{{lineage}}"
SELECTOR_FOLDER = f"{EXPERIMENT_FOLDER}/selector/{{branch}}/{{selector}}"
# How long files of selectors for devices take.
SELECTOR_TIMES_FILE = f"{EXPERIMENT_FOLDER}/selector/times.csv"
# Resume files lie outside the folder of a job's outputs, which Snakemake empties when it fails.
RESUME_FOLDER = f"{EXPERIMENT_FOLDER}/.resume/{{dataset}}/{{branch}}/{{lineage}}/{{stage}}"
SELECTOR_RESUME_FOLDER = f"{EXPERIMENT_FOLDER}/.resume/selector~{{branch}}~{{selector}}"


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
    """A seed and, for out-of-fold responses, the part of the training images left out; or, of a
    model that is trained several times for a seed, which time it is; or, of a training that a
    search cuts short, the epoch after which it ends.

    The first of these times, 0, is the seed's own: it is what others are switched from.
    """

    seed: int
    fold: int | None = None
    folds: int | None = None
    repeat: int = 0
    until: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Replicate":
        match = re.fullmatch(
            r"seed(\d+)(?:\.fold(\d+)of(\d+)|\.repeat([1-9]\d*)|\.until([1-9]\d*))?", text, re.ASCII
        )
        if match is None:
            raise UserError(
                f"branch {text!r} is not of the form seed<k>, seed<k>.fold<i>of<n>, "
                "seed<k>.repeat<r> with r from 1 or seed<k>.until<e> with e from 1"
            )
        seed, fold, folds, repeat, until = (None if g is None else int(g) for g in match.groups())
        assert seed is not None
        return cls(seed, fold, folds, repeat or 0, until)

    def __str__(self) -> str:
        fold = "" if self.fold is None else f".fold{self.fold}of{self.folds}"
        repeat = f".repeat{self.repeat}" if self.repeat else ""
        until = "" if self.until is None else f".until{self.until}"
        return f"seed{self.seed}{fold}{repeat}{until}"

    @property
    def first(self) -> "Replicate":
        """The first of a seed's repeats, trained to its end."""
        return dataclasses.replace(self, repeat=0, until=None)

    @property
    def whole(self) -> "Replicate":
        """The same training, not cut short."""
        return dataclasses.replace(self, until=None)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of one trained model."""

    experiment: str
    dataset: str
    branch: Replicate
    lineage: Lineage

    @property
    def wildcards(self) -> dict[str, str]:
        """What the templates of this module take."""
        return {
            "experiment": self.experiment,
            "dataset": self.dataset,
            "branch": str(self.branch),
            "lineage": str(self.lineage),
        }

    @property
    def folder(self) -> str:
        return MODEL_FOLDER.format(**self.wildcards)

    @property
    def whole(self) -> "ModelFolder":
        """Of a training that is cut short, the one that it is the beginning of."""
        return dataclasses.replace(self, branch=self.branch.whole)

    def file(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def resume_folder(self, stage: str) -> str:
        """Where a training keeps its resume files."""
        return RESUME_FOLDER.format(**self.wildcards, stage=stage)
