"""From what the plan says which differences claims can find, as validated values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelswitch.config.base import Strict

Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Power(Strict):
    """What is known beforehand of the differences that claims are about. Only the plan reads it."""

    tables: str | None = Field(
        default=None,
        description="tables of a finished experiment, e.g. results/search/tables, in which the "
        "claims' sides go by the same names: the standard deviation of each paired difference is "
        "taken from there",
    )
    spread: Spread | None = Field(
        default=None,
        description="standard deviation over seeds of the paired difference, for claims that have "
        "no `spread` of their own and are not in `tables`, in the metric's unit",
    )
    wanted: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        default=0.8, description="the power, chance to find a difference that is there"
    )
