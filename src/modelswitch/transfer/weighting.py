"""Rules that set the balance of soft and hard loss for each sample.

A rule is a pure function of `Samples` and its own parameters. It returns one weight for the soft
and one for the hard loss of every sample, and the soft loss itself: the transfer's, for the
teacher's logits or for those that the rule makes of them. Gradients flow through the soft loss
alone, never through a weight.

``soft`` is the weight lambda of the soft loss and ``1 - soft`` that of the hard loss, unless a rule
says otherwise.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from modelswitch.config.weighting import ImportedWeighting, WeightingSpec
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.output_losses.registry import SoftLoss
from modelswitch.user_code import import_object


@dataclass(frozen=True)
class Samples:
    """Student and teacher logits [B, C] (float32), labels [B], the transfer's ``soft``,
    ``temperature`` and output loss, and the epoch, counted from 0."""

    student: torch.Tensor
    teacher: torch.Tensor
    labels: torch.Tensor
    soft: float
    temperature: float
    epoch: int
    loss: SoftLoss = soft_loss

    def soft_loss(self, teacher: torch.Tensor | None = None) -> torch.Tensor:
        """The transfer's output loss [B], for other logits of a ``teacher`` if they are given."""
        target = self.teacher if teacher is None else teacher
        return self.loss(self.student, target, self.temperature, self.labels)

    @property
    def teacher_right(self) -> torch.Tensor:
        """bool [B]: the teacher's largest logit is the true class's."""
        return self.teacher.argmax(1) == self.labels


class Balance(NamedTuple):
    """Weights of the soft and the hard loss, and the soft loss, each [B]."""

    soft_weight: torch.Tensor
    hard_weight: torch.Tensor
    soft_loss: torch.Tensor


Rule = Callable[..., Balance]
RULES: dict[str, Rule] = {}


def register(name: str) -> Callable[[Rule], Rule]:
    def add(rule: Rule) -> Rule:
        RULES[name] = rule
        return rule

    return add


def rule_for(spec: WeightingSpec, **arguments: float) -> Rule:
    """The rule that a specification names, its parameters bound."""
    if isinstance(spec, ImportedWeighting):
        return _on_copies(functools.partial(import_object(spec.path), **spec.arguments))
    given = spec.model_dump(exclude={"rule", "to"}) | arguments
    return functools.partial(RULES[spec.rule], **given)


def _on_copies(rule: Rule) -> Rule:
    """A user's own rule, whose work in place nobody else sees."""

    def on_copies(samples: Samples) -> Balance:
        names = ("student", "teacher", "labels")
        copies = {name: getattr(samples, name).clone() for name in names}
        return rule(dataclasses.replace(samples, **copies))

    return on_copies


def _balance(samples: Samples, soft: torch.Tensor) -> Balance:
    soft = soft.detach().clamp(0, 1)
    return Balance(soft, 1 - soft, samples.soft_loss())


def _all(samples: Samples, value: float) -> torch.Tensor:
    return torch.full_like(samples.student[:, 0], value).detach()


@register("fixed")
def fixed(samples: Samples) -> Balance:
    """The same balance for every sample."""
    return _balance(samples, _all(samples, samples.soft))


def _shifted(samples: Samples, right: torch.Tensor, delta: float) -> Balance:
    shift = torch.where(right, delta, -delta).to(samples.student.dtype)
    return _balance(samples, samples.soft + shift)


@register("correctness")
def correctness(samples: Samples, delta: float) -> Balance:
    """soft + delta where the teacher is right, soft - delta where it is wrong."""
    return _shifted(samples, samples.teacher_right, delta)


@register("hard_switch")
def hard_switch(samples: Samples) -> Balance:
    """Soft loss alone where the teacher is right, hard loss alone where it is wrong.

    Meng et al. 2019; the limit of `correctness`.
    """
    return _shifted(samples, samples.teacher_right, 1.0)


@register("confidence")
def confidence(samples: Samples, delta: float) -> Balance:
    """A shift of delta (2p - 1), p being the teacher's probability of the true class."""
    probability = samples.teacher.softmax(1).gather(1, samples.labels[:, None]).squeeze(1)
    return _balance(samples, samples.soft + delta * (2 * probability - 1))


@register("wsl")
def wsl(samples: Samples) -> Balance:
    """Weighted soft labels (Zhou et al. 2021): soft (1 - exp(-CE_student / CE_teacher)), T = 1."""
    student = F.cross_entropy(samples.student.detach(), samples.labels, reduction="none")
    teacher = F.cross_entropy(samples.teacher, samples.labels, reduction="none")
    factor = 1 - torch.exp(-student / teacher.clamp_min(1e-7))
    return Balance(samples.soft * factor, _all(samples, 1 - samples.soft), samples.soft_loss())


@register("adjusted")
def adjusted(samples: Samples) -> Balance:
    """Knowledge adjustment (Wen et al. 2019) by probability shift.

    Where the teacher is wrong, its top class and the true class change their logits, and with
    that their probabilities at any temperature.
    """
    truth = samples.labels[:, None]
    top = samples.teacher.argmax(1, keepdim=True)
    swapped = samples.teacher.scatter(1, truth, samples.teacher.gather(1, top))
    swapped = swapped.scatter(1, top, samples.teacher.gather(1, truth))
    # Where top and truth coincide both scatters write the same value to the same place.
    loss = samples.soft_loss(swapped)
    return Balance(_all(samples, samples.soft), _all(samples, 1 - samples.soft), loss)


@register("weighted")
def weighted(samples: Samples, soft_weight: float, hard_weight: float, warmup: int = 0) -> Balance:
    """Weights that are given, that of the soft loss growing to its value over ``warmup`` epochs.

    ``soft`` is not used.
    """
    growth = min((samples.epoch + 1) / warmup, 1.0) if warmup else 1.0
    soft, hard = _all(samples, soft_weight * growth), _all(samples, hard_weight)
    return Balance(soft, hard, samples.soft_loss())


@register("shuffled")
def shuffled(samples: Samples, delta: float) -> Balance:
    """Control: as `correctness`, right and wrong permuted over the samples of the batch.

    The permutation is drawn from torch's default generator, which the training loop seeds.
    """
    order = torch.randperm(len(samples.labels)).to(samples.labels.device)
    return _shifted(samples, samples.teacher_right[order], delta)


@register("matched")
def matched(samples: Samples, soft_weight: float, hard_weight: float) -> Balance:
    """Control: the mean weights that another transfer used, the same for every sample."""
    return Balance(_all(samples, soft_weight), _all(samples, hard_weight), samples.soft_loss())
