"""What a model answers on a set."""

import weakref
from typing import Protocol

import torch
from torch import nn

from modelswitch.data.views import Normaliser
from modelswitch.execution.malloc import give_back_freed
from modelswitch.models import metrics
from modelswitch.models.memory import answering_bytes

# More is no faster on a processor, and in float32 a wide layer takes half a megabyte an image.
BATCH = 250
# Bytes that a pass may hold at once beside the weights; a training step of such a model holds more.
BUDGET = 512 * 2**20
# Bytes of images in a pass, from which on what is free should not stay beside it.
_LARGE = 64 * 2**20
# A pass on its own is a few percent of the smallest evaluation, so each model is tried once.
_tried: weakref.WeakKeyDictionary[nn.Module, dict[object, tuple[int, int]]] = (
    weakref.WeakKeyDictionary()
)


class Images(Protocol):
    """Images uint8 [N, H, W, C], in memory or made when a slice of them is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> torch.Tensor: ...


@torch.inference_mode()
def images_at_once(model: nn.Module, image: torch.Tensor, most: int = BATCH) -> int:
    """Images in one pass of a model in eval mode: ``most``, or as many as `BUDGET` has room for.

    Args:
        image: normalised, [1, C, H, W], to measure with.
    """
    kind = image.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    asked = (tuple(image.shape), image.device, mixed)
    tried = _tried.setdefault(model, {})
    if asked not in tried:
        tried[asked] = answering_bytes(model, image)
    fixed, each = tried[asked]
    return max(1, min(most, (BUDGET - fixed) // each))


@torch.inference_mode()
def logits_on(
    model: nn.Module,
    images: Images,
    normalise: Normaliser,
    device: torch.device | str = "cpu",
    batch: int = BATCH,
) -> torch.Tensor:
    """Logits float32 [N, C] of uint8 images [N, H, W, C], on the CPU, in their order.

    At most ``batch`` images are answered at once, see `images_at_once`.

    Raises:
        UserError: some of them are no finite numbers.
    """
    model.eval()
    result = torch.empty(0)
    if len(images):
        first = normalise(images[:1].to(device))
        if min(batch, len(images)) * first.nbytes >= _LARGE:
            # A training's freed blocks are of other sizes.
            give_back_freed()
        batch = images_at_once(model, first, batch)
    for start in range(0, len(images), batch):
        logits = model(normalise(images[start : start + batch].to(device)))
        if not start:
            # All of it before the rest: a small block for each batch would stay in memory between
            # the large ones, which then fit nowhere again (hundreds of megabytes, by chance).
            result = torch.empty(len(images), *logits.shape[1:])
        result[start : start + batch] = logits
    return metrics.finite(result)
