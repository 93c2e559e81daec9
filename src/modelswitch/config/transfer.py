"""How what a teacher has learned gets into the next model, as validated values."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelswitch.config.base import Share, Strict, numbers
from modelswitch.config.losses import InnerLoss, KlLoss, MseLoss, OutputLoss
from modelswitch.config.training import TrainingChange
from modelswitch.config.weighting import FixedWeighting, WeightingSpec

# Of these rules the loss is a part.
_WITH_OWN_LOSS = ("dkd", "standardised")


def _layer(value: Any) -> Any:
    """A module path as text or a depth; raises ValueError for what could be meant as either."""
    value = numbers(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float) and 0 < value <= 1:
        return value
    depth = "1.0 is the relative depth" if value == 1 else "a relative depth is in (0, 1]"
    raise ValueError(
        f"found {value!r}; {depth}, and the path of a module with such a name stands in quotes: "
        f"'{value}'"
    )


Layer = Annotated[str | float, BeforeValidator(_layer)]


class Hint(Strict):
    """Transfer of the mapping up to an inner layer (FitNets, Romero et al. 2015)."""

    mode: Literal["pretrain", "joint"] = Field(
        description="pretrain: a step of its own before distillation; joint: beside it"
    )
    weight: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="weight of the hint loss in joint mode"
    )
    teacher_layer: Layer = Field(
        default=0.5,
        description="hint layer: module path, or relative depth in (0, 1]; a number is a depth, "
        "so a path that looks like one stands in quotes",
    )
    student_layer: Layer = Field(
        default=0.5, description="guided layer: module path, or relative depth in (0, 1]"
    )
    loss: InnerLoss = Field(default=MseLoss(), description="what is compared of the two layers")
    training: TrainingChange = Field(
        default=TrainingChange(), description="changes to `training` for the pre-training step"
    )


class Transfer(Strict):
    """How what a teacher has learned gets into the next model."""

    soft: Share = Field(
        default=0.9, description="weight of the soft loss; the hard loss has 1 - soft"
    )
    temperature: Annotated[float, Field(gt=0, le=1e6)] = Field(
        default=4.0, description="temperature of the soft loss, which is scaled by its square"
    )
    loss: OutputLoss = Field(default=KlLoss(), description="the soft loss, compares outputs")
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
        rule = self.weighting.rule
        if rule in _WITH_OWN_LOSS and not isinstance(self.loss, KlLoss):
            raise ValueError(
                f"loss: found {self.loss.name!r}, but the rule {rule!r} brings a loss of its own; "
                "leave one of them out"
            )
        if self.drop and self.guides == "parent":
            raise ValueError("drop: only with guides: ancestors")
        return self
