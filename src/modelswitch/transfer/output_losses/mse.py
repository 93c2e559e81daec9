"""Mean squared difference of logits (Ba and Caruana 2014; Kim et al. 2021)."""

import torch

from modelswitch.transfer.stored import LOWEST


def mse_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor | None = None,
    *,
    centred: bool,
) -> torch.Tensor:
    """(s - t)^2, averaged over classes, one value a sample [B].

    Classes that a teacher rules out, by logits of -inf or as far down as half precision goes, are
    left out.

    Args:
        student, teacher: logits [B, C].
        temperature, labels: not used.
        centred: whether both have the mean over classes taken off first.
    """
    known = teacher > LOWEST
    count = known.sum(1, keepdim=True)

    def of_known(logits: torch.Tensor) -> torch.Tensor:
        logits = logits.masked_fill(~known, 0)
        mean = logits.sum(1, keepdim=True) / count if centred else 0
        return (logits - mean).masked_fill(~known, 0)

    difference = of_known(student) - of_known(teacher)
    return difference.square().sum(1) / count.squeeze(1)
