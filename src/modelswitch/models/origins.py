"""What all origins of a model have in common: what it is for, and what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from modelswitch.config.architecture import Architecture


@dataclass(frozen=True)
class Images:
    """What a model is to take and answer: images [H, W, C], how they are normalised, the classes.

    Before the data have been read, the latter two are not known, only how many classes there are.
    """

    shape: tuple[int, int, int]
    classes: int
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    class_names: Sequence[str] | None = None


@dataclass(frozen=True)
class First:
    """A model before its training, what it is, and what has to be said about where it is from.

    Where chance had a part in its weights, it is ``drawn``: seeds begin at different ones.
    """

    network: nn.Module
    architecture: Architecture
    said: list[str] = field(default_factory=list)
    drawn: bool = True
