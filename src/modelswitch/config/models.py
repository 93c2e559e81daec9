"""Model families, as validated values."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from modelswitch.config.base import Argument, Imported, Strict, Width


class PlainModel(Strict):
    """A stack of convolution, batch normalisation and ReLU, with pooling between stages."""

    family: Literal["plain"]
    stages: list[Annotated[list[Width], Field(min_length=1)]] = Field(
        min_length=1,
        description="widths of the convolutions, one list a stage, e.g. [[64, 64], [128]]",
    )


class ResnetModel(Strict):
    """A CIFAR-style residual network; its depth is 2 x (sum of blocks) + 2."""

    family: Literal["resnet"]
    widths: list[Width] = Field(min_length=1, description="width of each stage, e.g. [16, 32, 64]")
    blocks: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        min_length=1, description="residual blocks in each stage, e.g. [3, 3, 3]"
    )
    stem_stride: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1,
        description="stride of the first convolution; 2 takes about a quarter of the operations",
    )

    @model_validator(mode="after")
    def _one_block_count_a_stage(self) -> "ResnetModel":
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks has {len(self.blocks)} entries and widths {len(self.widths)}; "
                "one of each for every stage"
            )
        return self


class TimmModel(Strict):
    """A model of the timm library by name, with fresh weights."""

    family: Literal["timm"]
    model: str = Field(description="name as timm.create_model takes it")
    arguments: dict[str, Argument] = Field(default={}, description="further keyword arguments")


class TorchvisionModel(Strict):
    """A classification model of torchvision by name, with fresh weights."""

    family: Literal["torchvision"]
    model: str = Field(description="name as torchvision.models.get_model takes it")
    arguments: dict[str, Argument] = Field(default={}, description="further keyword arguments")


class ImportedModel(Imported):
    """A user's own: called with in_channels and num_classes, returns a torch module."""

    family: Literal["import"]


ModelSpec = Annotated[
    PlainModel | ResnetModel | TimmModel | TorchvisionModel | ImportedModel,
    Field(discriminator="family"),
]
