"""How what a teacher has learned gets into the next model, as validated values."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelswitch.config.augment import Augmentation
from modelswitch.config.base import Extended, Share, Strict, numbers
from modelswitch.config.losses import (
    DkdLoss,
    InnerLoss,
    KlLoss,
    LogitMseLoss,
    MseLoss,
    OutputLoss,
    SmoothingLoss,
    StandardisedLoss,
    TfKdLoss,
)
from modelswitch.config.training import TrainingChange
from modelswitch.config.weighting import (
    AdjustedWeighting,
    DkdWeighting,
    FixedWeighting,
    StandardisedWeighting,
    WeightedWeighting,
    WeightingSpec,
)


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


MixedLabels = Literal["both", "leading", "soft"]
Layer = Annotated[str | float, BeforeValidator(_layer)]
_MIDDLE = 0.5


class LayerPair(Strict):
    """Transfer of inner layers beside the outputs: of a pair, or of one pair for each stage."""

    weight: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="weight of the hint loss beside that of the outputs"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="how the weight goes to 0 until `end`, set anew for every epoch; constant: not "
        "before it",
    )
    end: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="share of the training after which the weight is 0: for hints that help early "
        "and hinder late",
    )
    stages: bool = Field(
        default=False,
        description="a pair for every resolution that both models have maps of, each the last "
        "block of it; instead of the two layers",
    )
    teacher_layer: Layer = Field(
        default=_MIDDLE,
        description="hint layer: module path, or relative depth in (0, 1]; a number is a depth, "
        "so a path that looks like one stands in quotes",
    )
    student_layer: Layer = Field(
        default=_MIDDLE, description="guided layer: module path, or relative depth in (0, 1]"
    )
    loss: InnerLoss = Field(default=MseLoss(), description="what is compared of the two layers")

    @model_validator(mode="after")
    def _layers_or_stages(self) -> "LayerPair":
        for name in ("teacher_layer", "student_layer"):
            if self.stages and getattr(self, name) != _MIDDLE:
                raise ValueError(
                    f"stages: found true, but {name} names a layer; leave one of them out"
                )
        return self

    def weight_in(self, epoch: int, epochs: int) -> float:
        """The weight in an epoch, counted from 0, of so many."""
        done = epoch / (self.end * epochs)
        if done >= 1:
            return 0.0
        left = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
        return self.weight * left[self.schedule]

    @property
    def scheduled(self) -> bool:
        """Whether the weight changes over a training."""
        return self.schedule != "constant" or self.end < 1


class Hint(LayerPair):
    """Transfer of the mapping up to an inner layer (FitNets, Romero et al. 2015)."""

    mode: Literal["pretrain", "joint"] = Field(
        description="pretrain: a step of its own before distillation; joint: beside it, as `hints`"
    )
    training: TrainingChange = Field(
        default=TrainingChange(), description="changes to `training` for the pre-training step"
    )

    @model_validator(mode="after")
    def _pretrains_one_pair(self) -> "Hint":
        if self.mode == "pretrain" and (self.stages or self.scheduled):
            key = "stages" if self.stages else "schedule" if self.end == 1 else "end"
            raise ValueError(
                f"{key}: only in joint mode; pre-training matches one pair of layers, all the time"
            )
        return self


class Quantise(Strict):
    """The model before it, trained on while it calculates with integers of eight bits as a device
    will (quantisation-aware training, Jacob et al. 2018)."""

    weight_bits: Annotated[int, Field(ge=2, le=8, strict=True)] = Field(
        default=7,
        description="bits of a weight. 8 overflow on x86 processors without VNNI, so that a file "
        "answers differently from machine to machine",
    )
    observe: Share = Field(
        default=0.5,
        description="share of the epochs, from the first, in which the ranges of activations "
        "follow what is seen; then they stay",
    )

    def observes(self, epoch: int, epochs: int) -> bool:
        """Whether ranges follow what is seen in an epoch, counted from 0, of so many."""
        return epoch < self.observe * epochs


class Transfer(Extended):
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
    hints: list[LayerPair] = Field(
        default=[], description="inner layers beside the outputs, as many pairs as you like"
    )
    views: Literal["live", "stored"] = Field(
        default="live",
        description="live: fresh views, teacher beside; stored: fixed views, stored responses",
    )
    augment: Augmentation | None = Field(
        default=None,
        description="random views in this transfer, for teacher and student alike; those of "
        "`data.augment` by default, which the teacher was trained with",
    )
    mixed_labels: MixedLabels = Field(
        default="both",
        description="of views by mixup or cutmix, what the hard loss has, both: either label by "
        "what is shown of it; leading: the one that is shown most; soft: nothing, so that the soft "
        "loss alone sees them",
    )
    guides: Literal["parent", "ancestors"] = Field(
        default="parent", description="ancestors: densely guided (DGKD, Son et al. 2021)"
    )
    drop: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="with ancestors: chance that a guide is left out of a step"
    )
    training: TrainingChange = Field(default=TrainingChange(), description="changes to `training`")
    quantise: Quantise | None = Field(
        default=None,
        description="the step goes on with the model before it, which stands in it again "
        "(`student@kd/student@qat`), as integers; {} for all defaults",
    )
    later: ClassVar[tuple[str, ...]] = ("quantise",)

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
        self._loss_fits()
        if self.drop and self.guides == "parent":
            raise ValueError("drop: only with guides: ancestors")
        if self.quantise is not None and self.hint_losses:
            key = "hint" if self.hint is not None else "hints"
            raise ValueError(
                f"{key}: does not go with quantise, which has no layers of its own to compare: it "
                "goes on with its parent's; leave one of them out"
            )
        return self

    def _loss_fits(self) -> None:
        """Raise ValueError for a loss with which the weighting rule or the views make no sense."""
        rule = self.weighting.rule
        if self.separated is not self and not isinstance(self.loss, KlLoss):
            raise ValueError(
                f"loss: found {self.loss.name!r}, but the rule {rule!r} brings a loss of its own; "
                "leave one of them out"
            )
        if isinstance(self.loss, SmoothingLoss | TfKdLoss) and isinstance(
            self.weighting, AdjustedWeighting
        ):
            raise ValueError(
                f"weighting: the rule {rule!r} changes what the teacher answers, which the loss "
                f"{self.loss.name!r} does not look at; allowed: another rule, or another loss"
            )
        stored = self.views == "stored"
        if stored and isinstance(self.loss, LogitMseLoss) and not self.loss.centred:
            raise ValueError(
                "loss: 'mse' compares logits themselves, and stored ones are known but for a "
                "shift; write loss: {name: mse, centred: true}, or views: live"
            )

    @property
    def joint_hints(self) -> list[LayerPair]:
        """All that is transferred of inner layers beside the outputs."""
        own = [self.hint] if self.hint is not None and self.hint.mode == "joint" else []
        return [*own, *self.hints]

    @property
    def hint_modes(self) -> str:
        """How inner layers are transferred, for tables: empty, or modes with a + between."""
        pretrains = self.hint is not None and self.hint.mode == "pretrain"
        return "+".join(["pretrain"] * pretrains + ["joint"] * bool(self.joint_hints))

    @property
    def hint_losses(self) -> list[str]:
        """Names of the losses between inner layers, in the order in which they are written."""
        own = [] if self.hint is None else [self.hint]
        return [pair.loss.name for pair in (*own, *self.hints)]

    @property
    def separated(self) -> "Transfer":
        """The same transfer; of a rule that is an old name for a loss and its weights, both."""
        rule = self.weighting
        if isinstance(rule, DkdWeighting):
            loss: OutputLoss = DkdLoss(alpha=rule.alpha, beta=rule.beta)
            weighting = WeightedWeighting(rule="weighted", warmup=rule.warmup)
        elif isinstance(rule, StandardisedWeighting):
            loss = StandardisedLoss(base_temperature=rule.base_temperature)
            weighting = WeightedWeighting(
                rule="weighted", soft_weight=rule.soft_weight, hard_weight=1 - self.soft
            )
        else:
            return self
        return self.model_copy(update={"loss": loss, "weighting": weighting})

    @property
    def notes(self) -> list[str]:
        """What to write instead of old names that still work."""
        new = self.separated
        if new is self:
            return []
        loss, weighting = (
            part.model_dump(exclude_defaults=True) for part in (new.loss, new.weighting)
        )
        name = new.loss.name
        return [
            f"weighting: {self.weighting.rule!r} is a loss and no rule; it still works, and is "
            f"written loss: {_flow({'name': name} | loss) if loss else name}, weighting: "
            f"{_flow({'rule': new.weighting.rule} | weighting)} now"
        ]


def _flow(values: dict[str, Any]) -> str:
    """Values as a YAML mapping on one line."""
    return "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"
