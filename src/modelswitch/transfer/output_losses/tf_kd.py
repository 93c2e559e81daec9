"""A made-up teacher that is sure of the true class (Tf-KD_reg, Yuan et al. 2020)."""

import torch

from modelswitch.transfer.output_losses.kl import kl


def tf_kd_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor,
    *,
    correct: float,
) -> torch.Tensor:
    """KL(softmax(d / T) || softmax(s)), one value a sample [B].

    d is ``correct`` for the true class, the others share the rest. As in the authors' code these
    probabilities stand where logits would, and the student's logits are not divided by T.

    Args:
        student: logits [B, C].
        teacher: not used.
        labels: true classes [B].
    """
    rest = (1 - correct) / (student.shape[1] - 1)
    made = torch.full_like(student, rest).scatter(1, labels[:, None], correct)
    return kl(student.log_softmax(1), (made / temperature).log_softmax(1))
