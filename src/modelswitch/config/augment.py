"""Random views of training images, as validated values."""

from typing import Annotated

from pydantic import Field, model_validator

from modelswitch.config.base import Imported, Share, Strict

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ResizedCrop(Strict):
    """A part of the image, resized to the whole (Szegedy et al. 2015); instead of `crop`."""

    scale: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = Field(
        default=(0.3, 1.0), description="smallest and largest share of the area"
    )
    ratio: tuple[Positive, Positive] = Field(
        default=(0.75, 4 / 3), description="narrowest and widest width by height"
    )

    @model_validator(mode="after")
    def _rising(self) -> "ResizedCrop":
        for name in ("scale", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the first of {[low, high]} is the larger one")
        return self


class Colour(Strict):
    """Random changes of colour; each factor is drawn from 1 - x to 1 + x."""

    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = Field(default=0.0, description="images of three channels only")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0, description="largest shift, in turns of the colour circle; three channels only"
    )


class RandAugment(Strict):
    """Some operations out of fourteen, all at one strength (Cubuk et al. 2020)."""

    operations: Annotated[int, Field(ge=1, le=8)] = Field(
        default=2, description="operations a view, drawn with replacement"
    )
    magnitude: Annotated[int, Field(ge=0, le=30)] = Field(default=9, description="strength")


class Erasing(Strict):
    """A rectangle in one random colour over the image (Zhong et al. 2020)."""

    chance: Share = Field(default=0.25, description="of a view to have one")
    scale: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=(0.02, 0.33), description="smallest and largest share of the area"
    )


class ImportedView(Imported):
    """A user's own step: called with pixels float [B, C, H, W] from 0 to 255, numbers [B, n] drawn
    for each of them from 0 to 1, and the arguments; returns pixels of the same shape."""

    numbers: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="random numbers that are drawn for each view"
    )


class Augmentation(Strict):
    """Random views of a training image; the steps follow upon each other in the order of the keys.

    Everything is drawn for each sample and epoch from the seed, so a resumed training sees the same
    views, and stored responses work with all of them. Teacher and student see the same view.
    Images are mixed with others of the training set, of which there have to be two at least. To
    rules and losses that look at the right class, that is the one that a mixed view shows most of.
    """

    crop: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=4, description="pixels of padding for random crops, 0 for none"
    )
    flip: bool = Field(default=True, description="mirror left and right")
    random_resized_crop: ResizedCrop | None = Field(
        default=None, description="a part of the image, resized; `crop` is 0 then"
    )
    colour: Colour | None = Field(default=None, description="changes of colour")
    rand_augment: RandAugment | None = Field(default=None, description="a policy at one strength")
    trivial_augment: bool = Field(
        default=False,
        description="one operation at a random strength (Müller and Hutter 2021)",
    )
    own: ImportedView | None = Field(default=None, description="a step of one's own")
    erasing: Erasing | None = Field(default=None, description="a rectangle that hides a part")
    mixup: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.0,
        description="α of the mixing with another image (Zhang et al. 2018), 0 for none",
    )
    cutmix: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.0,
        description="α of pasting a part of another image (Yun et al. 2019), 0 for none; with "
        "`mixup`, each view has one of the two",
    )

    @model_validator(mode="after")
    def _fits(self) -> "Augmentation":
        if self.rand_augment is not None and self.trivial_augment:
            raise ValueError("rand_augment and trivial_augment: each is a policy; take one of them")
        if self.random_resized_crop is not None and self.crop:
            if "crop" in self.model_fields_set:
                raise ValueError(
                    f"crop: found {self.crop} beside random_resized_crop, which crops already; "
                    "leave one of them out"
                )
            # Frozen values are set here once, before anybody has seen them.
            object.__setattr__(self, "crop", 0)
        return self

    @property
    def mixes(self) -> bool:
        """Whether views have parts of other images, and with them two labels."""
        return bool(self.mixup or self.cutmix)
