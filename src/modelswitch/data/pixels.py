"""From what people store as pixels to uint8 [N, H, W, C]: arrays and pictures, in one way."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from modelswitch.config.pixels import Layout, PixelOptions, Range
from modelswitch.data.images import Picture, resized
from modelswitch.data.pictures import brightest
from modelswitch.data.ranges import reach_of, scaled
from modelswitch.errors import UserError
from modelswitch.storage.stored_rows import Rows

_DARK = 32  # of 255: images that stay below it may be meant to have another range
_MOST_CHANNELS = 4  # that an axis is taken for channels with


# ------------------------------------------------------------------------------ order of axes


def arranged(images: np.ndarray, layout: Layout | None, where: str) -> np.ndarray:
    """[N, H, W, C] of an array; raises `UserError` where its shape does not say which axis is
    that of the channels."""
    if _layout_of(images.shape, layout, where) == "channels_first":
        return np.moveaxis(images, 1, -1)
    return images[..., None] if images.ndim == 3 else images


def shape_arranged(
    shape: tuple[int, ...], layout: Layout | None, where: str
) -> tuple[int, int, int]:
    """Height, width and channels of such an array."""
    channels_first = _layout_of(shape, layout, where) == "channels_first"
    _, first, second, last = shape if len(shape) == 4 else (*shape, 1)
    if channels_first:
        return second, last, first
    return first, second, last


def _layout_of(shape: tuple[int, ...], stated: Layout | None, where: str) -> Layout:
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(
            f"{where}: has shape {shape}, expected [images, height, width] or "
            "[images, height, width, channels] with none of them 0"
        )
    if len(shape) == 3:
        return "channels_last"
    if stated is not None:
        return stated
    _, first, second, last = shape
    # One channel at the end is certain unless that makes images of one row.
    if last <= _MOST_CHANNELS < first or (last == 1 and first > 1):
        return "channels_last"
    if first <= _MOST_CHANNELS < last:
        found = f"looks like channels before height, {first} of {second}x{last}"
    else:
        found = f"may be {last} channels of {first}x{second} or {first} channels of {second}x{last}"
    raise UserError(
        f"{where}: has shape {shape}, which {found}; "
        "set data.layout to channels_last or channels_first"
    )


# -------------------------------------------------------------------------------- whole images


def stacked(images: Sequence[np.ndarray], names: Sequence[object]) -> np.ndarray:
    """[N, H, W, C] of images that are called ``names``; raises `UserError` if they differ in size,
    of those of the rarer sizes the first."""
    sizes = Counter(image.shape[:2] for image in images)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        odd = next(number for number, image in enumerate(images) if image.shape[:2] != usual)
        others = len(images) - sizes[usual]
        height, width = images[odd].shape[:2]
        raise UserError(
            f"{names[odd]}: is {height}x{width}, and {others} of {len(images)} images are not "
            f"{usual[0]}x{usual[1]} (height x width); set data.size to resize all"
        )
    return np.stack(images)


def pixels_of_arrays(
    parts: Mapping[str, np.ndarray], names: Mapping[str, str], options: PixelOptions
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """uint8 [N, H, W, C] of the array of every split, and what a person is told about them.

    ``names`` are what a person knows the arrays by.
    """
    placed = {key: arranged(array, options.layout, names[key]) for key, array in parts.items()}
    kinds = {names[key]: array.dtype.newbyteorder("=") for key, array in placed.items()}
    if len(set(kinds.values())) > 1 and {kind.kind for kind in kinds.values()} != {"f"}:
        each = ", ".join(f"{kind} in {where}" for where, kind in kinds.items())
        raise UserError(f"{next(iter(kinds))}: the splits differ in type: {each}")
    reach = reach_of({names[key]: array for key, array in placed.items()}, options.range)
    done = {}
    for key, array in placed.items():
        images = scaled(array, reach)
        if options.size is not None:
            images = np.stack([resized(image, options.size) for image in images])
        done[key] = torch.from_numpy(np.ascontiguousarray(images))
    told = f"{next(iter(kinds.values()))}, {reach.words}"
    by_name = {names[key]: images for key, images in done.items()}
    return done, _told(told, [reach.clipped]) | _dark(by_name, options.range is not None)


def pixels_of_pictures(
    parts: Mapping[str, Sequence[Picture]],
    names: Mapping[str, str],
    paths: Mapping[str, Sequence[str]],
    options: PixelOptions,
) -> tuple[dict[str, torch.Tensor], dict[str, str], dict[int, Range]]:
    """uint8 [N, H, W, C] of the pictures of every split, all grey or all in colour, what a person
    is told about them, and black and white of those with more than 8 bits, by depth.

    ``names`` are what a person knows the parts by, ``paths`` each picture.
    """
    everything = [picture for part in parts.values() for picture in part]
    deep = sorted({picture.depth for picture in everything} - {8})
    if options.range is not None and not deep:
        raise UserError("data.range: is for images of more than 8 bits, and there are none")
    reaches = {
        depth: reach_of(
            {
                names[key]: [p.pixels for p in part if p.depth == depth]
                for key, part in parts.items()
                if any(p.depth == depth for p in part)
            },
            options.range,
            depth,
        )
        for depth in deep
    }
    grey = options.colour == "grey" or (
        options.colour != "rgb" and all(picture.pixels.ndim == 2 for picture in everything)
    )
    done: dict[str, list[np.ndarray]] = {}
    for key, part in parts.items():
        done[key] = []
        for p in part:
            image = p.pixels if p.depth == 8 else scaled(p.pixels, reaches[p.depth])
            image = resized(image, options.size)
            if image.ndim == 2:
                image = np.repeat(image[..., None], 1 if grey else 3, -1)
            done[key].append(image)
    images = stacked(
        [i for part in done.values() for i in part], [p for part in paths.values() for p in part]
    )
    ends = np.cumsum([len(part) for part in parts.values()])[:-1]
    tensors = dict(zip(parts, map(torch.from_numpy, np.split(images, ends)), strict=True))
    modes = Counter(
        (p.mode, reaches[p.depth].words if p.depth in reaches else "8 bit, 0 to 255")
        for p in everything
    )
    by_name = {names[key]: part for key, part in tensors.items()}
    turned = sum(picture.turned for picture in everything)
    clipped = [reach.clipped for reach in reaches.values()]
    facts = facts_of_pictures(modes, by_name, options, turned, clipped)
    return tensors, facts, {depth: (r.low, r.high) for depth, r in reaches.items()}


def facts_of_pictures(
    modes: Counter[tuple[str, str]],
    images: Mapping[str, Rows],
    options: PixelOptions,
    turned: int,
    clipped: Sequence[str] = (),
) -> dict[str, str]:
    """What a person is told about pictures.

    Args:
        modes: how many have which mode and which range, in words.
        images: what was made of them, uint8 [N, H, W, C], by what a person knows them by.
        turned: how many were turned upright.
        clipped: what lay outside of a range, in words.
    """
    told = "; ".join(
        f"mode {mode}, {reach}" + (f" ({count} images)" if len(modes) > 1 else "")
        for (mode, reach), count in modes.most_common()
    )
    facts = _told(told, clipped) | _dark(images, options.range is not None)
    if turned:
        facts["turned upright"] = f"{turned} images, by their orientation tags"
    return facts


def _told(pixels: str, clipped: Sequence[str]) -> dict[str, str]:
    return {"pixels": pixels} | (
        {"clipped": "; ".join(filter(None, clipped))} if any(clipped) else {}
    )


def _dark(parts: Mapping[str, Rows], stated: bool) -> dict[str, str]:
    """What a person is told of images that may be meant to have another range.

    Raises `UserError` where one split has hardly any light and another has: masks of 0 and 1 beside
    some of 0 and 255, or pixels that were divided by 255 twice. Not if the range was ``stated``.
    """
    most = {where: brightest(images) for where, images in parts.items()}
    ends = {where: int(each.max()) for where, each in most.items()}
    lightest = max(ends, key=ends.__getitem__)
    if ends[lightest] < _DARK:
        return {"dark images": f"no value is above {ends[lightest]} of 255"}
    found = []
    for where, each in most.items():
        if ends[where] == 1 and not stated:
            raise UserError(
                f"{where}: no value is above 1 of 255, and in {lightest} they go up to "
                f"{ends[lightest]}; store all splits alike"
            )
        if ends[where] < _DARK:
            found.append(f"{where}: no value is above {ends[where]} of 255")
        elif count := int((each == 1).sum()):
            found.append(f"{where}: {count} of {len(each)} images have no value above 1 of 255")
    return {"dark images": "; ".join(found)} if found else {}
