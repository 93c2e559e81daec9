"""How a model is trained, as validated values."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator
from pydantic.fields import FieldInfo

from modelswitch.config.base import Extended, Strict

_POSITIVE = Annotated[float, Field(gt=0)]


class Stop(Strict):
    """Ending a training early, on validation data alone."""

    patience: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0, description="epochs without a better validation after which it ends; 0: never"
    )
    metric: Literal["accuracy", "nll"] = Field(
        default="accuracy",
        description="of the validation images; the pre-training of a hint watches its loss on them",
    )
    keep: Literal["best", "last"] = Field(
        default="best", description="whose weights are kept: the best epoch's or the last one's"
    )


class Training(Extended):
    """How a model is trained."""

    later = ("sync_norm",)

    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=30, description="passes over the training images"
    )
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=128,
        description="images a step; an incomplete last batch is left out while it holds at most a "
        "tenth of the images, otherwise all are cut into equal batches of at most so many",
    )
    optimizer: Literal["sgd", "adamw", "rmsprop"] = Field(
        default="sgd", description="sgd has Nesterov momentum"
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=0.1, description="peak value")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="sgd, rmsprop")
    rms_decay: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.9, description="of rmsprop's mean of squared gradients (Tieleman and Hinton 2012)"
    )
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["cosine", "linear", "constant", "step"] = Field(
        default="cosine",
        description="cosine, linear: decay to 0 after the warm-up; step: falls at `milestones`",
    )
    milestones: _POSITIVE | list[_POSITIVE] = Field(
        default=[],
        description="schedule step: after which epochs the rate falls, e.g. [80, 120], or one "
        "number: every so many epochs",
    )
    step_factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="schedule step: what the rate is multiplied by at a milestone"
    )
    warmup: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="epochs of linear growth from 0"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="factor of the rate from one block to the one before it (Howard and Ruder "
        "2018), for pre-trained models; blocks are what a model lists as such, its last part is "
        "one",
    )
    head_rate: _POSITIVE = Field(
        default=1.0, description="factor of the rate of the last part, the classifier"
    )
    clip: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="largest norm of the gradient of all weights together, 0 for any; a larger one "
        "is scaled down to it",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="beside a soft loss it is off unless the transfer's own `training` sets it",
    )
    class_weights: Literal["none", "balanced"] | dict[str, _POSITIVE] = Field(
        default="none",
        description="factor of a sample's hard loss by its class: balanced, inversely to how many "
        "images it has, 1 on the mean over the images; or class name to factor, of every class",
    )
    sampling: Literal["all", "balanced"] = Field(
        default="all",
        description="all: an epoch has every image once; balanced: as many images, of every class "
        "the same number, those of rare classes several times",
    )
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="decay of a moving average of the weights, e.g. 0.999, 0 for none; after n "
        "steps it is at most (1 + n) / (10 + n)",
    )
    result: Literal["average", "last"] = Field(
        default="average",
        description="with `average`: which weights are validated and become the model; the others "
        "are kept beside its outputs",
    )
    stop: Stop = Field(default=Stop(), description="ending early, on validation data alone")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 where the processor or GPU really has it"
    )
    sync_norm: bool = Field(
        default=True,
        description="of a training on several GPUs: batch normalisation takes its statistics over "
        "the whole batch; false: each GPU over its part, which is faster and another training",
    )

    @property
    def falls(self) -> list[float]:
        """The epochs after which the rate of the schedule `step` falls."""
        if isinstance(self.milestones, list):
            return self.milestones
        times = math.ceil(self.epochs / self.milestones) - 1
        return [self.milestones * (turn + 1) for turn in range(times)]

    @model_validator(mode="after")
    def _falls_in_time(self) -> "Training":
        given, falls = self.milestones != [], self.falls
        if given != (self.schedule == "step"):
            raise ValueError(
                "milestones: missing; the schedule step needs them, e.g. [80, 120]"
                if not given
                else f"milestones: found {self.milestones} beside the schedule {self.schedule}; "
                "they belong to step, and [] is none"
            )
        if falls != sorted(set(falls)):
            raise ValueError(f"milestones: found {falls}; they have to rise")
        if given and (not falls or falls[-1] >= self.epochs):
            raise ValueError(
                f"milestones: found {self.milestones}, but there are {self.epochs} epochs, so that "
                "the rate would not fall there"
            )
        if falls and falls[0] < self.warmup:
            raise ValueError(
                f"milestones: found {self.milestones}, the first in the warmup of "
                f"{self.warmup:g} epochs"
            )
        return self

    @model_validator(mode="after")
    def _decays(self) -> "Training":
        if self.warmup > self.epochs:
            raise ValueError(
                f"warmup of {self.warmup:g} epochs is longer than the {self.epochs} epochs"
            )
        if self.warmup == self.epochs and self.schedule != "constant":
            raise ValueError(
                f"warmup of {self.warmup:g} epochs takes all {self.epochs} epochs, so that the "
                f"learning rate never decays ({self.schedule}); "
                f"write a smaller warmup, e.g. {self.epochs / 10:g}, or schedule: constant"
            )
        return self


def _not_required(field: FieldInfo) -> Any:
    """A key with the bounds and the meaning that it has, which may be left out."""
    kind: Any = field.annotation
    return Annotated[(kind | None, *field.metadata, Field(description=field.description))]


_KEYS: dict[str, Any] = {
    name: (_not_required(field), None) for name, field in Training.model_fields.items()
}
_Change: Any = create_model("_Change", __base__=Extended, **_KEYS)


class TrainingChange(_Change):
    """Keys of `training` that differ for one model or transfer."""

    later = Training.later


def merged(base: Training, *changes: TrainingChange | None) -> Training:
    """``base`` with the keys of ``changes`` laid over it, later ones winning."""
    values = base.model_dump()
    for change in changes:
        if change is not None:
            values |= change.model_dump(exclude_none=True)
    return Training.model_validate(values)
