"""Claims that an experiment states beforehand, as validated values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modelswitch.config.base import Strict
from modelswitch.config.metrics import METRICS, Metric
from modelswitch.config.power import Spread

SELECTION_COLUMNS = ("selector", "degradation", "side", "level", "seen")
# mypy wants the names written out, which is what there is one list of metrics against.
MetricName: Any = Literal[tuple(metric.name for metric in METRICS.values() if metric.claimed)]
Scalar = str | float | bool


class Claim(Strict):
    """What an experiment expects to find, stated before it runs."""

    better: str = Field(
        description="The side that is claimed to be better: a chain's label, a lineage, or, for "
        "the selector, the name of a method."
    )
    than: str | tuple[str, ...] | None = Field(
        None,
        description="The side that it is compared with, seed by seed. Of several, the one with the "
        "highest mean is taken.",
    )
    metric: MetricName = Field("accuracy", description="The metric that is compared.")
    split: Literal["validation", "test"] | None = Field(
        None, description="The split it is taken from; by default the report's."
    )
    smallest: Annotated[float, Field(allow_inf_nan=False)] = Field(
        0.0,
        description="The smallest difference of interest, in the metric's unit (0.01 of accuracy "
        "is one percentage point). Below zero it is what may be lost: the claim is then that the "
        "first side is not worse by more than that.",
    )
    rises_with: str | None = Field(
        None,
        description="Instead of `than`: a column of the table, e.g. `level`, with which the metric "
        "is claimed to rise.",
    )
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(
        {},
        description="For the selector: the rows that count, e.g. `{degradation: noise, seen: true}`"
        "; their mean is taken.",
    )
    spread: Spread | None = Field(
        None,
        description="The standard deviation over seeds of the paired difference that is expected, "
        "in the metric's unit: from it the plan says which difference the claim can find.",
    )
    statement: str = Field("", description="The claim in words, for the results page.")

    @model_validator(mode="after")
    def _one_kind(self) -> Claim:
        if (self.than is None) == (self.rises_with is None):
            raise ValueError(
                "a claim needs either `than` or `rises_with`, not both and not neither"
            )
        if self.than is not None and not self.others:
            raise ValueError("`than` is empty: name a chain, a lineage or a method")
        if self.better in self.others:
            raise ValueError(
                f"both sides are {self.better!r}: a claim compares two different sides"
            )
        for column in self.where:
            if column not in SELECTION_COLUMNS:
                raise ValueError(
                    f"`where` has {column!r}; allowed are {', '.join(SELECTION_COLUMNS)}"
                )
        return self

    @property
    def others(self) -> tuple[str, ...]:
        if self.than is None:
            return ()
        return (self.than,) if isinstance(self.than, str) else tuple(self.than)

    @property
    def measured(self) -> Metric:
        return METRICS[self.metric]

    @property
    def sides(self) -> tuple[str, ...]:
        """Every chain, lineage or method that the claim names."""
        return (self.better, *self.others)
