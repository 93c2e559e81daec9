"""What a network is, as the header of a trained model's file says it.

For a model of a family that is what the configuration says. A network that came about in another
way is said in terms of one that can be built, so that anyone can build it anew from the header
alone: without its parent, and without the library that changed it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from modelswitch.config.base import Strict
from modelswitch.config.models import Network


class LayerSize(Strict):
    """Channels of a layer, as far as it has them."""

    outputs: int
    inputs: int | None = None
    groups: int | None = None


class NarrowedModel(Strict):
    """A network of which some layers, by their paths, have other numbers of channels than its
    family gives them."""

    family: Literal["narrowed"] = "narrowed"
    network: Network
    layers: dict[str, LayerSize]


class AdaptedModel(Strict):
    """A network with an input and classes of its own, made to take and answer what the data have.

    Images are normalised as the data are. For each channel that is multiplied by `scale` and
    `shift` is added, the images are resized to `size`, and the network's outputs numbered `order`
    are the logits.
    """

    family: Literal["adapted"] = "adapted"
    network: Architecture
    channels: int = Field(description="that the network takes")
    classes: int = Field(description="that the network tells apart")
    scale: list[float]
    shift: list[float]
    size: tuple[int, int] | None = Field(description="none: as the images are")
    order: list[int]


class MergedModel(Strict):
    """Several networks that answer together."""

    family: Literal["merged"] = "merged"
    members: list[Architecture]
    answer: Literal["probability", "logit"]


class QuantisedModel(Strict):
    """A network that calculates with integers of eight bits, as a device will.

    Batch normalisation is part of the convolutions before it; weights of `weight_bits` are signed
    and have a scale a channel, activations have eight bits, unsigned.
    """

    family: Literal["quantised"] = "quantised"
    network: Architecture
    shape: tuple[int, int, int] = Field(description="of its images [H, W, C]")
    weight_bits: int


Architecture = Annotated[
    Network | NarrowedModel | AdaptedModel | MergedModel | QuantisedModel,
    Field(discriminator="family"),
]
AdaptedModel.model_rebuild()
MergedModel.model_rebuild()
QuantisedModel.model_rebuild()
_ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(Architecture)


def architecture_in(passport: dict[str, Any]) -> Architecture:
    """What the network of a file's passport is; raises KeyError, TypeError or ValidationError.

    Files from before there was anything else have the model of their configuration.
    """
    return _ARCHITECTURE.validate_python(passport.get("architecture") or passport["job"]["model"])
