"""A model whose first weights are given: of a file, or published by the library that it is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from modelswitch.config.architecture import AdaptedModel, Architecture
from modelswitch.config.models import Network
from modelswitch.config.origin import Family, Weights
from modelswitch.errors import UserError
from modelswitch.models.adapted import Adapted
from modelswitch.models.build import build, give_shapes
from modelswitch.models.fitting import SHOWN, fill_from, head_of, more_than
from modelswitch.models.origins import First, Images
from modelswitch.models.published import published, tag_of
from modelswitch.storage import state_dicts


@dataclass(frozen=True)
class _Own:
    """What a model that is given takes and answers, as far as it is known."""

    channels: int
    size: tuple[int, int] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    classes: Sequence[str] | int


def given(spec: Family, images: Images) -> First:
    """The model of a specification with `weights`, filled with them.

    A new head's weights are drawn from the global generators.

    Raises:
        UserError: the weights are not there, cannot be read, or are of another model.
    """
    weights = spec.weights
    assert weights is not None
    own = _own(spec, weights, images)
    network = build(bare(spec), own.channels, _count(own.classes))
    height, width = own.size or images.shape[:2]
    give_shapes(network, (height, width, own.channels))
    if weights.file is not None:
        where = weights.file
        tensors, said = state_dicts.read(weights.file, weights.entry)
    else:
        where = f"weights {weights.pretrained}"
        tensors, said = (
            published(spec, weights),
            [f"took weights that {getattr(spec, 'family', '')} publishes"],
        )
    head = None
    if weights.head == "new":
        head = head_of(network, torch.zeros(1, own.channels, height, width))
    said += fill_from(network, tensors, weights, where, head)
    architecture = _adapted(bare(spec), own, images)
    said += _said_of_input(own, weights, images)
    if isinstance(architecture, AdaptedModel):
        network = Adapted(network, architecture)
    return First(network, architecture, said, drawn=head is not None)


def architecture_of(spec: Family, images: Images) -> Architecture:
    """What the network of a specification is, without reading any weights."""
    if spec.weights is None:
        return bare(spec)
    own = _own(spec, spec.weights, images)
    return _adapted(bare(spec), own, images)


def bare(spec: Family) -> Architecture:
    """The network alone that a specification is of."""
    found = spec.model_copy(update={"weights": None})
    assert isinstance(found, Network)
    return found


def _own(spec: Family, weights: Weights, images: Images) -> _Own:
    tag = tag_of(spec, weights)
    mean, std = weights.mean or tag.get("mean"), weights.std or tag.get("std")
    channels = len(mean) if mean is not None else tag.get("channels", images.shape[2])
    if channels < images.shape[2]:
        raise UserError(f"takes images of {channels} channel, the data have {images.shape[2]}")
    classes: Sequence[str] | int = images.classes
    if weights.head == "keep":
        named = weights.classes
        classes = _lines(named) if isinstance(named, str) else named or tag.get("classes", classes)
    return _Own(channels, weights.size or tag.get("size"), mean, std, classes)


def _count(classes: Sequence[str] | int) -> int:
    return classes if isinstance(classes, int) else len(classes)


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise UserError(f"weights.classes: {path}: {reason}") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(set(names)) < max(len(names), 1):
        repeated = next((n for n in names if names.count(n) > 1), None)
        raise UserError(
            f"weights.classes: {path}: "
            + ("has no names" if repeated is None else f"{repeated!r} is there more than once")
        )
    return names


def _adapted(network: Architecture, own: _Own, images: Images) -> Architecture:
    """``network``, or what makes it take and answer what the data have, if not itself."""
    order = _order(own.classes, images)
    mean, std = list(images.mean), list(images.std)
    scale, shift = [1.0] * own.channels, [0.0] * own.channels
    if own.mean is not None and own.std is not None and mean:
        # The data's, for each of the network's channels: grey images go to all of them.
        mean, std = (v * own.channels if len(v) == 1 else v for v in (mean, std))
        scale = [theirs / ours for theirs, ours in zip(std, own.std, strict=True)]
        shift = [(m - o) / s for m, o, s in zip(mean, own.mean, own.std, strict=True)]
    size = own.size if own.size != images.shape[:2] else None
    same = (
        size is None
        and own.channels == images.shape[2]
        and order == list(range(_count(own.classes)))
        and max(abs(s - 1) for s in scale) < 1e-9
        and max(map(abs, shift)) < 1e-9
    )
    if same:
        return network
    return AdaptedModel(
        network=network,
        channels=own.channels,
        classes=_count(own.classes),
        scale=scale,
        shift=shift,
        size=size,
        order=order,
    )


def _order(classes: Sequence[str] | int, images: Images) -> list[int]:
    """Of each of the data's classes, its number among the network's."""
    if isinstance(classes, int):
        if classes != images.classes:
            raise UserError(
                f"has {classes} classes, the data have {images.classes}; weights.classes names "
                "them in its order, or weights.head: new replaces its last layer"
            )
        return list(range(classes))
    names = images.class_names
    if names is None:
        if len(classes) < images.classes:
            raise UserError(
                f"has {len(classes)} classes, the data have {images.classes}; weights.head: new "
                "replaces its last layer"
            )
        return list(range(images.classes))
    lacking = [name for name in names if name not in classes]
    if lacking:
        raise UserError(
            f"weights.classes: has no {', '.join(map(repr, lacking[:SHOWN]))}"
            f"{more_than(lacking)}, which the data have; it names "
            f"{', '.join(map(repr, classes[:SHOWN]))}{more_than(classes)}"
        )
    where = {name: number for number, name in enumerate(classes)}
    return [where[name] for name in names]


def _said_of_input(own: _Own, weights: Weights, images: Images) -> list[str]:
    """What was taken though nobody said it."""
    said = []
    if weights.file is not None and own.mean is None:
        said.append(
            "its input is taken to be normalised as the data are; weights.mean and std say "
            "otherwise"
        )
    if weights.file is not None and own.size is None:
        size = "x".join(map(str, images.shape[:2]))
        said.append(f"its images are taken to be {size} as the data's; weights.size says otherwise")
    if not isinstance(own.classes, int):
        if len(own.classes) > images.classes:
            said.append(f"of its {len(own.classes)} classes, the data have {images.classes}")
    elif weights.head == "keep":
        said.append("its classes are taken in the data's order; weights.classes says otherwise")
    return said
