"""Output losses against formulas in extended precision, where they are easy and where they are not:
constant logits, certain teachers, two classes, temperatures of a thousandth and of a million."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from modelswitch.config.losses import (
    DkdLoss,
    ImportedLoss,
    KlLoss,
    MseLoss,
    OutputLoss,
    StandardisedLoss,
)
from modelswitch.config.messages import describe
from modelswitch.config.transfer import Transfer
from modelswitch.config.weighting import CorrectnessWeighting, DkdWeighting
from modelswitch.errors import UserError
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.output_losses.registry import OUTPUT_LOSSES, output_loss_for
from modelswitch.transfer.weighting import Samples, rule_for

SETTINGS: dict[str, OutputLoss] = {
    "kl": KlLoss(),
    "dkd": DkdLoss(alpha=1.5, beta=8.0),
    "standardised": StandardisedLoss(base_temperature=2.0),
}
RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def same_draws():
    RANDOM.manual_seed(0)


def draw(classes, scale=3.0, count=16):
    return scale * torch.randn(count, classes, generator=RANDOM)


def one_hot(classes, height, count=16):
    return height * torch.eye(classes).repeat(count, 1)[:count]


# Student, teacher: what is drawn for a number of classes.
CASES = {
    "ordinary": lambda c: (draw(c), draw(c)),
    "equal": lambda c: (z := draw(c), z.clone()),
    "equal but for rounding": lambda c: (z := draw(c), z + 1e-6 * draw(c)),
    "constant student": lambda c: (torch.zeros(16, c), draw(c)),
    "constant student far from 0": lambda c: (torch.full((16, c), 3e4), draw(c)),
    "constant teacher": lambda c: (draw(c), torch.full((16, c), -7.3)),
    "both constant": lambda c: (torch.zeros(16, c), torch.ones(16, c)),
    "a teacher certain of the truth": lambda c: (draw(c), one_hot(c, 1e3)),
    "a teacher certain of another": lambda c: (draw(c), one_hot(c, 1e3).roll(1, 1)),
    "a teacher that rules the truth out": lambda c: (draw(c), -one_hot(c, 1e3)),
    "a student certain of another": lambda c: (one_hot(c, 1e3).roll(1, 1), draw(c)),
    "both certain, of two": lambda c: (one_hot(c, 1e4), one_hot(c, 1e4).roll(1, 1)),
    "rounded to bfloat16": lambda c: (draw(c).bfloat16().float(), draw(c).bfloat16().float()),
}
TEMPERATURES = (1e-3, 0.5, 1.0, 4.0, 20.0, 33.0, 1e5, 1e6)


def log_softmax(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def kl(log_q, log_p):
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(log_p), 0, np.exp(log_p) * (log_p - log_q)).sum(1)


def logsumexp(z):
    top = z.max(1, keepdims=True)
    return (top + np.log(np.exp(z - top).sum(1, keepdims=True)))[:, 0]


def expected(name, student, teacher, t, labels):
    """The losses as their papers have them, in extended precision."""
    s, z = (x.numpy().astype(np.longdouble) for x in (student, teacher))
    rows = np.arange(len(s))
    if name == "kl":
        return t**2 * kl(log_softmax(s / t), log_softmax(z / t))
    if name == "standardised":
        s, z = (
            (x - x.mean(1, keepdims=True)) / np.maximum(x.std(1, ddof=1, keepdims=True), floor)
            for x, floor in ((s, 0.1), (z, 1e-7))
        )
        return 4 * kl(log_softmax(s / 2), log_softmax(z / 2))
    others = np.ones(s.shape, bool)
    others[rows, labels] = False
    parts = [
        np.stack([lp[rows, labels], logsumexp(lp[others].reshape(len(s), -1))], 1)
        for lp in (log_softmax(s / t), log_softmax(z / t))
    ]
    rest = [log_softmax((x / t)[others].reshape(len(s), -1)) for x in (s, z)]
    return t**2 * (1.5 * kl(*parts) + 8 * kl(*rest))


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", OUTPUT_LOSSES)
def test_an_output_loss_follows_its_formula_is_not_negative_and_has_a_gradient(name, case, classes):
    student, teacher = CASES[case](classes)
    labels = torch.arange(16) % classes
    loss = output_loss_for(SETTINGS[name])
    for t in TEMPERATURES:
        ours = student.clone().requires_grad_()
        value = loss(ours, teacher, t, labels)
        assert value.shape == (16,)
        assert value.dtype == torch.float32
        assert (value >= 0).all(), t
        wanted = expected(name, student, teacher, t, labels.numpy())
        # What rounding can do: of float32's logits, and of float64's logarithms times T^2.
        bound = 3e-4 * max(1.0, float(student.abs().max())) + 1e-14 * t**2
        np.testing.assert_allclose(
            value.detach().numpy(), wanted.astype(float), rtol=2e-3, atol=bound, err_msg=f"T = {t}"
        )
        value.mean().backward()
        assert torch.isfinite(ours.grad).all(), t
        # The constant student of a head that starts at zero: nothing is thrown out of its way.
        assert ours.grad.abs().max() < 100 * max(1, t), t


@pytest.mark.parametrize("mask", [-1e9, -torch.inf])
@pytest.mark.parametrize("name", ["kl", "dkd"])
def test_a_class_that_a_teacher_rules_out_adds_nothing(name, mask):
    student, teacher = draw(5), draw(5)
    ruled_out = teacher.clone()
    ruled_out[:, 3] = mask
    ours = student.clone().requires_grad_()
    loss = output_loss_for(SETTINGS[name])
    value = loss(ours, ruled_out, 4.0, torch.zeros(16, dtype=torch.long))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(ours.grad).all()
    wanted = expected(name, student, ruled_out, 4.0, np.zeros(16, int))
    np.testing.assert_allclose(value.detach().numpy(), wanted.astype(float), rtol=1e-4)


def test_a_teacher_that_rules_out_all_but_one_class_teaches_nothing_about_the_others():
    teacher = torch.full((16, 4), -torch.inf)
    teacher[:, 1] = 2.0
    student = draw(4).requires_grad_()
    value = output_loss_for(DkdLoss(alpha=0.0))(student, teacher, 4.0, torch.ones(16).long())
    value.sum().backward()
    assert not value.any()
    assert student.grad.abs().max() < 1e-5


def test_a_head_that_starts_at_zero_is_not_thrown_out_of_its_way():
    """The gradient of z-scores grows as 1 / deviation; the authors' 1e-7 leaves 1e5 of it."""
    teacher, loss = draw(10), output_loss_for(SETTINGS["standardised"])

    def gradient(student):
        student = student.clone().requires_grad_()
        (9 * loss(student, teacher, 4.0, torch.zeros(16).long())).mean().backward()
        return student.grad.norm()

    usual = gradient(draw(10, scale=1.0))
    for student in (torch.zeros(16, 10), torch.full((16, 10), 3.7), draw(10, scale=1e-6)):
        assert gradient(student) < 20 * usual


