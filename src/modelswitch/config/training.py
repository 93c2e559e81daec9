"""How a model is trained, as validated values."""

from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator
from pydantic.fields import FieldInfo

from modelswitch.config.base import Strict


class Training(Strict):
    """How a model is trained. The weights of the last epoch are what is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=30, description="passes over the training images"
    )
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=128,
        description="images a step; an incomplete last batch is left out while it holds at most a "
        "tenth of the images, otherwise all are cut into equal batches of at most so many",
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
_Change: Any = create_model("_Change", __base__=Strict, **_KEYS)


class TrainingChange(_Change):
    """Keys of `training` that differ for one model or transfer."""


def merged(base: Training, *changes: TrainingChange | None) -> Training:
    """``base`` with the keys of ``changes`` laid over it, later ones winning."""
    values = base.model_dump()
    for change in changes:
        if change is not None:
            values |= change.model_dump(exclude_none=True)
    return Training.model_validate(values)
