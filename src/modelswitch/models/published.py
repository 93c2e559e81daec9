"""Weights that timm and torchvision publish, by their tags, and what is said of them."""

from collections.abc import Sequence
from typing import Any

import torch

from modelswitch.config.models import TimmModel, TorchvisionModel
from modelswitch.config.origin import Family, Weights
from modelswitch.errors import UserError, in_one_line


def tag_of(spec: Family, weights: Weights) -> dict[str, Any]:
    """What a library says of the weights that it publishes: size, mean, std, classes, channels."""
    if weights.file is not None:
        return {}
    if isinstance(spec, TimmModel):
        return _timm_tag(spec, weights)
    if isinstance(spec, TorchvisionModel):
        return _torchvision_tag(spec, weights)
    family = getattr(spec, "family", "")
    raise UserError(
        f"weights.pretrained: nobody publishes weights of the family {family}; allowed: file"
    )


def _timm_name(spec: TimmModel, weights: Weights) -> str:
    """The name with its tag, as timm knows its weights."""
    import timm

    name = spec.model.partition(".")[0]
    known = [n.partition(".")[2] for n in timm.list_pretrained(f"{name}.*")] or [
        n.partition(".")[2] for n in timm.list_pretrained(name)
    ]
    if weights.pretrained is True:
        if not known:
            raise UserError(f"weights.pretrained: timm publishes no weights of {spec.model}")
        return spec.model
    if weights.pretrained not in known:
        raise UserError(
            f"weights.pretrained: timm has no {weights.pretrained!r} of {name}; allowed: "
            f"{', '.join(filter(None, known)) or 'none'}"
        )
    return f"{name}.{weights.pretrained}"


def _timm_tag(spec: TimmModel, weights: Weights) -> dict[str, Any]:
    import timm

    if not timm.is_model(spec.model):
        return {}
    config = timm.get_pretrained_cfg(_timm_name(spec, weights))
    assert config is not None
    channels, *size = config.input_size
    return {
        "channels": channels,
        "size": tuple(size),
        "mean": list(config.mean),
        "std": list(config.std),
        "classes": int(config.num_classes),
    }


def _torchvision_weights(spec: TorchvisionModel, weights: Weights) -> Any:
    import torchvision

    with in_one_line(f"weights.pretrained: torchvision publishes no weights of {spec.model}"):
        known = torchvision.models.get_model_weights(spec.model)
    if weights.pretrained is True:
        return known["DEFAULT"]
    if weights.pretrained not in known.__members__:
        raise UserError(
            f"weights.pretrained: torchvision has no {weights.pretrained!r} of {spec.model}; "
            f"allowed: {', '.join(known.__members__)}"
        )
    return known[weights.pretrained]


def _torchvision_tag(spec: TorchvisionModel, weights: Weights) -> dict[str, Any]:
    found = _torchvision_weights(spec, weights)
    transform = found.transforms()
    side = transform.crop_size[0]
    return {
        "channels": 3,
        "size": (side, side),
        "mean": list(transform.mean),
        "std": list(transform.std),
        "classes": list(dict.fromkeys(found.meta["categories"])),
    } | _repeated(found.meta["categories"])


def _repeated(categories: Sequence[str]) -> dict[str, int]:
    """ImageNet names two classes alike: then only their number is known."""
    return {} if len(set(categories)) == len(categories) else {"classes": len(categories)}


def published(spec: Family, weights: Weights) -> dict[str, torch.Tensor]:
    """The tensors that a library publishes, downloaded where they are not there yet."""
    failed = f"weights {weights.pretrained} of {getattr(spec, 'model', '')} cannot be had"
    with in_one_line(failed):
        if isinstance(spec, TimmModel):
            import timm

            name = _timm_name(spec, weights)
            return timm.create_model(name, pretrained=True, **spec.arguments).state_dict()
        assert isinstance(spec, TorchvisionModel)
        found = _torchvision_weights(spec, weights)
        return found.get_state_dict(progress=False, check_hash=True)