def test_usual_temperatures_compute_as_they_did():
    """To the bit: a study goes on with the numbers that it began with."""
    student, teacher = draw(10).requires_grad_(), draw(10)
    for t in (0.5, 1.0, 4.0, 20.0):
        log_student, log_teacher = (torch.log_softmax(z / t, dim=1) for z in (student, teacher))
        parts = torch.nn.functional.kl_div(
            log_student, log_teacher, reduction="none", log_target=True
        )
        before = t**2 * parts.sum(1)
        now = soft_loss(student, teacher, t)
        assert torch.equal(before, now)
        gradients = [torch.autograd.grad(loss.sum(), student)[0] for loss in (before, now)]
        assert torch.equal(*gradients)


def squared(student, teacher, temperature, labels, scale=1.0):
    student.div_(temperature), teacher.div_(temperature), labels.zero_()
    return scale * (student - teacher).square().mean(1)


def one_value(student, teacher, temperature, labels):
    return (student - teacher).square().mean()


def no_gradient(student, teacher, temperature, labels):
    return (student.detach() - teacher).square().mean(1)


def test_a_users_own_loss_is_called_with_copies():
    settings = ImportedLoss(name="import", path="test_losses:squared", arguments={"scale": 2.0})
    student, teacher, labels = draw(3).requires_grad_(), draw(3), torch.arange(16) % 3
    before = student.detach().clone(), teacher.clone(), labels.clone()
    value = output_loss_for(settings)(student, teacher, 2.0, labels)
    torch.testing.assert_close(value, 2 * ((student - teacher) / 2).square().mean(1))
    for now, was in zip((student, teacher, labels), before, strict=True):
        assert torch.equal(now, was)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("one_value", "one value a sample"),
        ("no_gradient", "has no gradient"),
        ("draw", "fails on a small batch"),
        ("missing", "no 'missing'"),
    ],
)
def test_a_users_own_loss_that_does_not_work_is_told_in_a_line(function, said):
    with pytest.raises(UserError, match=said):
        output_loss_for(ImportedLoss(name="import", path=f"test_losses:{function}"))


def test_losses_are_chosen_by_name_or_with_their_settings():
    short = Transfer.model_validate({"loss": "dkd", "hint": {"mode": "joint", "loss": "mse"}})
    assert short.loss == DkdLoss(alpha=1.0, beta=8.0)
    assert short.hint.loss == MseLoss()
    full = Transfer.model_validate({"loss": {"name": "standardised", "base_temperature": 3}})
    assert full.loss == StandardisedLoss(base_temperature=3.0)
    assert Transfer().loss == KlLoss()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"loss": "mse"}, ["loss", "'mse'", "'kl', 'dkd', 'standardised', 'import'"]),
        ({"loss": {"name": "kl", "alpha": 1}}, ["loss: unknown key 'alpha'"]),
        ({"loss": {"alpha": 1}}, ["loss", "the key 'name' is missing"]),
        ({"loss": {"name": "import"}}, ["loss.path: missing"]),
        ({"hint": {"mode": "joint", "loss": "kl"}}, ["hint.loss", "'kl'", "'mse', 'import'"]),
        ({"loss": "dkd", "weighting": "standardised"}, ["loss: found 'dkd'", "'standardised'"]),
        ({"temperature": 1e7}, ["temperature", "1000000"]),
    ],
)
def test_a_loss_that_is_not_there_is_told_with_those_that_are(values, said):
    with pytest.raises(ValidationError) as caught:
        Transfer.model_validate(values)
    line = describe(caught.value, Transfer)
    for part in said:
        assert part in line, line


def test_a_rule_weights_whatever_loss_the_transfer_has():
    student, teacher, labels = draw(5).requires_grad_(), draw(5), torch.arange(16) % 5
    loss = output_loss_for(DkdLoss(alpha=1.0, beta=8.0))
    samples = Samples(student, teacher, labels, 0.6, 4.0, 0, loss)
    balance = rule_for(CorrectnessWeighting(rule="correctness", delta=0.2))(samples)
    assert torch.equal(balance.soft_loss, loss(student, teacher, 4.0, labels))
    own = Samples(student, teacher, labels, 0.6, 4.0, 100)
    rule = rule_for(DkdWeighting(rule="dkd"))
    assert torch.equal(rule(own).soft_loss, balance.soft_loss)
