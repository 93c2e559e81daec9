"""A search for the smallest model that is good enough, as validated values."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from modelswitch.config.base import Anything, Name, Strict, Width
from modelswitch.config.models import MobileModel, PlainModel, ResnetModel
from modelswitch.config.origin import PrunedModel

Quantity = Literal["parameters", "macs", "latency_ms", "size_kb"]
Control = Literal["random", "chains", "scratch"]
# Known before anything is trained.
BEFOREHAND: tuple[Quantity, ...] = ("parameters", "macs", "latency_ms", "size_kb")
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS_LEFT_OUT = {"latency": "latency_ms", "size": "size_kb"}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kMG]?)")
_OF_TEACHER = re.compile(r"([0-9.]+)\s+of\s+teacher")
_Depth = Annotated[int, Field(ge=1, le=1000)]


def amount(value: Any) -> Any:
    """A number, also one such as 50k or 1.5M; anything else as it is."""
    if isinstance(value, str) and (found := _AMOUNT.fullmatch(value.strip())):
        return float(found[1]) * _UNITS[found[2]]
    return value


def _with_unit(value: Any) -> Any:
    """What is to be small by its name in tables, also where its unit is left out."""
    if isinstance(value, list):
        return [_with_unit(each) for each in value]
    return _UNITS_LEFT_OUT.get(value, value) if isinstance(value, str) else value


def _distinct(values: list[Any]) -> list[Any]:
    for at, value in enumerate(values):
        if value in values[:at]:
            raise ValueError(f"{value!r} is there more than once")
    return values


Amount = Annotated[
    float,
    BeforeValidator(amount),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]


class AtLeast(Strict):
    """A bound from below for the accuracy on validation images."""

    at_least: str | float = Field(
        description="a share in (0, 1], or a share of what the first model of the chain reaches, "
        "e.g. 0.97 of teacher"
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> "AtLeast":
        try:
            share = self.share
        except ValueError:
            share = 0.0
        if not 0 < share <= (2 if self.of_teacher else 1):
            raise ValueError(
                f"at_least: found {self.at_least!r}; allowed: a share such as 0.9, or such as "
                "0.97 of teacher"
            )
        return self

    @property
    def of_teacher(self) -> bool:
        return isinstance(self.at_least, str) and "teacher" in self.at_least

    @property
    def share(self) -> float:
        found = _OF_TEACHER.fullmatch(str(self.at_least).strip())
        return float(found[1] if found else self.at_least)


class _Grown(Strict):
    width: Annotated[list[Width], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="width of the first stage; each further one has twice the width before it"
    )
    depth: Annotated[list[_Depth], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="blocks of every stage; of the family plain, convolutions"
    )
    stages: Annotated[int, Field(ge=1, le=8)] = Field(default=3, description="number of stages")


class PlainStudents(_Grown):
    """Plain students."""

    family: Literal["plain"]

    def model(self, width: int, depth: int) -> PlainModel:
        stages = [[width * 2**stage] * depth for stage in range(self.stages)]
        return PlainModel(family="plain", stages=stages)


class ResnetStudents(_Grown):
    """Residual students."""

    family: Literal["resnet"]

    def model(self, width: int, depth: int) -> ResnetModel:
        widths = [width * 2**stage for stage in range(self.stages)]
        return ResnetModel(family="resnet", widths=widths, blocks=[depth] * self.stages)


class MobileStudents(_Grown):
    """Students of depthwise-separable blocks."""

    family: Literal["mobile"]
    expansion: Annotated[int, Field(ge=1, le=16)] = 4

    def model(self, width: int, depth: int) -> MobileModel:
        widths = [width * 2**stage for stage in range(self.stages)]
        blocks = [depth] * self.stages
        return MobileModel(family="mobile", widths=widths, blocks=blocks, expansion=self.expansion)


class PrunedStudents(Strict):
    """The model before the student with channels removed."""

    family: Literal["pruned"]
    keep: Annotated[
        list[Annotated[float, Field(gt=0, lt=1)]],
        Field(min_length=1),
        AfterValidator(_distinct),
    ] = Field(description="shares of the parameters that are left")

    def model(self, keep: float) -> PrunedModel:
        return PrunedModel(family="pruned", keep=keep)


Students = Annotated[
    PlainStudents | ResnetStudents | MobileStudents | PrunedStudents,
    Field(discriminator="family"),
]


class Assistants(Strict):
    """Models between the first one and the student. They are trained whole, and once."""

    count: Annotated[list[Annotated[int, Field(ge=0, le=5)]], Field(min_length=1)] = Field(
        default=[0, 1], description="how many stand in between"
    )
    models: Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="which, in the order in which they may follow one upon the other"
    )
    transfer: Name = Field(description="how one gets into the next of them")


class Space(Strict):
    """What a search chooses from: the path to a student, the student, and its switch."""

    teachers: Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="models that chains begin with"
    )
    assistants: Assistants | None = Field(default=None, description="models in between")
    students: Annotated[list[Students], Field(min_length=1)] = Field(
        description="families of students with what of them is varied"
    )
    transfers: Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="transfers of which the last switch is one"
    )
    over: dict[str, Annotated[list[Anything], Field(min_length=1)]] = Field(
        default={},
        description="key of the last transfer to a list of values, as in `sweeps`, e.g. soft: "
        "[0.5, 0.9], temperature: [2, 4], weighting: [fixed, {rule: correctness, delta: 0.1}], "
        "hint: [null, {mode: joint}]",
    )


class Goal(Strict):
    """What is best. With several, a search looks for what is best in none of them at the cost of
    another."""

    maximise: Literal["validation_accuracy"] | None = None
    minimise: Annotated[
        Quantity | Annotated[list[Quantity], AfterValidator(_distinct)], BeforeValidator(_with_unit)
    ] = Field(
        default=[],
        description="one or several, also as `latency` and `size`; both are those of the exported "
        "ONNX file",
    )

    @model_validator(mode="after")
    def _something(self) -> "Goal":
        if self.maximise is None and not self.minimise:
            raise ValueError("give maximise, minimise or both")
        return self

    @property
    def least(self) -> list[Quantity]:
        """What is to be as small as can be."""
        return self.minimise if isinstance(self.minimise, list) else [self.minimise]

    @property
    def names(self) -> list[str]:
        return [*([self.maximise] if self.maximise else []), *self.least]


class Constraints(Strict):
    """What a model has to keep to. All but `accuracy` are at most so much, and are known before
    anything is trained."""

    parameters: Amount | None = Field(default=None, description="a number such as 50k")
    macs: Amount | None = Field(default=None, description="multiply-accumulates for one image")
    latency_ms: Amount | None = Field(
        default=None,
        description="median for one image on one thread of this machine, of the exported ONNX file",
    )
    size_kb: Amount | None = Field(default=None, description="the exported ONNX file, in kB")
    accuracy: AtLeast | None = Field(default=None, description="on validation images")

    @property
    def bounds(self) -> dict[Quantity, float]:
        found = {name: getattr(self, name) for name in BEFOREHAND}
        return {name: value for name, value in found.items() if value is not None}


class Budget(Strict):
    """What a search may cost, one of these. Random search gets the same once more."""

    trainings: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="students that are begun, on the lowest rung"
    )
    epochs: Amount | None = Field(default=None, description="of students, over all rungs")
    hours: Amount | None = Field(
        default=None,
        description="of students' trainings, on one core of this machine, by its measured speed",
    )

    @model_validator(mode="after")
    def _one(self) -> "Budget":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"found {' and '.join(given) or 'none'}; give one of trainings, epochs, hours"
            )
        return self


class Rungs(Strict):
    """Successive halving: of the students on a rung, the best part goes on from where it is to the
    next one (Jamieson and Talwalkar 2016)."""

    count: Annotated[int, Field(ge=1, le=8)] = Field(
        default=3, description="rungs; on the highest one, students are trained to their end"
    )
    reduction: Annotated[int, Field(ge=2, le=10)] = Field(
        default=3, description="a rung has so many times fewer students, and as many times longer"
    )
    batches: Annotated[int, Field(ge=1, le=100)] = Field(
        default=4,
        description="parts in which the lowest rung is proposed, each by the results before it",
    )


class Final(Strict):
    """What is trained anew, whole and from the experiment's `seeds`, and judged on test images."""

    front: Annotated[int, Field(ge=0, le=50)] = Field(
        default=3, description="members of the Pareto front beside the winner, at most"
    )
    controls: Annotated[list[Control], AfterValidator(_distinct)] = Field(
        default=["random", "chains", "scratch"],
        description="random: what random search finds at the same cost; chains: the best of the "
        "configuration's own chains that keeps to the constraints; scratch: the same student "
        "trained on the labels alone",
    )


