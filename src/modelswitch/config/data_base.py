"""What the sources of images share: where they are, their splits, how they are kept."""

import os
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from modelswitch.config.augment import Augmentation
from modelswitch.config.base import Extended, Name, Strict
from modelswitch.config.pixels import (
    BACKGROUND,
    COLOUR,
    RANGE,
    SIZE,
    Background,
    Colour,
    PixelOptions,
    Range,
    Size,
)

EyeSide = Annotated[int, Field(ge=8, le=512)]
# Shells put a folder in the place of a tilde, and YAML files are read by none.
Place = Annotated[str, AfterValidator(os.path.expanduser)]
Keep = Literal["auto", "memory", "disk"]
Split = Literal["train", "validation", "test"]


def _splits_fit(splits: dict[str, str]) -> dict[str, str]:
    if splits and ("train" not in splits or len(splits) < 2):
        raise ValueError(f"found {', '.join(splits)}; expected train with test, validation or both")
    if len(set(splits.values())) != len(splits):
        raise ValueError(f"{', '.join(splits.values())}: one place cannot hold two splits")
    return splits


def _no_splits(splits: Any) -> Any:
    return {} if splits == "none" else splits


def ending(ending: str) -> str:
    """As the names of files are compared with it; a key behind a colon stays as it is."""
    name, colon, key = ending.strip().partition(":")
    if colon and (name.lower().lstrip(".") != "json" or not key):
        raise ValueError(f"found {ending!r}; a key goes with json alone, json:<key>")
    return name.lower().lstrip(".") + colon + key


Splits = Annotated[dict[Split, str], AfterValidator(_splits_fit)]


class DataBase(Strict):
    source: str
    name: Name | None = Field(
        default=None, description="folder name in results; by default that of the source"
    )
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="share of the training images held back, of every class; which ones depends on "
        "what they show and on the seed alone, so that data that grow keep their splits; of no "
        "meaning where the data come with images for validation",
    )
    augment: Augmentation = Field(default=Augmentation(), description="random views")
    keep: Keep = Field(
        default="auto",
        description="where trainings have their images: all in memory, or on disk, from where they "
        "are read as they are used; `auto` is memory while a quarter of what is free holds them",
    )
    leaks: Literal["refused", "allowed"] = Field(
        default="refused",
        description="images that are in two splits, equal pixel by pixel; `allowed` counts them",
    )

    @property
    def datasets(self) -> list[str]:
        """The folder names of the data sets; several modalities have one each."""
        return list(getattr(self, "modalities", ())) or [self.name or self.source]

    def pixel_options(self, dataset: str) -> PixelOptions:
        """What is said about the pixels of one of the data sets."""
        stated = {key: getattr(self, key, None) for key in PixelOptions._fields}
        return PixelOptions(
            **{k: v.get(dataset) if isinstance(v, dict) else v for k, v in stated.items()}
        )

    @field_validator("range", check_fields=False)
    @classmethod
    def _black_below_white(cls, value: Any) -> Any:
        for pair in value.values() if isinstance(value, dict) else [value]:
            if pair is not None and pair[0] >= pair[1]:
                raise ValueError(f"found {list(pair)}, expected black to be less than white")
        return value


class FilesData(DataBase):
    """What the sources that read image files share."""

    csv: Place | None = Field(
        default=None,
        description="a list instead of class folders: a CSV file with the columns `label`, `path` "
        "(several modalities: one named after each), and if there `split` and `group`; paths "
        "relative to `path`",
    )
    groups: str | None = Field(
        default=None,
        description="regular expression that finds the group (subject, source, session) in a "
        "file's path below `path`; images of one group are never parted by a split",
    )
    splits: Splits | None = Field(
        default=None,
        description="which folder holds which split, or `none` where `train` is a class; by "
        "default train, val, test and their usual synonyms, in any case",
    )
    frames: Literal["one", "first", "all"] = Field(
        default="one",
        description="files with several frames or pages: `one` refuses them, `all` makes each an "
        "image, and those of a file stay together",
    )
    corrupt: Literal["refuse", "skip"] = Field(
        default="refuse", description="`skip` leaves corrupt files out and counts them"
    )
    follow_links: bool = Field(
        default=False, description="follow symbolic links that lead out of the folder"
    )

    _none_said = field_validator("splits", mode="before")(_no_splits)

    @field_validator("groups")
    @classmethod
    def _is_expression(cls, groups: str | None) -> str | None:
        try:
            count = re.compile(groups or "").groups
        except re.error as error:
            raise ValueError(f"{groups!r} is no regular expression ({error})") from error
        if count > 1:
            raise ValueError(
                f"{groups!r} has {count} pairs of parentheses that catch something; leave one, and "
                "write (?:…) for the others"
            )
        return groups

    @model_validator(mode="after")
    def _list_or_folders(self) -> "FilesData":
        given = [key for key in ("groups", "splits") if getattr(self, key) is not None]
        if self.csv is not None and given:
            raise ValueError(f"{given[0]}: the list in csv has columns for groups and splits")
        return self


class PicturesData(DataBase):
    """What the sources of image files share that have one modality."""

    size: Size | None = Field(default=None, description=SIZE)
    colour: Colour = Field(default="rgb", description=COLOUR)
    range: Range | None = Field(default=None, description=RANGE)
    background: Background | None = Field(default=None, description=BACKGROUND)


class StoredData(DataBase, Extended):
    """What the sources share whose images may be kept as JPEG images."""

    stored: Literal["raw", "jpeg", "in_place"] = Field(
        default="raw",
        description="what the prepared file has of each image: its pixels, or a JPEG image of them "
        "(quality 95), a tenth of the bytes, decoded as it is used and not quite the same pixels, "
        "or (`in_place`) where its file is and a checksum, to be decoded from there as it is used",
    )
    later: ClassVar[tuple[str, ...]] = ("stored",)


class ModalitiesData(DataBase):
    """What the sources with several modalities share."""

    name: None = Field(default=None, description="none: the modalities' names are the folders")


class StrangersData(Extended):
    """What the sources share that hold people back from every training."""

    strangers: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="share of the people that no model is trained with, kept for "
        "selector.verification; which ones depends on their names alone",
    )
    later: ClassVar[tuple[str, ...]] = ("strangers",)


class ShardsData(PicturesData, StoredData):
    """What the sources share whose files hold many images each, which are read where they lie."""

    path: Place = Field(
        description="file, or folder with files in it or below, relative to the working directory"
    )
    splits: Splits | None = Field(
        default=None,
        description="which files hold which split: a folder below `path` or a pattern such as "
        "`train-*`, or `none`; by default train, val, test and their usual synonyms in the names "
        "of files and folders",
    )
    frames: Literal["one", "first", "all"] = Field(
        default="one",
        description="images with several frames or pages: `one` refuses them, `all` makes each an "
        "image, and those of one stay together",
    )
    corrupt: Literal["refuse", "skip"] = Field(
        default="refuse", description="`skip` leaves corrupt images out and counts them"
    )
    test: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2,
        description="share for testing where there are no files for it; which images depends on "
        "what they show alone",
    )

    _none_said = field_validator("splits", mode="before")(_no_splits)
