"""The metrics that trainings watch; the others stand in `config/metrics.py`.

A change here is a change of the training code, after which everything is trained again.
"""

import torch
import torch.nn.functional as F


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of samples whose largest logit is the true class's; of equal ones the first counts."""
    return (logits.argmax(1) == labels).double().mean().item()


def negative_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of -log p(true class), in nats."""
    return F.cross_entropy(logits.double(), labels).item()
