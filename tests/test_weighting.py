"""Weighting rules against formulas written out sample by sample in double precision."""

import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from modelswitch.config.weighting import (
    ConfidenceWeighting,
    CorrectnessWeighting,
    ImportedWeighting,
    WeightedWeighting,
)
from modelswitch.transfer.output_losses.dkd import dkd_loss
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.output_losses.standardised import standardised_loss
from modelswitch.transfer.weighting import RULES, Samples, rule_for

PARAMETERS = {
    "correctness": {"delta": 0.2},
    "confidence": {"delta": 0.2},
    "shuffled": {"delta": 0.2},
    "weighted": {"soft_weight": 9.0, "hard_weight": 0.1, "warmup": 20},
    "matched": {"soft_weight": 0.3, "hard_weight": 0.6},
}


def samples(count=64, classes=7, seed=0, soft=0.6, temperature=3.0, epoch=0):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3 * torch.randn(count, classes, generator=generator) for _ in range(2))
    labels = torch.randint(classes, (count,), generator=generator)
    # A good teacher: right on most samples, as teachers are.
    teacher[torch.arange(count), labels] += 3
    return Samples(student.requires_grad_(), teacher, labels, soft, temperature, epoch)


def probabilities(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [p / sum(powers) for p in powers]


@given(st.integers(0, 50), st.floats(0.5, 20))
def test_the_soft_loss_is_t_squared_times_kl_summed_over_classes(seed, temperature):
    s = samples(count=3, seed=seed)
    loss = soft_loss(s.student.double(), s.teacher.double(), temperature)
    for i in range(3):
        p = probabilities(s.teacher[i].tolist(), temperature)
        q = probabilities(s.student[i].tolist(), temperature)
        kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert loss[i].item() == pytest.approx(temperature**2 * kl, rel=1e-6, abs=1e-9)


def test_the_soft_loss_agrees_with_torchs_batch_mean():
    s = samples()
    expected = F.kl_div(
        F.log_softmax(s.student / 4, 1), F.softmax(s.teacher / 4, 1), reduction="batchmean"
    )
    torch.testing.assert_close(soft_loss(s.student, s.teacher, 4.0).mean(), 16 * expected)


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_gives_finite_weights_without_gradient_and_a_loss_with_one(name):
    balance = RULES[name](samples(), **PARAMETERS.get(name, {}))
    for weight in (balance.soft_weight, balance.hard_weight):
        assert weight.shape == (64,)
        assert not weight.requires_grad
        assert torch.isfinite(weight).all()
        assert (weight >= 0).all()
    assert balance.soft_loss.shape == (64,)
    balance.soft_loss.sum().backward()


def test_correctness_shifts_by_delta_and_stays_between_0_and_1():
    s = samples(soft=0.9)
    right = s.teacher.argmax(1) == s.labels
    assert 0 < right.sum() < len(right)
    balance = RULES["correctness"](s, delta=0.3)
    assert balance.soft_weight[right].tolist() == [1.0] * int(right.sum())
    assert balance.soft_weight[~right].tolist() == pytest.approx([0.6] * int((~right).sum()))
    torch.testing.assert_close(balance.soft_weight + balance.hard_weight, torch.ones(64))


def test_the_hard_switch_uses_one_loss_alone():
    s = samples()
    balance = RULES["hard_switch"](s)
    assert torch.equal(balance.soft_weight, s.teacher_right.float())
    assert torch.equal(balance.hard_weight, 1 - s.teacher_right.float())


def test_confidence_shifts_with_the_probability_of_the_true_class():
    s = samples()
    balance = RULES["confidence"](s, delta=0.2)
    for i in range(10):
        p = probabilities(s.teacher[i].tolist(), 1.0)[s.labels[i]]
        assert balance.soft_weight[i].item() == pytest.approx(0.6 + 0.2 * (2 * p - 1), abs=1e-5)


def test_wsl_follows_its_formula():
    s = samples()
    balance = RULES["wsl"](s)
    for i in range(10):
        student = -math.log(probabilities(s.student[i].tolist(), 1.0)[s.labels[i]])
        teacher = -math.log(probabilities(s.teacher[i].tolist(), 1.0)[s.labels[i]])
        expected = 0.6 * (1 - math.exp(-student / teacher))
        assert balance.soft_weight[i].item() == pytest.approx(expected, rel=1e-4)
    assert balance.hard_weight.unique().tolist() == pytest.approx([0.4])


def test_adjusting_swaps_the_top_and_the_true_probability_of_a_wrong_teacher():
    s = samples()
    loss = RULES["adjusted"](s).soft_loss
    for i in range(64):
        teacher = s.teacher[i].clone()
        top, truth = int(teacher.argmax()), int(s.labels[i])
        teacher[[top, truth]] = teacher[[truth, top]]
        expected = soft_loss(s.student[i : i + 1], teacher[None], 3.0)
        torch.testing.assert_close(loss[i : i + 1], expected)


def test_dkd_with_the_weight_of_the_teachers_rest_is_the_ordinary_soft_loss():
    # Zhao et al. 2022, equation 7: KL = TCKD + (1 - p_target) NCKD.
    s = samples(count=16)
    logits = s.student, s.teacher, 3.0, s.labels
    target = dkd_loss(*logits, alpha=1.0, beta=0.0)
    non_target = dkd_loss(*logits, alpha=0.0, beta=1.0)
    p = F.softmax(s.teacher / 3.0, 1).gather(1, s.labels[:, None]).squeeze(1)
    expected = soft_loss(s.student, s.teacher, 3.0)
    torch.testing.assert_close(target + (1 - p) * non_target, expected, rtol=1e-4, atol=1e-5)


def test_standardising_takes_shift_and_scale_out_of_the_logits():
    s = samples()
    first = standardised_loss(s.student, s.teacher, 3.0, base_temperature=2.0)
    second = standardised_loss(s.student * 5 + 2, s.teacher / 3 - 1, 3.0, base_temperature=2.0)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_standardising_follows_its_formula():
    # Sun et al. 2024: z-scores by the sample's own mean and (unbiased) deviation, then tau^2 KL.
    s = samples()
    loss = standardised_loss(s.student, s.teacher, 3.0, base_temperature=2.0)
    for i in range(10):
        p, q = (
            probabilities([(z - statistics.mean(row)) / statistics.stdev(row) for z in row], 2.0)
            for row in (s.teacher[i].tolist(), s.student[i].tolist())
        )
        expected = 4 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert loss[i].item() == pytest.approx(expected, rel=1e-4)


def test_dkd_weights_target_and_rest_by_alpha_and_beta():
    # Zhao et al. 2022: binary KL of target against rest, and KL among the rest, both times T^2.
    s = samples()
    loss = dkd_loss(s.student, s.teacher, 3.0, s.labels, alpha=1.5, beta=8.0)
    for i in range(10):
        y = int(s.labels[i])
        p, q = (probabilities(z[i].tolist(), 3.0) for z in (s.teacher, s.student))
        pairs = [(p[y], q[y]), (1 - p[y], 1 - q[y])]
        target = sum(a * math.log(a / b) for a, b in pairs)
        rest = [(p[j] / (1 - p[y]), q[j] / (1 - q[y])) for j in range(7) if j != y]
        expected = 9 * (1.5 * target + 8 * sum(a * math.log(a / b) for a, b in rest))
        assert loss[i].item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["fixed", "correctness", "confidence", "shuffled"])
