"""Correlations within samples and within classes (DIST, Huang et al. 2022)."""

import torch

from modelswitch.transfer.output_losses.kl import in_safe_precision, never_negative

# What torch's cosine similarity has, which the authors use.
_EPSILON = 1e-8
# A correlation's gradient grows as 1 / deviation without bound. Below this relative deviation of
# a student's probabilities, times T that of its logits, their deviation counts as this.
_SMALLEST_DEVIATION = 0.1


def dist_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    labels: torch.Tensor | None = None,
    *,
    beta: float,
    gamma: float,
) -> torch.Tensor:
    """T^2 (beta inter + gamma intra), one value a sample [B].

    inter is 1 - the correlation over classes of a sample's softened outputs, intra 1 - the
    correlation over the batch of a class's, averaged over classes: the same for all samples.

    Args:
        student, teacher: logits [B, C].
        labels: not used.
    """
    given, smallest = student.dtype, _SMALLEST_DEVIATION / temperature
    student, teacher = in_safe_precision(temperature, student, teacher)
    ours, theirs = ((logits / temperature).softmax(1) for logits in (student, teacher))
    inter = _unlike(ours, theirs, smallest)
    intra = _unlike(ours.T, theirs.T, smallest).mean()
    return (temperature**2 * (beta * inter + gamma * intra)).to(given)


def _unlike(ours: torch.Tensor, theirs: torch.Tensor, smallest: float) -> torch.Tensor:
    """1 - the correlation of every row, from 0 to 2; 1 where a row is constant."""
    mean = ours.mean(1, keepdim=True)
    ours, theirs = ours - mean, theirs - theirs.mean(1, keepdim=True)
    least = (smallest * mean.detach().squeeze(1) * ours.shape[1] ** 0.5).clamp_min(_EPSILON)
    norms = torch.maximum(ours.norm(dim=1), least) * theirs.norm(dim=1).clamp_min(_EPSILON)
    return never_negative(1 - (ours * theirs).sum(1) / norms)
