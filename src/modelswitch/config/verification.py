"""Telling people apart that no model was trained with, as validated values; no torch in here."""

from typing import Annotated

from pydantic import Field

from modelswitch.config.base import Strict


class Verification(Strict):
    """Whether two samples show the same person, of people whom no model was trained with.

    Of paired data and of photographs of eyes they are those that `data.strangers` holds back; of
    synthetic eyes more people are drawn.
    """

    people: Annotated[int, Field(ge=8, le=100_000)] = Field(
        default=120, description="with `source: eyes`, people that are drawn for it"
    )
    captures: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=8, description="with `source: eyes`, captures of each"
    )
    enrolled: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2,
        description="captures of each, clean, that make the person's template; all others are "
        "compared with every template",
    )
    fitting: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25,
        description="share of these people on whom fusions are fitted; the others are tested",
    )
    impostors: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=20,
        description="other people with whose templates a degraded sample is compared, drawn by "
        "the seed; a clean one is compared with those of all",
    )
