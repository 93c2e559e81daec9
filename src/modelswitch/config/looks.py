"""When results may be looked at before all seeds are there, as validated values."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field, field_validator

from modelswitch.config.base import Strict

Spending = Literal["obrien_fleming", "pocock"]


class Looks(Strict):
    """A rule, written down before the first result, that lets a study stop early."""

    at: Annotated[list[Annotated[int, Field(ge=2, strict=True)]], Field(min_length=1)] = Field(
        description="seeds after which claims are judged, e.g. [8, 12, 20]; the last is all of them"
    )
    spending: Spending = Field(
        default="obrien_fleming",
        description="how α = 0.05 is spread over the looks (Lan & DeMets 1983), obrien_fleming: "
        "next to nothing at the first ones, so that the last is judged almost as if it were the "
        "only one; pocock: about as much at each",
    )

    @field_validator("at")
    @classmethod
    def _rising(cls, at: list[int]) -> list[int]:
        if any(after <= before for before, after in itertools.pairwise(at)):
            raise ValueError(f"found {at}; numbers of seeds have to rise")
        return at
