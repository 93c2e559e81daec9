"""Kullback-Leibler divergence of softened outputs (Hinton et al. 2015)."""

import torch
import torch.nn.functional as F

# Between these, the rounding of float32 times T^2 is below a ten-thousandth. At T = 1e5 it would be
# larger than the loss.
_FLOAT32 = (0.01, 32.0)


def soft_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """T^2 KL(softmax(t/T) || softmax(s/T)), summed over classes, one value a sample [B].

    The square keeps the gradient's size as T changes (Hinton et al. 2015).

    Args:
        student, teacher: logits [B, C]; a teacher's may be -inf for classes that it rules out.
        labels: not used.
    """
    given = student.dtype
    student, teacher = in_safe_precision(temperature, student, teacher)
    divergence = kl(
        F.log_softmax(student / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1)
    )
    return (temperature**2 * divergence).to(given)


def kl(log_student: torch.Tensor, log_teacher: torch.Tensor) -> torch.Tensor:
    """KL(teacher || student) [B] of log-probabilities [B, K], never below zero.

    A class of which the teacher is certain that it is not there adds nothing, whatever the student
    thinks of it.
    """
    parts = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return never_negative(parts.masked_fill(log_teacher == -torch.inf, 0).sum(1))


def never_negative(value: torch.Tensor) -> torch.Tensor:
    """``value`` of two things that may be the same but for rounding, which would decide its sign.

    The gradient has no such trouble, and stays.
    """
    return value + (-value.detach()).clamp_min(0)


def in_safe_precision(temperature: float, *logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The logits, in float64 where a temperature would make float32's rounding count."""
    lowest, highest = _FLOAT32
    if lowest <= temperature <= highest:
        return logits
    return tuple(each.double() for each in logits)
