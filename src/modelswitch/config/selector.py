"""The configuration's section on selecting a modality, as validated values; no torch in here."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from modelswitch.config.base import Extended, Name, Strict, Width
from modelswitch.config.degradations import Degradations
from modelswitch.config.training import Training
from modelswitch.config.verification import Verification


class SelectorSettings(Extended):
    """One selector: the recognisers it selects over, and what it sees of their outputs."""

    decides: Literal["pick", "weigh"] = Field(
        default="pick",
        description="pick: names one recogniser, whose answer counts; weigh: says how far each "
        "is listened to, and the answer is made of all",
    )
    recognisers: Name | dict[Name, str] = Field(
        description="a chain's label for all modalities, or modality to label or lineage"
    )
    values: Literal["probabilities", "log_probabilities", "logits"] = Field(
        default="log_probabilities", description="form of the outputs"
    )
    parts: Literal["whole", "sorted", "matched", "agreement"] = Field(
        default="whole",
        description="whole output vectors; the largest values of each, sorted; the outputs of "
        "all recognisers at the classes that each of them finds likeliest; or how sure each is and "
        "what it says of the others' answers, for `decides: weigh` alone: that fits any number of "
        "classes, and `values` is of no meaning then",
    )
    top: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=5, description="with sorted or matched: how many classes of each recogniser"
    )
    hidden: list[Width] = Field(default=[64, 32], description="widths of the hidden layers")
    target: Literal["undegraded", "right"] = Field(
        default="undegraded",
        description="undegraded: name a modality that is not degraded; right: name one whose "
        "recogniser is right; of no meaning with `decides: weigh`, which learns who is right "
        "from clean samples and from those with any sides degraded",
    )
    gates: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="with `decides: weigh`, networks whose answers are averaged"
    )
    leave_out: bool = Field(
        default=False,
        description="with `decides: weigh`, each network is trained without one of the "
        "degradations that are `seen`, in turn, and the log says what it makes of that one, which "
        "is what it carries over from the others; `gates` has to be a multiple of their number",
    )
    later: ClassVar[tuple[str, ...]] = ("decides", "gates", "leave_out")

    @model_validator(mode="after")
    def _keys_fit(self) -> "SelectorSettings":
        if self.decides == "pick" and self.parts == "agreement":
            raise ValueError(
                "parts: found agreement, which is for decides: weigh; allowed here: "
                "whole, sorted, matched"
            )
        others = ("target",) if self.decides == "weigh" else ("gates", "leave_out")
        for given in others:
            if getattr(self, given) != type(self).model_fields[given].default:
                other = "pick" if self.decides == "weigh" else "weigh"
                raise ValueError(f"{given}: only with decides: {other}")
        return self


class SelectorComparison(Strict):
    """Selecting, per sample, the modality that can be trusted."""

    selectors: dict[Name, SelectorSettings] = Field(
        min_length=1, description="name to recognisers and inputs"
    )
    degradations: Degradations = Degradations()
    training: Training = Field(
        default=Training(
            epochs=20,
            batch=256,
            optimizer="adamw",
            learning_rate=0.002,
            weight_decay=0.05,
            precision="float32",
        ),
        description="training of every selector",
    )
    risk: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01,
        description="how many of the answers that are given may be wrong where a method may say "
        "that it cannot tell: from what confidence on it answers is found on held-back samples; no "
        "training depends on it",
    )
    verification: Verification | None = Field(
        default=None,
        description="whether people who are in no training can be told apart; no training depends "
        "on it",
    )

    @model_validator(mode="after")
    def _each_is_left_out(self) -> "SelectorComparison":
        seen = len(self.degradations.seen)
        for name, settings in self.selectors.items():
            if settings.leave_out and (seen < 2 or settings.gates % seen):
                raise ValueError(
                    f"selectors.{name}.gates: found {settings.gates}, of which with leave_out "
                    f"each is trained without one of {seen} degradations (degradations.seen); "
                    + (
                        f"allowed: {seen} or a multiple"
                        if seen > 1
                        else "allowed: two or more seen"
                    )
                )
        return self
