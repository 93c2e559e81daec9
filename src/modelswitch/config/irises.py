"""How irises are found in photographs of eyes, and whose they are, as validated values."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from modelswitch.config.base import Strict


class IrisSettings(Strict):
    """What only the source of photographs of eyes says."""

    pattern: str | None = Field(
        default=None,
        description="regular expression with groups `person` and `side`, or `eye` where a name is "
        "that of one eye, that finds these in a file's path below `path`; by default the first "
        "folder is the person and the next one the side: left, l, os, right, r, od in any case",
    )
    classes: Literal["eyes", "people"] = Field(
        default="eyes", description="whether the two eyes of a person are two classes or one"
    )
    finder: Literal["circles", "landmarks"] = Field(
        default="circles",
        description="how irises are found; `landmarks` begins with those of MediaPipe's network, "
        "which needs the extra of that name",
    )
    pupil: Literal["found", "assumed"] = Field(
        default="found",
        description="`assumed` takes a pupil of usual size where an iris is dark or small and none "
        "can be made out in it; more pictures that show no eye are then taken for one",
    )
    diameter: tuple[float, float] = Field(
        default=(0.15, 0.95),
        description="of an iris, least and most, in shares of a photograph's shorter side",
    )
    seen: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.3, description="share of an iris that lids, lashes and reflections have to leave"
    )
    masked: Literal["neutral", "channel", "kept"] = Field(
        default="neutral",
        description="what the pattern shows where the iris is hidden: the brightness that the rest "
        "has on average, the same and a second channel that says where, or what hides it",
    )
    fewest: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=2, description="photographs with an iris that a class needs"
    )
    few: Literal["refuse", "skip"] = Field(
        default="refuse", description="`skip` leaves classes with fewer out and counts them"
    )

    @field_validator("diameter")
    @classmethod
    def _least_below_most(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.05 <= value[0] < value[1] <= 1.5:
            raise ValueError(f"found {list(value)}, expected 0.05 <= least < most <= 1.5")
        return value

    @model_validator(mode="after")
    def _pattern_fits(self) -> "IrisSettings":
        if self.pattern is None:
            return self
        if getattr(self, "csv", None) is not None:
            raise ValueError("pattern: the list in csv has labels for classes")
        try:
            groups = set(re.compile(self.pattern).groupindex)
        except re.error as error:
            raise ValueError(
                f"pattern: {self.pattern!r} is no regular expression ({error})"
            ) from error
        allowed = [{"person", "side"}, *([{"eye"}] if self.classes == "eyes" else [{"person"}])]
        if groups not in allowed:
            named = " or ".join(" with ".join(f"(?P<{g}>…)" for g in sorted(a)) for a in allowed)
            raise ValueError(
                f"pattern: has the groups {', '.join(sorted(groups)) or 'none'}; for classes: "
                f"{self.classes} write {named}"
            )
        return self
