"""Decoupled distillation (Zhao et al. 2022): the target class and the others, weighted apart."""

import torch
import torch.nn.functional as F

from modelswitch.transfer.output_losses.kl import in_safe_precision, kl


def dkd_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor,
    *,
    alpha: float,
    beta: float,
) -> torch.Tensor:
    """T^2 (alpha TCKD + beta NCKD), one value a sample [B].

    TCKD is the divergence of the true class against all others together, NCKD that among the
    others alone (equation 7 of the paper).

    Args:
        student, teacher: logits [B, C].
        labels: true classes [B].
    """
    given, t = student.dtype, temperature
    student, teacher = in_safe_precision(t, student, teacher)
    log_student = F.log_softmax(student / t, dim=1)
    log_teacher = F.log_softmax(teacher / t, dim=1)
    # Picked by number and not by a mask, of which the host would have to know the size.
    truth = labels[:, None]
    others = torch.arange(student.shape[1] - 1, device=labels.device)
    others = others + (others >= truth)

    def target_and_rest(log_p: torch.Tensor) -> torch.Tensor:
        rest = log_p.scatter(1, truth, -torch.inf).logsumexp(1)
        return torch.cat([log_p.gather(1, truth), rest[:, None]], dim=1)

    other_students = (student / t).gather(1, others).log_softmax(1)
    other_teachers = (teacher / t).gather(1, others).log_softmax(1)
    # A teacher that rules out all others has no opinion about them: nothing to be learned there.
    other_teachers = torch.where(other_teachers.isnan(), other_students.detach(), other_teachers)
    target = kl(target_and_rest(log_student), target_and_rest(log_teacher))
    non_target = kl(other_students, other_teachers)
    return (t**2 * (alpha * target + beta * non_target)).to(given)
