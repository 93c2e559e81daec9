"""Rules that balance soft and hard loss per sample, as validated values."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from modelswitch.config.base import Imported, Name, Share, Strict, refuse_all_zero


class Weighting(Strict):
    """What every rule says of itself, for docs/methods.md.

    Attributes:
        source: paper that it is from.
        formula: of the soft weight w of a sample as plain text, λ being the transfer's `soft`.
    """

    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""


class FixedWeighting(Weighting):
    """The same balance for every sample."""

    source = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531"
    formula = "w = λ"

    rule: Literal["fixed"] = "fixed"


class CorrectnessWeighting(Weighting):
    """soft + delta where the teacher is right, soft - delta where it is wrong."""

    formula = "w = λ + δ where the teacher is right, else λ − δ"

    rule: Literal["correctness"]
    delta: Share = Field(description="shift of the soft weight, clipped to [0, 1] with it")


class HardSwitchWeighting(Weighting):
    """Soft loss alone where the teacher is right, hard loss alone where it is wrong (Meng 2019)."""

    source = "Meng et al. 2019, ICASSP, Conditional Teacher-Student Learning"
    formula = "w = 1 where the teacher is right, else 0"

    rule: Literal["hard_switch"]


class ConfidenceWeighting(Weighting):
    """A shift from -delta to +delta with the teacher's probability of the true class."""

    formula = "w = λ + δ · (2 p_t(y) − 1)"

    rule: Literal["confidence"]
    delta: Share = Field(description="largest shift of the soft weight")


class WslWeighting(Weighting):
    """Weighted soft labels (Zhou 2021): the soft weight grows where the student lags."""

    source = "Zhou et al. 2021, arXiv:2102.00650"
    formula = "w = λ · (1 − exp(−CE(s) / CE(t)))\nweight of the hard loss: 1 − λ"

    rule: Literal["wsl"]


class AdjustedWeighting(Weighting):
    """Knowledge adjustment (Wen 2019): a wrong teacher's top probability goes to the true class."""

    source = "Wen, Lai, Qian 2019, arXiv:1911.07471"
    formula = "w = λ\nwhere the teacher is wrong, t_y and max_c t_c change places"

    rule: Literal["adjusted"]


class WeightedWeighting(Weighting):
    """Weights of soft and hard loss that need not add up to 1; the transfer's `soft` is not used.

    For losses whose authors weight them so: `loss: dkd` with `{rule: weighted, warmup: 20}`, `loss:
    standardised` with `{rule: weighted, soft_weight: 9, hard_weight: 0.1}`.
    """

    formula = "w = w₀ · min(1, (e + 1) / e₀) in epoch e of a warm-up of e₀ epochs"

    rule: Literal["weighted"]
    soft_weight: Annotated[float, Field(ge=0)] = 1.0
    hard_weight: Annotated[float, Field(ge=0)] = 1.0
    warmup: Annotated[int, Field(ge=0)] = Field(
        default=0, description="epochs of linear growth of the soft weight"
    )

    @model_validator(mode="after")
    def _something_counts(self) -> "WeightedWeighting":
        refuse_all_zero(self, ("soft_weight", "hard_weight"))
        return self


class DkdWeighting(Weighting):
    """Old name of `loss: dkd` with `weighting: {rule: weighted, warmup: 20}`."""

    rule: Literal["dkd"]
    alpha: Annotated[float, Field(ge=0)] = Field(default=1.0, description="target-class part")
    beta: Annotated[float, Field(ge=0)] = Field(default=8.0, description="non-target part")
    warmup: Annotated[int, Field(ge=0)] = Field(default=20, description="epochs of linear growth")


class StandardisedWeighting(Weighting):
    """Old name of `loss: standardised` with `weighting: {rule: weighted, soft_weight: 9,
    hard_weight: …}`, the hard weight being 1 - `soft`."""

    rule: Literal["standardised"]
    base_temperature: Annotated[float, Field(gt=0)] = 2.0
    soft_weight: Annotated[float, Field(ge=0)] = 9.0


class ShuffledWeighting(Weighting):
    """Control: `correctness` with right and wrong permuted over the samples of a batch."""

    formula = "w = λ ± δ, right and wrong permuted over the batch"

    rule: Literal["shuffled"]
    delta: Share = Field(description="as for correctness")


class MatchedWeighting(Weighting):
    """Control: fixed weights at the means that another transfer really used."""

    formula = "w = mean of the other transfer"

    rule: Literal["matched"]
    to: Name = Field(description="the transfer whose mean weights are taken")


class ImportedWeighting(Imported, Weighting):
    """A user's own rule."""

    rule: Literal["import"]


WeightingSpec = Annotated[
    FixedWeighting
    | CorrectnessWeighting
    | HardSwitchWeighting
    | ConfidenceWeighting
    | WslWeighting
    | AdjustedWeighting
    | WeightedWeighting
    | DkdWeighting
    | StandardisedWeighting
    | ShuffledWeighting
    | MatchedWeighting
    | ImportedWeighting,
    Field(discriminator="rule"),
]
