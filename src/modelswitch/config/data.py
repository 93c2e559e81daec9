"""Where images come from, as validated values.

Apart from the experiment's configuration, so that preparing a data set depends on nothing else.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from modelswitch.config.augment import Augmentation
from modelswitch.config.base import Name, unfilled
from modelswitch.config.data_base import (
    DataBase,
    EyeSide,
    FilesData,
    ModalitiesData,
    PicturesData,
    Place,
    ShardsData,
    Splits,
    StoredData,
    StrangersData,
    ending,
)
from modelswitch.config.irises import IrisSettings
from modelswitch.config.pixels import (
    BACKGROUND,
    COLOUR,
    EACH,
    LAYOUT,
    RANGE,
    SIZE,
    Background,
    Colour,
    Layout,
    PixelOptions,
    Range,
    Size,
)


class DigitsData(DataBase):
    """scikit-learn's handwritten digits: 1,797 grey images of 8 x 8."""

    source: Literal["digits"]
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25,
        description="share of the images for testing, the same for every seed; which ones depends "
        "on what they show alone",
    )


class NpzData(DataBase):
    """A .npz with x_train, y_train, x_test, y_test (or x and y) and, if there, x_validation,
    y_validation, class_names and groups_train (or groups): one name an image, and images of one
    group are never parted by a split."""

    source: Literal["npz"]
    path: Place = Field(description="file, relative to the working directory")
    size: Size | None = Field(default=None, description=SIZE)
    range: Range | None = Field(default=None, description=RANGE)
    layout: Layout | None = Field(default=None, description=LAYOUT)
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2,
        description="share for testing where there are only x and y; which images depends on what "
        "they show alone",
    )
    splits: Splits | None = Field(
        default=None,
        description="which ending of the arrays' names means which split, e.g. {train: test, "
        "test: train} to train on the smaller part; by default train, val, test and their usual "
        "synonyms, in any case",
    )


class IdxData(DataBase):
    """A folder with the four IDX files that MNIST, Fashion-MNIST and their kin come as:
    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
    t10k-labels-idx1-ubyte, as they are or packed (.gz)."""

    source: Literal["idx"]
    path: Place = Field(description="folder, relative to the working directory")
    size: Size | None = Field(default=None, description=SIZE)
    range: Range | None = Field(default=None, description=RANGE)
    class_names: list[str] | None = Field(
        default=None, description="in the order of their numbers, which the files alone have"
    )


class FolderData(FilesData, PicturesData, StoredData):
    """A folder of images: <split>/<class>/..., or <class>/... and a share for testing."""

    source: Literal["folder"]
    path: Place = Field(description="folder, relative to the working directory")
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2,
        description="share for testing where there are no train and test folders; which images "
        "depends on what they show alone, so that a folder that grows keeps its test images",
    )


class TorchvisionData(DataBase):
    """A classification set that torchvision downloads."""

    source: Literal["torchvision"]
    dataset: str = Field(description="class name in torchvision.datasets, e.g. CIFAR10")
    root: Place = Field(default="data", description="folder to download to")
    size: Size | None = Field(default=None, description=SIZE)

    @field_validator("root")
    @classmethod
    def _is_filled(cls, root: str) -> str:
        if unfilled(root):
            raise ValueError(f"found {root!r}; nothing is filled in here, write the folder's name")
        return root


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


class EyePhotosData(ModalitiesData, FilesData, IrisSettings, StrangersData):
    """Photographs of eyes in folders by person and side: the photograph made smaller is the
    periocular image, and the ring of its iris unrolled is the iris pattern."""

    source: Literal["eye_photos"]
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.25, description="share of the photographs held back, on which selectors train"
    )
    augment: Augmentation = Field(
        default=Augmentation(flip=False), description="random views; a left eye is no right eye"
    )
    path: Place = Field(
        description="folder, relative to the working directory: <person>/<left or right>/<image>, "
        "or that inside train/ and test/"
    )
    periocular: tuple[EyeSide, EyeSide] = Field(
        default=(48, 64), description="height and width of the periocular image"
    )
    iris: tuple[EyeSide, EyeSide] = Field(
        default=(32, 96), description="height and width of the unrolled iris pattern, grey"
    )
    colour: Literal["rgb", "grey"] = Field(default="rgb", description="of the periocular image")
    range: Range | None = Field(default=None, description=RANGE)
    background: Background | None = Field(default=None, description=BACKGROUND)
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25,
        description="share for testing where there are no train and test folders; which "
        "photographs depends on what they show alone",
    )

    @model_validator(mode="after")
    def _whose_eyes(self) -> "EyePhotosData":
        told = self.csv is None and "(?P<eye>" not in (self.pattern or "")
        if self.strangers and self.classes == "eyes" and not told:
            said = (
                "the list in csv says" if self.csv is not None else "the group eye of pattern says"
            )
            raise ValueError(
                f"strangers: found {self.strangers}, but {said} which eye it is and not whose, so "
                "that a person's other eye might be in a training; allowed: a pattern with person "
                "and side, or classes: people"
            )
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("periocular", "iris")


