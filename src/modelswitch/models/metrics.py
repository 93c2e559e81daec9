"""Metrics computed from a model's answers."""

import torch
import torch.nn.functional as F


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


def answer_metrics(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Accuracy, top-5 accuracy (more than 5 classes), negative log-likelihood, calibration."""
    result = {
        "accuracy": accuracy(logits, labels),
        "nll": negative_log_likelihood(logits, labels),
        "ece": calibration_error(logits, labels),
    }
    if logits.shape[1] > 5:
        result["top5"] = top_k_accuracy(logits, labels)
    return result
