"""Where a model's first weights come from, if not from chance, as validated values.

A model's origin is one of: fresh, a checkpoint (`weights` of any family), pruned or grown from its
parent in the chain, an ensemble of others. It decides what a training starts from and nothing else.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelswitch.config.base import Extended, Strict

_Side = Annotated[int, Field(ge=1, le=65536)]
_More = Annotated[int, Field(ge=0, le=1000)]


def _size(value: Any) -> Any:
    return [value, value] if isinstance(value, int) and not isinstance(value, bool) else value


class Weights(Strict):
    """Weights that are there already: of a file, or published with a library's model."""

    file: str | None = Field(
        default=None,
        description="`.safetensors`, or a state dict as torch.save writes it (`.pt`, `.pth`), "
        "which is read without running code",
    )
    pretrained: bool | str | None = Field(
        default=None,
        description="instead of a file, the tag of weights that timm or torchvision publish for "
        "this model; true for the library's own choice",
    )
    train: bool = Field(
        default=True,
        description="false: the model is taken as it is, measured, and never trained; only first "
        "in a chain",
    )
    head: Literal["keep", "new"] = Field(
        default="keep",
        description="new: the last layer gets fresh weights for the data's classes",
    )
    entry: str | None = Field(
        default=None,
        description="of a file with several state dicts, the name of the one that is meant",
    )
    match: Literal["names", "order"] = Field(
        default="names",
        description="order: tensors of other names are taken in their order, where all shapes fit",
    )
    size: Annotated[tuple[_Side, _Side] | None, BeforeValidator(_size)] = Field(
        default=None,
        description="height and width (or one number) of the images that it was trained on; by "
        "default the tag's, or the data's",
    )
    mean: list[float] | None = Field(
        default=None,
        description="of the pixels, scaled to [0, 1], that its input was normalised with, one for "
        "each channel that it takes; by default the tag's, or the data's",
    )
    std: list[Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="likewise the deviation"
    )
    classes: list[str] | str | None = Field(
        default=None,
        description="names of its classes in the order of its outputs, or a text file with one "
        "name a line; may be more than the data's. By default the tag's, or the data's",
    )

    @model_validator(mode="after")
    def _fits(self) -> "Weights":
        if (self.file is None) == (self.pretrained in (None, False)):
            raise ValueError("give either file or pretrained")
        if self.head == "new" and not self.train:
            raise ValueError("head: new has to be trained, so it does not go with train: false")
        if self.head == "new" and self.classes is not None:
            raise ValueError("classes: a head that is new has the data's classes; leave it out")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; one of them is missing")
        lengths = {len(values) for values in (self.mean, self.std) if values is not None}
        if len(lengths) > 1 or not lengths <= {1, 3}:
            raise ValueError(
                f"mean and std have {' and '.join(map(str, sorted(lengths)))} values; both "
                "need one for each channel, 1 or 3"
            )
        if isinstance(self.classes, list):
            repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
            if repeated:
                raise ValueError(f"classes: {repeated[0]!r} is there more than once")
        if self.file is None and (self.entry is not None or self.match == "order"):
            raise ValueError("entry and match are about a file; with pretrained leave them out")
        return self

    @property
    def named_files(self) -> Iterator[str]:
        """The files that are named."""
        if self.file is not None:
            yield self.file
        if isinstance(self.classes, str):
            yield self.classes


def _from_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


class Family(Extended):
    """What all families of models have in common."""

    weights: Annotated[Weights | None, BeforeValidator(_from_file)] = Field(
        default=None,
        description="first weights that are given, as the name of a file or with more about them; "
        "without, they are drawn",
    )
    later: ClassVar[tuple[str, ...]] = ("weights",)


class GrownModel(Strict):
    """The model that it is switched from, made larger by maps that keep what it answers (Net2Net,
    Chen et al. 2016), and trained from there. Its parent is of the family plain or resnet."""

    family: Literal["grown"]
    widen: Annotated[float, Field(ge=1, le=64)] = Field(
        default=1.0, description="factor of all widths; further channels are copies of others"
    )
    deepen: _More | list[_More] = Field(
        default=0,
        description="further convolutions (plain) or blocks (resnet), which change nothing at "
        "first, at the end of every stage, or one number a stage",
    )
    noise: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.5,
        description="how unevenly copies share what they pass on, so that they learn different "
        "things; their sum stays, so answers do not change. With 0 copies stay copies",
    )

    @model_validator(mode="after")
    def _grows(self) -> "GrownModel":
        deeper = any(self.deepen) if isinstance(self.deepen, list) else self.deepen
        if self.widen == 1 and not deeper:
            raise ValueError("nothing grows; give widen above 1, deepen above 0, or both")
        return self


class PrunedModel(Strict):
    """The model that it is switched from with whole channels removed, and trained from there. Its
    layers stay in their number; needs the extra `pruning`."""

    family: Literal["pruned"]
    keep: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="share that is left, at most, of what `of` names"
    )
    of: Literal["parameters", "macs", "channels"] = Field(
        default="parameters",
        description="macs: multiply-accumulates; channels: of each layer or of all that can go",
    )
    importance: Literal["magnitude", "group_norm", "taylor"] = Field(
        default="group_norm",
        description="magnitude: sum of a filter's absolute weights (Li 2017); group_norm: norm of "
        "all weights that go with a channel (Fang 2023); taylor: what the loss on images of the "
        "training set changes by, to first order (Molchanov 2019)",
    )
    scope: Literal["layer", "global"] = Field(
        default="layer",
        description="layer: the same share of every layer; global: the channels of all layers are "
        "ranked together, and some layers lose more than others",
    )
    round_to: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="widths become multiples of this"
    )


class EnsembleModel(Strict):
    """Several models that answer together. It is never trained, comes first in a chain, and teaches
    like any other."""

    family: Literal["ensemble"]
    of: str | list[str] = Field(
        description="lineages of its members, e.g. [a, b]; or one first model, trained `size` "
        "times from seeds of its own as `<name>.1`, `<name>.2`, …"
    )
    size: Annotated[int, Field(ge=2, le=100)] | None = Field(
        default=None, description="members, where `of` is one model"
    )
    answer: Literal["probability", "logit"] = Field(
        default="probability", description="what is averaged over the members"
    )

    @model_validator(mode="after")
    def _has_members(self) -> "EnsembleModel":
        if isinstance(self.of, str):
            if self.size is None:
                raise ValueError(
                    f"of: one model, {self.of!r}, needs size, the number of its members"
                )
            return self
        if self.size is not None:
            raise ValueError("size: the list in `of` has the members already; leave it out")
        if len(set(self.of)) < 2 or len(set(self.of)) < len(self.of):
            raise ValueError("of: an ensemble needs at least two different members")
        return self

    @property
    def members(self) -> list[str]:
        """The lineages of its members."""
        if isinstance(self.of, str):
            return [f"{self.of}.{number}" for number in range(1, (self.size or 0) + 1)]
        return self.of
