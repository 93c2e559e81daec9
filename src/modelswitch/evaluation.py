"""What a model answers on a set, and metrics computed from those answers."""

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.views import Normaliser

# More is no faster on a processor, and in float32 a wide layer takes half a megabyte an image.
_BATCH = 250


@torch.inference_mode()
def answers(
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


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of samples whose largest logit is the true class's."""
    return (logits.argmax(1) == labels).double().mean().item()


def top_k_accuracy(logits: torch.Tensor, labels: torch.Tensor, k: int = 5) -> float:
    """Share of samples whose true class is among the ``k`` largest logits."""
    return (logits.topk(k, dim=1).indices == labels[:, None]).any(1).double().mean().item()


def negative_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of -log p(true class), in nats."""
    return F.cross_entropy(logits.double(), labels).item()


def calibration_error(logits: torch.Tensor, labels: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error over equal bins of confidence (Guo et al. 2017)."""
    confidence, predicted = logits.double().softmax(1).max(1)
    right = (predicted == labels).double()
    index = (confidence * bins).long().clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add(0, index, right - confidence)
    return (gap.abs().sum() / len(labels)).item()


def agreement(logits: torch.Tensor, teacher: torch.Tensor) -> float:
    """Share of samples on which two models name the same class."""
    return (logits.argmax(1) == teacher.argmax(1)).double().mean().item()


def metrics(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Accuracy, top-5 accuracy (more than 5 classes), negative log-likelihood, calibration."""
    result = {
        "accuracy": accuracy(logits, labels),
        "nll": negative_log_likelihood(logits, labels),
        "ece": calibration_error(logits, labels),
    }
    if logits.shape[1] > 5:
        result["top5"] = top_k_accuracy(logits, labels)
    return result
