"""How what a teacher has learned gets into the next model, as validated values."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modelswitch.config.base import Share, Strict
from modelswitch.config.training import TrainingChange
from modelswitch.config.weighting import FixedWeighting, WeightingSpec

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
