"""Rules that set the balance of soft and hard loss for each sample.

A rule is a pure function of a `Sample` batch and its own parameters. It returns one weight for the
soft and one for the hard loss of every sample, and the soft loss itself, which most rules leave as
it is. Gradients flow through the soft loss alone, never through a weight.

``soft`` is the weight lambda of the soft loss and ``1 - soft`` that of the hard loss, unless a rule
says otherwise.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from modelswitch.config.weighting import ImportedWeighting, WeightingSpec
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.user_code import import_object


@dataclass(frozen=True)
class Samples:
    """Student and teacher logits [B, C] (float32), labels [B], the transfer's ``soft`` and
    ``temperature``, and the epoch, counted from 0."""

    student: torch.Tensor
    teacher: torch.Tensor
    labels: torch.Tensor
    soft: float
    temperature: float
    epoch: int

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
        return functools.partial(import_object(spec.path), **spec.arguments)
    given = spec.model_dump(exclude={"rule", "to"}) | arguments
    return functools.partial(RULES[spec.rule], **given)


def _balance(samples: Samples, soft: torch.Tensor) -> Balance:
    soft = soft.detach().clamp(0, 1)
    loss = soft_loss(samples.student, samples.teacher, samples.temperature)
    return Balance(soft, 1 - soft, loss)


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
    loss = soft_loss(samples.student, samples.teacher, samples.temperature)
    return Balance(samples.soft * factor, _all(samples, 1 - samples.soft), loss)


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
    loss = soft_loss(samples.student, swapped, samples.temperature)
    return Balance(_all(samples, samples.soft), _all(samples, 1 - samples.soft), loss)


@register("dkd")
def dkd(samples: Samples, alpha: float, beta: float, warmup: int) -> Balance:
    """Decoupled distillation (Zhao et al. 2022): T^2 (alpha TCKD + beta NCKD).

    The hard loss has weight 1, the soft loss grows to 1 over ``warmup`` epochs; ``soft`` is not
    used.
    """
    t = samples.temperature
    log_student = F.log_softmax(samples.student / t, dim=1)
    log_teacher = F.log_softmax(samples.teacher / t, dim=1)
    truth = F.one_hot(samples.labels, samples.student.shape[1]).bool()

    def target_and_rest(log_p: torch.Tensor) -> torch.Tensor:
        rest = log_p.masked_fill(truth, -torch.inf).logsumexp(1)
        return torch.stack([log_p[truth], rest], dim=1)

    def kl(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
        return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)

    others = samples.student.shape[1] - 1
    non_target_student = (samples.student / t)[~truth].view(-1, others).log_softmax(1)
    non_target_teacher = (samples.teacher / t)[~truth].view(-1, others).log_softmax(1)
    target = kl(target_and_rest(log_student), target_and_rest(log_teacher))
    non_target = kl(non_target_student, non_target_teacher)
    growth = min((samples.epoch + 1) / warmup, 1.0) if warmup else 1.0
    loss = t**2 * (alpha * target + beta * non_target)
    return Balance(_all(samples, growth), _all(samples, 1.0), loss)


@register("standardised")
def standardised(samples: Samples, base_temperature: float, soft_weight: float) -> Balance:
    """Logit standardisation (Sun et al. 2024): z-scored logits at a base temperature.

    The hard loss has weight ``1 - soft``.
    """

    def z_score(logits: torch.Tensor) -> torch.Tensor:
        return (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + 1e-7)

    loss = soft_loss(z_score(samples.student), z_score(samples.teacher), base_temperature)
    return Balance(_all(samples, soft_weight), _all(samples, 1 - samples.soft), loss)


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
    loss = soft_loss(samples.student, samples.teacher, samples.temperature)
    return Balance(_all(samples, soft_weight), _all(samples, hard_weight), loss)
