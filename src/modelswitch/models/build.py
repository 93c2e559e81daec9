"""A fresh model from its specification."""

from torch import nn

from modelswitch.config.models import (
    ImportedModel,
    ModelSpec,
    PlainModel,
    ResnetModel,
    TimmModel,
    TorchvisionModel,
)
from modelswitch.errors import UserError
from modelswitch.models.families import from_timm, from_torchvision, imported, plain, resnet

_BUILDERS = {
    PlainModel: plain,
    ResnetModel: resnet,
    TimmModel: from_timm,
    TorchvisionModel: from_torchvision,
    ImportedModel: imported,
}


def build(spec: ModelSpec, in_channels: int, num_classes: int) -> nn.Module:
    """A fresh model from its specification, weights drawn from torch's default generator.

    Raises `UserError` for unknown names and for arguments that the model does not take.
    """
    try:
        return _BUILDERS[type(spec)](spec, in_channels, num_classes)
    except (TypeError, ValueError) as error:
        if isinstance(spec, PlainModel | ResnetModel):
            raise
        name = getattr(spec, "model", None) or spec.path
        raise UserError(f"model {name}: cannot be built with these arguments ({error})") from error
