"""How a model is trained, as validated values."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from modelswitch.config.base import Strict


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