class PairedData(ModalitiesData, FilesData, StoredData, StrangersData):
    """The same samples through several modalities: a folder <modality>/<class>/<sample>.<ext>
    (or that inside train/ and test/), or a .npz with <modality>_train, <modality>_test, y_train,
    y_test (or <modality> and y)."""

    source: Literal["paired"]
    path: Place = Field(description="folder or file, relative to the working directory")
    modalities: Annotated[tuple[Name, ...], Field(min_length=2)] = Field(
        description="names of the modalities, two or more"
    )
    size: dict[Name, Size] = Field(default={}, description=SIZE + EACH)
    colour: dict[Name, Colour] = Field(default={}, description=COLOUR + EACH)
    range: dict[Name, Range] = Field(default={}, description=RANGE + EACH)
    background: dict[Name, Background] = Field(default={}, description=BACKGROUND + EACH)
    layout: dict[Name, Layout] = Field(default={}, description=LAYOUT + EACH)
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25,
        description="share for testing where the data comes without a split; which samples "
        "depends on what they show alone",
    )

    unpaired: Literal["refuse", "skip"] = Field(
        default="refuse",
        description="samples that one of the modalities lacks; `skip` leaves them out and counts "
        "their images",
    )
    later = ("stored", "strangers", "unpaired")

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("modalities"), list | tuple):
            return values
        names = [name for name in values["modalities"] if isinstance(name, str)]
        alone = {
            key: dict.fromkeys(names, values[key])
            for key in PixelOptions._fields
            if values.get(key) is not None and not isinstance(values[key], dict)
        }
        return values | alone

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modalities)) != len(modalities):
            raise ValueError(f"modalities repeat: {', '.join(modalities)}")
        taken = {"none", "both", "all"} & set(modalities)
        if taken:
            raise ValueError(f"{', '.join(sorted(taken))}: kept as names of degraded sides")
        return modalities

    @model_validator(mode="after")
    def _options_are_of_modalities(self) -> "PairedData":
        for key in PixelOptions._fields:
            unknown = [name for name in getattr(self, key) if name not in self.modalities]
            if unknown:
                raise ValueError(f"{key}: {unknown[0]!r} is none of data.modalities")
        return self


class WebDatasetData(ShardsData):
    """Tar shards as WebDataset has them: files whose names are the same until the first dot are one
    sample, `0001.jpg` and `0001.cls`."""

    source: Literal["webdataset"]
    image: Annotated[str, AfterValidator(ending)] | None = Field(
        default=None,
        description="ending of the images, `jpg`; needed where samples have several",
    )
    label: Annotated[str, AfterValidator(ending)] = Field(
        default="cls",
        description="ending of the files with the label, a whole number or text; `json:<key>` for "
        "one key of a JSON file",
    )
    class_names: list[str] | None = Field(
        default=None, description="in the order of their numbers, where labels are numbers"
    )


class ArrowData(ShardsData):
    """A data set of Hugging Face's `datasets`, saved to disk (`save_to_disk`), or other Arrow files
    with an image file's bytes in each row."""

    source: Literal["arrow"]
    image: str = Field(default="image", description="column of the images")
    label: str = Field(
        default="label", description="column of the labels: class labels, whole numbers or text"
    )
    group: str | None = Field(
        default=None,
        description="column of the groups; images of one group are never parted by a split",
    )


DataSpec = Annotated[
    DigitsData
    | NpzData
    | IdxData
    | FolderData
    | TorchvisionData
    | EyesData
    | EyePhotosData
    | PairedData
    | WebDatasetData
    | ArrowData,
    Field(discriminator="source"),
]