class Search(Strict):
    """Searching for the path to a small model. It sees training and validation images alone."""

    space: Space
    goal: Goal = Goal(maximise="validation_accuracy")
    constraints: Constraints = Constraints()
    budget: Budget
    rungs: Rungs = Rungs()
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]],
        Field(min_length=1),
        AfterValidator(_distinct),
    ] = Field(
        default=[1000],
        description="with which students are trained while searching; others than `seeds`, whose "
        "trainings judge what was found",
    )
    sampler: Literal["tpe", "nsga2", "random"] | None = Field(
        default=None,
        description="how students are proposed; by default tpe for one goal, nsga2 for several",
    )
    final: Final = Final()

    @model_validator(mode="after")
    def _recognises_something(self) -> "Search":
        if self.goal.maximise is None and self.constraints.accuracy is None:
            raise ValueError(
                "goal: minimise alone is reached by a model that recognises nothing; add maximise: "
                "validation_accuracy, or constraints: {accuracy: {at_least: 0.97 of teacher}}"
            )
        return self

    @property
    def proposes(self) -> str:
        return self.sampler or ("tpe" if len(self.goal.names) == 1 else "nsga2")

    def epochs(self, whole: int) -> list[int]:
        """After which epoch of a training of so many each rung ends it."""
        top = self.rungs.count - 1
        return [max(1, round(whole / self.rungs.reduction ** (top - r))) for r in range(top + 1)]
