"""From what people hand to a model to uint8 [N, H, W, C]; no torch, for devices have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from modelswitch.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    One = Union[str, Path, Image.Image, np.ndarray]  # noqa: UP007  (evaluated by no one)
    Images = Union[One, Sequence[One]]  # noqa: UP007
else:
    Images = object


def as_batch(
    images: Images, shape: tuple[int, int, int], files: Mapping[str, Any] | None = None
) -> np.ndarray:
    """uint8 [N, H, W, C] of ``shape`` (H, W, C); see `predictor.Predictor.probabilities`.

    Image files are read as those that the model was trained on, of which ``files`` tells.
    """
    files = files or {}
    if isinstance(images, np.ndarray) and images.ndim == 4:
        batch = _checked(images, "images")
        if batch.shape[1:] == shape:
            return batch
        return _stacked([_fitted(image, shape, "images", files) for image in batch], shape)
    one = isinstance(images, str | Path | np.ndarray) or hasattr(images, "convert")
    several: Iterable[Any] = [images] if one else images  # type: ignore[assignment]
    return _stacked(
        [
            _fitted(image, shape, f"image {number}", files)
            for number, image in enumerate(several, 1)
        ],
        shape,
    )


def _stacked(images: list[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    return np.stack(images) if images else np.empty((0, *shape), np.uint8)


def _checked(image: np.ndarray, where: str) -> np.ndarray:
    if image.dtype != np.uint8:
        raise UserError(f"{where}: holds {image.dtype}; pixels are uint8, from 0 to 255")
    return image


def _fitted(
    image: object, shape: tuple[int, int, int], where: str, files: Mapping[str, Any]
) -> np.ndarray:
    """One image uint8 [H, W, C] of ``shape``."""
    from PIL import Image

    from modelswitch.config.pixels import PixelOptions
    from modelswitch.data.images import PictureReader, Unreadable, picture, resized
    from modelswitch.data.ranges import Reach, scaled

    height, width, channels = shape
    if isinstance(image, np.ndarray):
        pixels = _checked(image, where)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.shape == shape:
            return pixels
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
            raise UserError(
                f"{where}: has shape {list(image.shape)}; [height, width] or [height, width, 1 or "
                f"3] is taken and resized, or {list(shape)} as it is"
            )
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if not isinstance(image, str | Path | Image.Image):
        raise UserError(
            f"{where}: is {type(image).__name__}; a path, PIL image or uint8 array is taken"
        )
    if channels not in (1, 3):
        raise UserError(
            f"{where}: the model takes {channels} channels; give uint8 arrays {list(shape)}"
        )
    colour: Any = "grey" if channels == 1 else "rgb"
    options = PixelOptions((height, width), None, None, colour, files.get("background"))
    if isinstance(image, Image.Image):
        try:
            found = picture(image, options)
        except Unreadable as reason:
            raise UserError(f"{where}: {reason}") from reason
    else:
        where = str(image)
        reader = PictureReader()
        pictures = reader.read(Path(image), options)
        reader.finish(skip=False)
        [found] = pictures
    pixels = found.pixels
    if found.depth != 8:
        ends = files.get("ranges", {}).get(str(found.depth))
        if ends is None:
            kind = f"{found.depth} bits" if found.depth else "floats"
            raise UserError(f"{where}: holds {kind}, and the model was trained on no such images")
        pixels = resized(scaled(pixels, Reach(ends[0], ends[1], "")), (height, width))
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], channels, -1)
    return pixels
