"""Degradations of one of several modalities, as validated values."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from modelswitch.config.base import Extended

DegradationName = Literal[
    "gaussian_noise",
    "rectangle",
    "lid",
    "gaussian_blur",
    "motion_blur",
    "low_light",
    "jpeg",
    "defocus",
    "glints",
    "off_axis",
    "spectacles",
    "colour_cast",
    "dilation",
]
DEGRADATION_NAMES: tuple[str, ...] = get_args(DegradationName)
Scale = Literal["own", "halving"]
Level = Annotated[float, Field(gt=0, le=1)]


def side_name(degraded: Sequence[str], modalities: Sequence[str]) -> str:
    """`none`, a modality's name, `both` (of two), `all`, or names joined by `+`."""
    if len(degraded) == len(modalities):
        return "both" if len(modalities) == 2 else "all"
    return "+".join(sorted(degraded)) or "none"


def sides(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every choice of one or more degraded modalities, all of them last."""
    return [
        chosen
        for count in range(1, len(modalities) + 1)
        for chosen in itertools.combinations(modalities, count)
    ]


class Degradations(Extended):
    """What is done to a modality; docs/degradations.md says what a level means."""

    seen: Annotated[list[DegradationName], Field(min_length=1)] = Field(
        default=["gaussian_noise", "rectangle", "lid", "gaussian_blur", "low_light"],
        description="degradations that selectors and fitted baselines are trained with",
    )
    unseen: list[DegradationName] = Field(
        default=["motion_blur", "jpeg"], description="degradations that are used for testing only"
    )
    levels: Annotated[list[Level], Field(min_length=1)] = Field(
        default=[0.2, 0.4, 0.6, 0.8, 1.0], description="strengths; 0, clean, is always there"
    )
    scale: Scale = Field(
        default="own",
        description="own: a level is linear in the quantity that the degradation sets; halving: "
        "level 0.5 halves what a recogniser of synthetic eyes can do above chance, as measured",
    )
    absent: bool = Field(
        default=False,
        description="also test with a modality that is not there at all, or several but not all: "
        "nothing is heard of its recogniser; no selector is trained with that",
    )
    later = ("scale", "absent")

    @field_validator("levels")
    @classmethod
    def _rising(cls, levels: list[float]) -> list[float]:
        if sorted(set(levels)) != levels:
            raise ValueError(f"levels have to rise: {levels}")
        return levels

    @model_validator(mode="after")
    def _distinct(self) -> "Degradations":
        names = [*self.seen, *self.unseen]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice in seen and unseen: {', '.join(twice)}")
        return self

    @property
    def sets(self) -> list[tuple[DegradationName, float]]:
        """Every degradation at every level."""
        return [(name, level) for name in (*self.seen, *self.unseen) for level in self.levels]
