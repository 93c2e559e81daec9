"""Where images come from, as validated values.

Apart from the experiment's configuration, so that preparing a data set depends on nothing else.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from modelswitch.config.base import Name, Strict

EyeSide = Annotated[int, Field(ge=8, le=512)]


class Augmentation(Strict):
    """Random views of a training image."""

    crop: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=4, description="pixels of padding for random crops, 0 for none"
    )
    flip: bool = Field(default=True, description="mirror left and right")


class DataBase(Strict):
    source: str
    name: Name | None = Field(
        default=None, description="folder name in results; by default that of the source"
    )
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="share of the training images held back, of every class; which ones depends on "
        "what they show and on the seed alone, so that data that grow keep their splits",
    )
    augment: Augmentation = Field(default=Augmentation(), description="random views")

    @property
    def datasets(self) -> list[str]:
        """The folder names of the data sets; several modalities have one each."""
        return list(getattr(self, "modalities", ())) or [self.name or self.source]


class DigitsData(DataBase):
    """scikit-learn's handwritten digits: 1,797 grey images of 8 x 8."""

    source: Literal["digits"]
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25,
        description="share of the images for testing, the same for every seed; which ones depends "
        "on what they show alone",
    )


class NpzData(DataBase):
    """A .npz with x_train, y_train, x_test, y_test and, if there, class_names."""

    source: Literal["npz"]
    path: str = Field(description="file, relative to the working directory")


class FolderData(DataBase):
    """A folder of images: <split>/<class>/..., or <class>/... and a share for testing."""

    source: Literal["folder"]
    path: str = Field(description="folder, relative to the working directory")
    size: (
        tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] | None
    ) = Field(default=None, description="height and width to resize to; needed if they differ")
    colour: Literal["rgb", "grey"] = "rgb"
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2,
        description="share for testing where there are no train and test folders; which images "
        "depends on what they show alone, so that a folder that grows keeps its test images",
    )


class TorchvisionData(DataBase):
    """A classification set that torchvision downloads."""

    source: Literal["torchvision"]
    dataset: str = Field(description="class name in torchvision.datasets, e.g. CIFAR10")
    root: str = Field(default="data", description="folder to download to")
    size: (
        tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] | None
    ) = Field(default=None, description="height and width to resize to; needed if they differ")


class ModalitiesData(DataBase):
    """What the sources with several modalities share."""

    name: None = Field(default=None, description="none: the modalities' names are the folders")


class EyesData(ModalitiesData):
    """Synthetic eyes, drawn at random: a periocular image and an iris pattern of each capture."""

    source: Literal["eyes"]
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.25, description="share of the captures held back, on which selectors are trained"
    )
    augment: Augmentation = Field(
        default=Augmentation(flip=False), description="random views; a left eye is no right eye"
    )
    identities: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=64, description="people, the classes"
    )
    train: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=24, description="captures of each for training"
    )
    test: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10, description="captures of each for testing"
    )
    periocular: tuple[EyeSide, EyeSide] = Field(
        default=(48, 64), description="height and width of the periocular image, colour"
    )
    iris: tuple[EyeSide, EyeSide] = Field(
        default=(32, 96), description="height and width of the unrolled iris pattern, grey"
    )
    variation: Annotated[float, Field(ge=0, le=3)] = Field(
        default=1.0, description="how much captures of the same eye differ, 1 as published"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        default=0, description="draws the people; the experiment's seeds share them"
    )

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("periocular", "iris")


class PairedData(ModalitiesData):
    """The same samples through several modalities: a folder <modality>/<class>/<sample>.<ext>
    (or that inside train/ and test/), or a .npz with <modality>_train, <modality>_test, y_train,
    y_test (or <modality> and y)."""

    source: Literal["paired"]
    path: str = Field(description="folder or file, relative to the working directory")
    modalities: Annotated[tuple[Name, ...], Field(min_length=2)] = Field(
        description="names of the modalities, two or more"
    )
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25,
        description="share for testing where the data comes without a split; which samples "
        "depends on what they show alone",
    )

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modalities)) != len(modalities):
            raise ValueError(f"modalities repeat: {', '.join(modalities)}")
        taken = {"none", "both", "all"} & set(modalities)
        if taken:
            raise ValueError(f"{', '.join(sorted(taken))}: kept as names of degraded sides")
        return modalities


DataSpec = Annotated[
    DigitsData | NpzData | FolderData | TorchvisionData | EyesData | PairedData,
    Field(discriminator="source"),
]
