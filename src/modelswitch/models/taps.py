"""What an inner layer gives while its model runs, by forward hooks: the model stays as it is."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import nn

from modelswitch.errors import UserError


class Tap:
    """What one layer gave in one pass of its model."""

    def __init__(self, layer: str, owner: str) -> None:
        self._layer, self._owner = layer, owner
        self._kept: list[torch.Tensor] = []
        self._differentiable = torch.is_grad_enabled()

    def keep(self, output: Any) -> torch.Tensor:
        if not isinstance(output, torch.Tensor):
            raise self._refusal(f"gives {type(output).__name__}, not one tensor")
        if self._differentiable and not output.requires_grad:
            raise self._refusal(
                "gives a tensor without gradient, so nothing in front of it would be trained: all "
                "of it is frozen, or runs under no_grad or reentrant checkpointing"
            )
        self._kept.append(output)
        return output

    @property
    def output(self) -> torch.Tensor:
        """Raises `UserError` if the layer did not run, or more than once."""
        if len(self._kept) != 1:
            times = len(self._kept)
            raise self._refusal(f"is called {times} times in this pass, a hint needs one call")
        return self._kept[0]

    def _refusal(self, reason: str) -> UserError:
        return UserError(f"{self._owner}: the layer {self._layer!r} {reason}")


@contextlib.contextmanager
def tap(model: nn.Module, layer: str, owner: str) -> Iterator[Tap]:
    """A `Tap` on a layer for the pass of ``model`` in the block, with a copy of its output.

    A copy, for what comes behind the layer may work in place. Nothing stays on the model.

    Args:
        layer: the module's path.
        owner: of the model, for messages.
    """
    tapped = Tap(layer, owner)

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        # Registered last, so that it sees what the user's own hooks have made of the output.
        if isinstance(output, torch.Tensor):
            output = output.clone()
        tapped.keep(output)

    handle = model.get_submodule(layer).register_forward_hook(keep)
    try:
        yield tapped
    finally:
        handle.remove()


@contextlib.contextmanager
def taps(model: nn.Module, layers: Collection[str], owner: str) -> Iterator[dict[str, Tap]]:
    """A `Tap` on each of the layers by its path, see `tap`."""
    with contextlib.ExitStack() as stack:
        yield {layer: stack.enter_context(tap(model, layer, owner)) for layer in layers}


class _ReachedError(BaseException):
    """Ends a pass at its layer. No `Exception`, which a model may catch."""


def run_until(model: nn.Module, layer: str, images: torch.Tensor, owner: str) -> torch.Tensor:
    """A layer's output for ``images``; nothing behind the layer runs.

    Raises:
        UserError: the layer did not run, gave no tensor, or the model went on behind it.
    """
    return run_until_all(model, [layer], images, owner)[layer]


def run_until_all(
    model: nn.Module, layers: Collection[str], images: torch.Tensor, owner: str
) -> dict[str, torch.Tensor]:
    """The outputs of layers for ``images``, by path; nothing behind the last of them runs.

    Raises:
        UserError: a layer did not run or gave no tensor, or the model went on behind the last.
    """
    tapped = {layer: Tap(layer, owner) for layer in layers}
    missing = set(layers)
    reached = _ReachedError()

    def keep(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            missing.discard(layer)
            # What comes behind may work in place, of which nothing does at the last layer.
            if missing and isinstance(output, torch.Tensor):
                output = output.clone()
            tapped[layer].keep(output)
            if not missing:
                raise reached

        return hook

    with contextlib.ExitStack() as hooks:
        for layer in layers:
            handle = model.get_submodule(layer).register_forward_hook(keep(layer))
            hooks.callback(handle.remove)
        try:
            model(images)
        except _ReachedError as end:
            if end is not reached:
                raise
            return {layer: tap.output for layer, tap in tapped.items()}
    if not missing:
        raise UserError(
            f"{owner}: its forward catches every exception, so a pass cannot be ended at the layer "
            f"{list(layers)[-1]!r}; write `except Exception`"
        )
    return {layer: tap.output for layer, tap in tapped.items()}
