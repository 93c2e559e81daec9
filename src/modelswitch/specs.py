"""What one job needs to know: models, transfers and training, as validated values.

Kept apart from the experiment's configuration so that trainings depend on this module alone:
a new key for tables or claims then reruns no training.
"""

import difflib
import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from modelswitch.lineage import NAME

Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=80)]
Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=65536)]


class Strict(BaseModel):
    """A configuration section: unknown keys are errors that list the known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(
                    f"unknown key {key!r}{hint}; allowed: {', '.join(cls.model_fields)}"
                )
        return value

    def canonical(self) -> str:
        """One JSON string for this value, the same whatever the order of keys was."""
        return canonical(self.model_dump(mode="json"))


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- models ---------------------------------------------------------------------------------


class PlainModel(Strict):
    """A stack of convolution, batch normalisation and ReLU, with pooling between stages."""

    family: Literal["plain"]
    stages: list[Annotated[list[Width], Field(min_length=1)]] = Field(
        min_length=1,
        description="widths of the convolutions, one list a stage, e.g. [[64, 64], [128]]",
    )


class ResnetModel(Strict):
    """A CIFAR-style residual network; its depth is 2 x (sum of blocks) + 2."""

    family: Literal["resnet"]
    widths: list[Width] = Field(min_length=1, description="width of each stage, e.g. [16, 32, 64]")
    blocks: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        min_length=1, description="residual blocks in each stage, e.g. [3, 3, 3]"
    )
    stem_stride: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1,
        description="stride of the first convolution; 2 takes about a quarter of the operations",
    )

    @model_validator(mode="after")
    def _one_block_count_a_stage(self) -> "ResnetModel":
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks has {len(self.blocks)} entries and widths {len(self.widths)}; "
                "one of each for every stage"
            )
        return self


class TimmModel(Strict):
    """A model of the timm library by name, with fresh weights."""

    family: Literal["timm"]
    model: str = Field(description="name as timm.create_model takes it")
    arguments: dict[str, Any] = Field(default={}, description="further keyword arguments")


class TorchvisionModel(Strict):
    """A classification model of torchvision by name, with fresh weights."""

    family: Literal["torchvision"]
    model: str = Field(description="name as torchvision.models.get_model takes it")
    arguments: dict[str, Any] = Field(default={}, description="further keyword arguments")


class ImportedModel(Strict):
    """A user's own: called with in_channels and num_classes, returns a torch module."""

    family: Literal["import"]
    path: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] = Field(
        description="package.module:function"
    )
    arguments: dict[str, Any] = Field(default={}, description="further keyword arguments")


ModelSpec = Annotated[
    PlainModel | ResnetModel | TimmModel | TorchvisionModel | ImportedModel,
    Field(discriminator="family"),
]

# --- weighting rules ------------------------------------------------------------------------


class FixedWeighting(Strict):
    """The same balance for every sample."""

    rule: Literal["fixed"] = "fixed"


class CorrectnessWeighting(Strict):
    """soft + delta where the teacher is right, soft - delta where it is wrong."""

    rule: Literal["correctness"]
    delta: Share = Field(description="shift of the soft weight, clipped to [0, 1] with it")


class HardSwitchWeighting(Strict):
    """Soft loss alone where the teacher is right, hard loss alone where it is wrong (Meng 2019)."""

    rule: Literal["hard_switch"]


class ConfidenceWeighting(Strict):
    """A shift from -delta to +delta with the teacher's probability of the true class."""

    rule: Literal["confidence"]
    delta: Share = Field(description="largest shift of the soft weight")


class WslWeighting(Strict):
    """Weighted soft labels (Zhou 2021): the soft weight grows where the student lags."""

    rule: Literal["wsl"]


class AdjustedWeighting(Strict):
    """Knowledge adjustment (Wen 2019): a wrong teacher's top probability goes to the true class."""

    rule: Literal["adjusted"]


class DkdWeighting(Strict):
    """Decoupled distillation (Zhao 2022); its soft loss replaces the usual one."""

    rule: Literal["dkd"]
    alpha: Annotated[float, Field(ge=0)] = Field(default=1.0, description="target-class part")
    beta: Annotated[float, Field(ge=0)] = Field(default=8.0, description="non-target part")
    warmup: Annotated[int, Field(ge=0)] = Field(default=20, description="epochs of linear growth")


class StandardisedWeighting(Strict):
    """Logit standardisation (Sun 2024): z-scored logits at a base temperature."""

    rule: Literal["standardised"]
    base_temperature: Annotated[float, Field(gt=0)] = 2.0
    soft_weight: Annotated[float, Field(ge=0)] = 9.0


class ShuffledWeighting(Strict):
    """Control: `correctness` with right and wrong permuted over the samples of a batch."""

    rule: Literal["shuffled"]
    delta: Share = Field(description="as for correctness")


class MatchedWeighting(Strict):
    """Control: fixed weights at the means that another transfer really used."""

    rule: Literal["matched"]
    to: Name = Field(description="the transfer whose mean weights are taken")


class ImportedWeighting(Strict):
    """A user's own rule."""

    rule: Literal["import"]
    path: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] = Field(
        description="package.module:function"
    )
    arguments: dict[str, Any] = Field(default={}, description="further keyword arguments")


