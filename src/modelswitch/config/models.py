"""Model families, as validated values."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelswitch.config.base import Argument, Imported, Width
from modelswitch.config.origin import EnsembleModel, Family, GrownModel, PrunedModel, Weights

Norm = Literal["batch", "group", "none"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "hardswish", "maxout"]
Shortcut = Literal["pad", "conv"]
Stride = Annotated[int, Field(ge=1, le=8)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
_DROPOUT = "chance that a feature is left out before the classifier in a step of training"
_BLOCKS = Annotated[int, Field(ge=1, le=1000)]


class PlainModel(Family):
    """A stack of convolution, normalisation and activation, with pooling between stages."""

    family: Literal["plain"]
    stages: list[Annotated[list[Width], Field(min_length=1)]] = Field(
        min_length=1,
        description="widths of the convolutions, one list a stage, e.g. [[64, 64], [128]]",
    )
    norm: Norm = Field(
        default="batch",
        description="none: the convolutions have biases, and first weights that keep the scale of "
        "what a deep stack passes on (He 2015); group: of about eight channels (Wu and He 2018)",
    )
    activation: Activation = Field(
        default="relu",
        description="maxout: the larger of two convolutions, as in FitNets (Goodfellow 2013)",
    )
    dropout: Dropout = Field(default=0.0, description=_DROPOUT)
    later = ("weights", "norm", "activation", "dropout")


class _Staged(Family):
    """A model of stages, each of one width and so many blocks."""

    widths: list[Width] = Field(min_length=1, description="width of each stage, e.g. [16, 32, 64]")
    blocks: list[_BLOCKS] = Field(min_length=1, description="blocks in each stage, e.g. [3, 3, 3]")
    stem_stride: Stride = Field(
        default=1,
        description="stride of the first convolution; 2 takes about a quarter of the operations",
    )
    dropout: Dropout = Field(default=0.0, description=_DROPOUT)
    later = ("weights", "dropout", "shortcut")

    @model_validator(mode="after")
    def _one_block_count_a_stage(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks has {len(self.blocks)} entries and widths {len(self.widths)}; "
                "one of each for every stage"
            )
        return self


class ResnetModel(_Staged):
    """A CIFAR-style residual network; its depth is 2 x (sum of blocks) + 2."""

    family: Literal["resnet"]
    shortcut: Shortcut = Field(
        default="pad",
        description="where the shape changes, pad: channels of zeros (He 2016, option A); conv: a "
        "1x1 convolution (option B), which pruning tools can follow",
    )


class MobileModel(_Staged):
    """Depthwise-separable blocks for students on phones (inverted residuals, Sandler 2018)."""

    family: Literal["mobile"]
    expansion: Annotated[int, Field(ge=1, le=16)] = Field(
        default=4, description="channels inside a block, as a multiple of those between blocks"
    )


class TimmModel(Family):
    """A model of the timm library by name."""

    family: Literal["timm"]
    model: str = Field(description="name as timm.create_model takes it")
    arguments: dict[str, Argument] = Field(default={}, description="further keyword arguments")


class TorchvisionModel(Family):
    """A classification model of torchvision by name."""

    family: Literal["torchvision"]
    model: str = Field(description="name as torchvision.models.get_model takes it")
    arguments: dict[str, Argument] = Field(default={}, description="further keyword arguments")


class ImportedModel(Imported, Family):
    """A user's own: called with in_channels and num_classes, returns a torch module."""

    family: Literal["import"]


# What is a network of its own, whatever it starts from.
Network = PlainModel | ResnetModel | MobileModel | TimmModel | TorchvisionModel | ImportedModel
# Of the families that are built here it is known that files keep all of them.
OWN_FAMILIES = (PlainModel, ResnetModel, MobileModel)
# What is made from the model that it is switched from.
ChangedModel = GrownModel | PrunedModel
ModelSpec = Annotated[Network | EnsembleModel | ChangedModel, Field(discriminator="family")]


def weights_of(model: ModelSpec) -> Weights | None:
    """The first weights that a model is given, if it is."""
    return model.weights if isinstance(model, Family) else None


def origin_of(model: ModelSpec) -> str:
    """Where a model's first weights come from, in one word."""
    if isinstance(model, EnsembleModel):
        return "merged"
    if isinstance(model, ChangedModel):
        return model.family
    return "fresh" if model.weights is None else "given"


def is_trained(model: ModelSpec) -> bool:
    """Whether a model is trained at all, or taken as it is."""
    if isinstance(model, EnsembleModel):
        return False
    weights = weights_of(model)
    return weights is None or weights.train
