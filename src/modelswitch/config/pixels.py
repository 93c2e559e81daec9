"""What a configuration may say about the pixels of images, as values of other sections."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

_Side = Annotated[int, Field(ge=1, le=4096)]
Size = tuple[_Side, _Side]
Range = tuple[float, float]
Layout = Literal["channels_last", "channels_first"]
Colour = Literal["rgb", "grey", "stored"]
Background = Literal["white", "black"]

# Descriptions of keys that several sources have.
SIZE = "height and width to resize to; needed if they differ"
RANGE = (
    "values that stand for black and white; by default those of the type: all of 8 or 16 bits, "
    "0 to 1 or 0 to 255 for floats"
)
LAYOUT = "where an array has its channels; needed where its shape allows both"
COLOUR = "`stored`: grey where every image is grey"
BACKGROUND = "what transparent pixels are laid on; needed if there are any"
EACH = "; one for all, or by modality"


class PixelOptions(NamedTuple):
    """What a configuration says about the pixels of one data set; None where it says nothing."""

    size: Size | None = None
    range: Range | None = None
    layout: Layout | None = None
    colour: Colour | None = None
    background: Background | None = None