WeightingSpec = Annotated[
    FixedWeighting
    | CorrectnessWeighting
    | HardSwitchWeighting
    | ConfidenceWeighting
    | WslWeighting
    | AdjustedWeighting
    | DkdWeighting
    | StandardisedWeighting
    | ShuffledWeighting
    | MatchedWeighting
    | ImportedWeighting,
    Field(discriminator="rule"),
]

# --- training and transfer ------------------------------------------------------------------


class Training(Strict):
    """How a model is trained. The weights of the last epoch are what is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=30, description="passes over the training images"
    )
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=128, description="images a step; an incomplete last batch is left out"
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        default="sgd", description="sgd has Nesterov momentum"
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=0.1, description="peak value")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="sgd only")
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="decay to 0 after the warm-up"
    )
    warmup: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="epochs of linear growth from 0"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 where the processor or GPU really has it"
    )

    @model_validator(mode="after")
    def _warmup_ends(self) -> "Training":
        if self.warmup > self.epochs:
            raise ValueError(
                f"warmup of {self.warmup} epochs is longer than the {self.epochs} epochs"
            )
        return self


class TrainingChange(Strict):
    """Keys of `training` that differ for one model or transfer."""

    epochs: int | None = None
    batch: int | None = None
    optimizer: Literal["sgd", "adamw"] | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    warmup: float | None = None
    label_smoothing: float | None = None
    precision: Literal["auto", "float32", "bfloat16"] | None = None


def merged(base: Training, *changes: TrainingChange | None) -> Training:
    """``base`` with the keys of ``changes`` laid over it, later ones winning."""
    values = base.model_dump()
    for change in changes:
        if change is not None:
            values |= change.model_dump(exclude_none=True)
    return Training.model_validate(values)


Layer = str | Annotated[float, Field(gt=0, le=1)]


class Hint(Strict):
    """Transfer of the mapping up to an inner layer (FitNets, Romero et al. 2015)."""

    mode: Literal["pretrain", "joint"] = Field(
        description="pretrain: a step of its own before distillation; joint: beside it"
    )
    weight: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="weight of the hint loss in joint mode"
    )
    teacher_layer: Layer = Field(
        default=0.5, description="hint layer: module path, or relative depth in (0, 1]"
    )
    student_layer: Layer = Field(
        default=0.5, description="guided layer: module path, or relative depth in (0, 1]"
    )
    training: TrainingChange = Field(
        default=TrainingChange(), description="changes to `training` for the pre-training step"
    )


class Transfer(Strict):
    """How what a teacher has learned gets into the next model."""

    soft: Share = Field(
        default=0.9, description="weight of the soft loss; the hard loss has 1 - soft"
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        default=4.0, description="temperature of the soft loss, which is scaled by its square"
    )
    weighting: WeightingSpec = Field(
        default=FixedWeighting(), description="how the balance is set per sample"
    )
    hint: Hint | None = Field(default=None, description="transfer of an inner layer")
    views: Literal["live", "stored"] = Field(
        default="live",
        description="live: fresh views, teacher beside; stored: fixed views, stored responses",
    )
    guides: Literal["parent", "ancestors"] = Field(
        default="parent", description="ancestors: densely guided (DGKD, Son et al. 2021)"
    )
    drop: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="with ancestors: chance that a guide is left out of a step"
    )
    training: TrainingChange = Field(default=TrainingChange(), description="changes to `training`")

    @model_validator(mode="before")
    @classmethod
    def _weighting_by_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("weighting"), str):
            return value | {"weighting": {"rule": value["weighting"]}}
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Transfer":
        delta = getattr(self.weighting, "delta", None)
        if delta is not None and self.soft + delta > 1 and self.soft - delta < 0:
            raise ValueError(
                f"weighting.delta: {delta} around soft={self.soft} leaves [0, 1] on every sample; "
                f"at most {max(self.soft, 1 - self.soft):g}"
            )
        if self.drop and self.guides == "parent":
            raise ValueError("drop: only with guides: ancestors")
        return self


class Augmentation(Strict):
    """Random views of a training image."""

    crop: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=4, description="pixels of padding for random crops, 0 for none"
    )
    flip: bool = Field(default=True, description="mirror left and right")


# --- jobs -----------------------------------------------------------------------------------


class Teacher(Strict):
    """A model that guides a job: where it is from and what it must be."""

    lineage: str
    model: ModelSpec
    digest: str = Field(description="of the job that trained it")
    responses: str = Field(default="", description="digest of the job that stored its responses")


class Job(Strict):
    """All of the configuration that one training depends on.

    Its digest covers those of its teachers, so a change anywhere above changes every digest below.
    """

    dataset: str
    branch: str
    lineage: str
    model: ModelSpec
    training: Training
    augmentation: Augmentation
    validation: Share
    transfer: Transfer | None = None
    teachers: list[Teacher] = []
    hint: str = Field(default="", description="digest of the job that pre-trained the student")
    matched: str = Field(default="", description="digest of the job whose weights are matched")
    stored_views: int = 0
    folds: int = 0

    @property
    def digest(self) -> str:
        return digest(self.canonical())
