"""What a model answers on a set."""

import torch
from torch import nn

from modelswitch.data.views import Normaliser

# More is no faster on a processor, and in float32 a wide layer takes half a megabyte an image.
_BATCH = 250


@torch.inference_mode()
def logits_on(
    model: nn.Module,
    images: torch.Tensor,
    normalise: Normaliser,
    device: torch.device | str = "cpu",
    batch: int = _BATCH,
) -> torch.Tensor:
    """Logits float32 [N, C] of uint8 images [N, H, W, C], on the CPU, in their order."""
    model.eval()
    result = torch.empty(0)
    for start in range(0, len(images), batch):
        logits = model(normalise(images[start : start + batch].to(device)))
        if not start:
            # All of it before the rest: a small block for each batch would stay in memory between
            # the large ones, which then fit nowhere again (hundreds of megabytes, by chance).
            result = torch.empty(len(images), *logits.shape[1:])
        result[start : start + batch] = logits
    return result
