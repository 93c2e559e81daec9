"""Losses of a transfer, as validated values: what is compared, of outputs and of inner layers."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from modelswitch.config.base import Imported, Strict


class KlLoss(Strict):
    """Kullback-Leibler divergence of softened outputs (Hinton 2015)."""

    name: Literal["kl"] = "kl"


class DkdLoss(Strict):
    """Target-class and non-target-class parts of that divergence, weighted apart (Zhao 2022)."""

    name: Literal["dkd"] = "dkd"
    alpha: Annotated[float, Field(ge=0)] = Field(default=1.0, description="target-class part")
    beta: Annotated[float, Field(ge=0)] = Field(default=8.0, description="non-target part")


class StandardisedLoss(Strict):
    """The divergence of z-scored logits (Sun 2024); the transfer's `temperature` is not used."""

    name: Literal["standardised"] = "standardised"
    base_temperature: Annotated[float, Field(gt=0)] = 2.0


class MseLoss(Strict):
    """Mean squared error through a regressor that is trained along (FitNets, Romero 2015)."""

    name: Literal["mse"] = "mse"


class ImportedLoss(Imported):
    """A user's own loss."""

    name: Literal["import"]


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


OutputLoss = Annotated[
    Annotated[KlLoss | DkdLoss | StandardisedLoss | ImportedLoss, Field(discriminator="name")],
    BeforeValidator(_named),
]
InnerLoss = Annotated[
    Annotated[MseLoss | ImportedLoss, Field(discriminator="name")],
    BeforeValidator(_named),
]
