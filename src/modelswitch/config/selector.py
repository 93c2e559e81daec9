"""The configuration's section on selecting a modality, as validated values; no torch in here."""

from typing import Annotated, Literal

from pydantic import Field

from modelswitch.config.base import Name, Strict, Width
from modelswitch.config.degradations import Degradations
from modelswitch.config.training import Training


class SelectorSettings(Strict):
    """One selector: the recognisers it selects over, and what it sees of their outputs."""

    recognisers: Name | dict[Name, str] = Field(
        description="a chain's label for all modalities, or modality to label or lineage"
    )
    values: Literal["probabilities", "log_probabilities", "logits"] = Field(
        default="log_probabilities", description="form of the outputs"
    )
    parts: Literal["whole", "sorted", "matched"] = Field(
        default="whole",
        description="whole output vectors; the largest values of each, sorted; or the outputs of "
        "all recognisers at the classes that each of them finds likeliest",
    )
    top: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=5, description="with sorted or matched: how many classes of each recogniser"
    )
    hidden: list[Width] = Field(default=[64, 32], description="widths of the hidden layers")
    target: Literal["undegraded", "right"] = Field(
        default="undegraded",
        description="undegraded: name a modality that is not degraded; right: name one whose "
        "recogniser is right",
    )


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
