"""The metrics that trainings watch, and none from answers that are no numbers; the others stand in
`config/metrics.py`.

A change here is a change of the training code, after which everything is trained again.
"""

import torch
import torch.nn.functional as F

from modelswitch.errors import UserError


def finite(logits: torch.Tensor) -> torch.Tensor:
    """``logits`` [N, C] themselves; raises `UserError` unless all of them are finite.

    The largest of some values among which one is no number is the first class to `argmax`: a model
    that answers nothing would have an accuracy.
    """
    wrong = ~torch.isfinite(logits)
    if wrong.any():
        value, images = logits[wrong][0].item(), int(wrong.any(1).sum())
        raise UserError(
            f"the answers to {images} of {len(logits)} images hold {value}, so nothing can be "
            "measured (to leave a class out, give it a large negative logit)"
        )
    return logits


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of samples whose largest logit is the true class's; of equal ones the first counts."""
    return (finite(logits).argmax(1) == labels).double().mean().item()


def negative_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of -log p(true class), in nats."""
    return F.cross_entropy(finite(logits).double(), labels).item()


def constant_guess(labels: torch.Tensor) -> dict[str, float]:
    """The best `accuracy` and `nll` of one answer to all images: naming the largest class, and the
    classes' shares as probabilities."""
    shares = torch.bincount(labels).double() / len(labels)
    return {"accuracy": shares.max().item(), "nll": torch.special.entr(shares).sum().item()}


def at_chance(logits: torch.Tensor, labels: torch.Tensor) -> bool:
    """Whether answers tell no more than the best constant guess.

    No constant answer beats it in either figure (the second by Gibbs' inequality), so a network
    that died is always found. One whose accuracy is above by no more than two standard errors of
    the guess's, and whose log-likelihood is not above either, counts as no better.
    """
    guess = constant_guess(labels)
    error = (guess["accuracy"] * (1 - guess["accuracy"]) / len(labels)) ** 0.5
    return (
        accuracy(logits, labels) <= guess["accuracy"] + 2 * error
        and negative_log_likelihood(logits, labels) >= (1 - 1e-9) * guess["nll"]
    )