def test_without_a_shift_a_rule_is_the_fixed_one(name):
    s = samples()
    parameters = {} if name == "fixed" else {"delta": 0.0}
    balance = RULES[name](s, **parameters)
    assert balance.soft_weight.unique().tolist() == pytest.approx([0.6])
    assert balance.hard_weight.unique().tolist() == pytest.approx([0.4])
    torch.testing.assert_close(balance.soft_loss, soft_loss(s.student, s.teacher, 3.0))


def test_rules_stay_finite_for_a_teacher_that_is_certain():
    # Logits as float16 holds them; the true class has all of the probability, or none.
    teacher = torch.tensor([[300.0, -300.0, -300.0], [300.0, -300.0, -300.0]])
    student = torch.zeros(2, 3, requires_grad=True)
    s = Samples(student, teacher, torch.tensor([0, 1]), 0.6, 3.0, 0)
    for name, rule in RULES.items():
        balance = rule(s, **PARAMETERS.get(name, {}))
        (balance.soft_weight * balance.soft_loss).sum().backward()
        assert torch.isfinite(balance.soft_weight).all(), name
        assert torch.isfinite(balance.soft_loss).all(), name
        assert torch.isfinite(student.grad).all(), name


def test_shuffling_has_nothing_to_do_with_who_is_right():
    s = samples(count=4096)
    torch.manual_seed(2)
    weights = RULES["shuffled"](s, delta=0.2).soft_weight
    right, wrong = (weights[chosen].mean() for chosen in (s.teacher_right, ~s.teacher_right))
    assert abs(right - wrong) < 0.02
    straight = RULES["correctness"](s, delta=0.2).soft_weight
    assert straight[s.teacher_right].mean() - straight[~s.teacher_right].mean() > 0.3


def test_shuffling_keeps_the_share_of_right_samples_and_moves_them():
    s = samples(count=512)
    torch.manual_seed(1)
    shuffled = RULES["shuffled"](s, delta=0.2).soft_weight
    straight = RULES["correctness"](s, delta=0.2).soft_weight
    assert torch.equal(shuffled.sort().values, straight.sort().values)
    assert not torch.equal(shuffled, straight)


def test_rules_are_resolved_from_specifications():
    s = samples()
    rule = rule_for(CorrectnessWeighting(rule="correctness", delta=0.1))
    assert torch.equal(rule(s).soft_weight, RULES["correctness"](s, delta=0.1).soft_weight)
    assert rule_for(WeightedWeighting(rule="weighted"))(s).hard_weight.unique().tolist() == [1.0]
    assert rule_for(ConfidenceWeighting(rule="confidence", delta=0.0))(s) is not None
    own = rule_for(ImportedWeighting(rule="import", path="test_weighting:all_soft"))
    assert own(s) == "all soft"


def all_soft(given: Samples) -> str:
    return "all soft"
