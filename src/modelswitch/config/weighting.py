"""Rules that balance soft and hard loss per sample, as validated values."""

from typing import Annotated, Literal

from pydantic import Field

from modelswitch.config.base import Imported, Name, Share, Strict


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


class ImportedWeighting(Imported):
    """A user's own rule."""

    rule: Literal["import"]


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
