"""What a recogniser makes of an image before it names a class: its last linear layer's input."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from modelswitch.data.views import Normaliser
from modelswitch.errors import UserError
from modelswitch.models.answers import BATCH, images_at_once
from modelswitch.models.isolation import left_as_it_was
from modelswitch.models.metrics import finite
from modelswitch.models.taps import Tap


def last_linear(model: nn.Module, example: torch.Tensor, owner: str) -> str:
    """The path of the linear layer whose output is the model's answer.

    Args:
        example: one normalised image [1, C, H, W].
        owner: of the model, for messages.

    Raises:
        UserError: no linear layer gives the answer, so that no vector stands for an image.
    """
    ran: list[tuple[str, torch.Tensor]] = []

    def noted(path: str):
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            ran.append((path, output.detach().clone()))

        return hook

    handles = [
        module.register_forward_hook(noted(path))
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with left_as_it_was(model), torch.no_grad():
            answer = model.eval()(example.clone())
    finally:
        for handle in handles:
            handle.remove()
    if not ran or ran[-1][1].shape != answer.shape or not torch.equal(ran[-1][1], answer):
        raise UserError(
            f"{owner}: its answer is not the output of one last linear layer, whose input could "
            "stand for an image; verification needs recognisers that end in one"
        )
    return ran[-1][0]


@contextlib.contextmanager
def _tap_input(model: nn.Module, layer: str, owner: str) -> Iterator[Tap]:
    """A `Tap` on what a layer is given."""
    tapped = Tap(layer, owner)

    def keep(module: nn.Module, inputs: Any) -> None:
        tapped.keep(inputs[0])

    handle = model.get_submodule(layer).register_forward_pre_hook(keep)
    try:
        yield tapped
    finally:
        handle.remove()


@torch.inference_mode()
def embeddings_of(
    model: nn.Module,
    images: torch.Tensor,
    normalise: Normaliser,
    device: torch.device | str,
    owner: str,
) -> torch.Tensor:
    """Inputs float32 [N, D] of the last linear layer for uint8 images [N, H, W, C], on the CPU."""
    model.eval()
    example = normalise(images[:1].to(device))
    layer = last_linear(model, example, owner)
    batch = images_at_once(model, example, BATCH)
    parts = []
    for start in range(0, len(images), batch):
        with _tap_input(model, layer, owner) as tapped:
            model(normalise(images[start : start + batch].to(device)))
        parts.append(tapped.output.flatten(1).float().cpu())
    return finite(torch.cat(parts))
