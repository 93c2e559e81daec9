"""Output losses against formulas in extended precision, where they are easy and where they are not:
constant logits, certain teachers, two classes, temperatures of a thousandth and of a million."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from modelswitch.config.losses import (
    DistLoss,
    DkdLoss,
    ImportedLoss,
    KlLoss,
    LogitMseLoss,
    MseLoss,
    MultiLevelLoss,
    OutputLoss,
    SmoothingLoss,
    StandardisedLoss,
    TfKdLoss,
)
from modelswitch.config.messages import describe
from modelswitch.config.transfer import Transfer
from modelswitch.config.weighting import CorrectnessWeighting, WeightedWeighting
from modelswitch.errors import UserError
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.output_losses.registry import OUTPUT_LOSSES, output_loss_for
from modelswitch.transfer.weighting import Samples, rule_for

SETTINGS: dict[str, OutputLoss] = {
    "kl": KlLoss(),
    "mse": LogitMseLoss(name="mse"),
    "dkd": DkdLoss(alpha=1.5, beta=8.0),
    "standardised": StandardisedLoss(base_temperature=2.0),
    "dist": DistLoss(name="dist", beta=1.0, gamma=2.0),
    "multi_level": MultiLevelLoss(name="multi_level"),
    "ls": SmoothingLoss(name="ls"),
    "tf_kd": TfKdLoss(name="tf_kd"),
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
WITHOUT_TEMPERATURE = ("mse", "standardised", "multi_level", "ls")


def log_softmax(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def kl(log_q, log_p):
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(log_p), 0, np.exp(log_p) * (log_p - log_q)).sum(1)


def logsumexp(z):
    top = z.max(1, keepdims=True)
    return (top + np.log(np.exp(z - top).sum(1, keepdims=True)))[:, 0]


def correlation_of_rows(x, y, smallest):
    """Pearson's, but for rows of ``x`` that hardly differ."""
    least = np.maximum(smallest * x.mean(1) * x.shape[1] ** 0.5, 1e-8)
    x, y = (each - each.mean(1, keepdims=True) for each in (x, y))
    lengths = np.sqrt((x**2).sum(1)), np.sqrt((y**2).sum(1))
    return (x * y).sum(1) / np.maximum(lengths[0], least) / np.maximum(lengths[1], 1e-8)


def expected(name, student, teacher, t, labels):
    """The losses as their papers have them, in extended precision."""
    s, z = (x.numpy().astype(np.longdouble) for x in (student, teacher))
    rows, classes = np.arange(len(s)), s.shape[1]
    if name == "kl":
        return t**2 * kl(log_softmax(s / t), log_softmax(z / t))
    if name == "mse":
        return ((s - z) ** 2).mean(1)
    if name == "ls":
        return -log_softmax(s).mean(1) - np.log(np.longdouble(classes))
    if name == "tf_kd":
        made = np.where(np.eye(classes)[labels], 0.99, 0.01 / (classes - 1))
        return kl(log_softmax(s), log_softmax(made / t))
    if name == "dist":
        p, q = (np.exp(log_softmax(x / t)) for x in (s, z))
        inter = 1 - correlation_of_rows(p, q, 0.1 / t)
        return t**2 * (inter + 2 * (1 - correlation_of_rows(p.T, q.T, 0.1 / t).mean()))
    if name == "multi_level":
        total = 0
        for each in (2, 3, 4, 5, 6):
            total = total + each**2 * kl(log_softmax(s / each), log_softmax(z / each))
            # Sums of products, for which extended precision takes minutes.
            p, q = (np.exp(log_softmax(x / each)).astype(float) for x in (s, z))
            total += np.array([sum((q[i] @ q[j] - p[i] @ p[j]) ** 2 for j in rows) for i in rows])
            total += ((q.T @ q - p.T @ p) ** 2).sum() / classes
        return total
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
    classes = min(classes, 100) if name == "multi_level" else classes
    student, teacher = CASES[case](classes)
    labels = torch.arange(16) % classes
    loss = output_loss_for(SETTINGS[name])
    for t in TEMPERATURES[:1] if name in WITHOUT_TEMPERATURE else TEMPERATURES:
        ours = student.clone().requires_grad_()
        value = loss(ours, teacher, t, labels)
        assert value.shape == (16,)
        assert value.dtype == torch.float32
        assert (value >= 0).all(), t
        wanted = expected(name, student, teacher, t, labels.numpy())
        # What rounding can do: of float32's logits, and of float64's logarithms times T^2. At large
        # temperatures probabilities differ in their last digits alone, which correlations magnify.
        bound = 3e-4 * max(1.0, float(student.abs().max())) + 1e-14 * t**2
        if name == "dist":
            bound += 1e-16 * t**4 if t > 32 else 1e-7 * t**3
        np.testing.assert_allclose(
            value.detach().numpy(), wanted.astype(float), rtol=2e-3, atol=bound, err_msg=f"T = {t}"
        )
        value.mean().backward()
        assert torch.isfinite(ours.grad).all(), t
        # The constant student of a head that starts at zero: nothing is thrown out of its way.
        largest = {
            "mse": 0.2 * float((student - teacher).abs().max()),
            "dist": 100 * t**2,
        }.get(name, 100 * t)
        assert ours.grad.abs().max() < max(100, largest), t


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
        (
            {"loss": "crd"},
            ["loss", "'crd'", "'kl', 'mse', 'dkd', 'standardised', 'dist', 'multi_level', 'ls'"],
        ),
        ({"loss": {"name": "kl", "alpha": 1}}, ["loss: unknown key 'alpha'"]),
        ({"loss": {"alpha": 1}}, ["loss", "the key 'name' is missing"]),
        ({"loss": {"name": "import"}}, ["loss.path: missing"]),
        ({"hint": {"mode": "joint", "loss": "kl"}}, ["hint.loss", "'kl'", "'review', 'import'"]),
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


OLD_NAMES = [
    (
        {"weighting": {"rule": "dkd", "alpha": 2, "warmup": 4}},
        {"loss": {"name": "dkd", "alpha": 2}, "weighting": {"rule": "weighted", "warmup": 4}},
        "written loss: {name: dkd, alpha: 2.0}, weighting: {rule: weighted, warmup: 4} now",
    ),
    (
        {"weighting": "standardised", "soft": 0.75},
        {
            "soft": 0.75,
            "loss": "standardised",
            "weighting": {"rule": "weighted", "soft_weight": 9, "hard_weight": 0.25},
        },
        "written loss: standardised, weighting: {rule: weighted, soft_weight: 9.0, "
        "hard_weight: 0.25} now",
    ),
]


@pytest.mark.parametrize(("old", "new", "note"), OLD_NAMES, ids=["dkd", "standardised"])
def test_a_rule_that_is_a_loss_still_works_and_says_how_it_is_written_now(old, new, note):
    before, now = (Transfer.model_validate(values) for values in (old, new))
    assert before.separated.loss == now.loss
    assert before.separated.weighting == now.weighting
    assert now.notes == []
    [said] = before.notes
    assert note in said


def test_weights_of_their_own_are_weights_that_grow():
    student, teacher, labels = draw(5), draw(5), torch.arange(16) % 5
    rule = rule_for(WeightedWeighting(rule="weighted", soft_weight=9, hard_weight=0.1, warmup=4))
    given = [rule(Samples(student, teacher, labels, 0.6, 4.0, epoch)) for epoch in range(6)]
    assert [each.soft_weight.unique().item() for each in given] == [2.25, 4.5, 6.75, 9, 9, 9]
    assert [each.hard_weight.unique().item() for each in given] == pytest.approx([0.1] * 6)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"loss": "ls", "weighting": "adjusted"}, "which the loss 'ls' does not look at"),
        ({"loss": "tf_kd", "weighting": "adjusted"}, "which the loss 'tf_kd' does not look at"),
        ({"loss": "mse", "views": "stored"}, "write loss: {name: mse, centred: true}"),
        ({"loss": {"name": "dkd", "alpha": 0, "beta": 0}}, "alpha and beta are 0"),
        ({"loss": {"name": "dist", "beta": 0, "gamma": 0}}, "beta and gamma are 0"),
        ({"weighting": {"rule": "dkd", "alpha": 0, "beta": 0}}, "alpha and beta are 0"),
        (
            {"weighting": {"rule": "weighted", "soft_weight": 0, "hard_weight": 0}},
            "soft_weight and hard_weight are 0",
        ),
        ({"loss": {"name": "multi_level", "temperatures": []}}, "loss.temperatures"),
        ({"loss": {"name": "tf_kd", "correct": 1}}, "loss.correct"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(values, said):
    with pytest.raises(ValidationError) as caught:
        Transfer.model_validate(values)
    line = describe(caught.value, Transfer)
    assert said in line, line
    assert "\n" not in line


def test_centred_logits_are_compared_but_for_a_shift():
    """Stored responses are known but for a shift of every sample."""
    settings = LogitMseLoss(name="mse", centred=True)
    student, teacher, labels = draw(5), draw(5), torch.zeros(16).long()
    loss = output_loss_for(settings)
    shifted = teacher - teacher.amax(1, keepdim=True)
    value = loss(student, teacher, 4.0, labels)
    torch.testing.assert_close(loss(student + 3, shifted, 4.0, labels), value)
    torch.testing.assert_close(value, (student - teacher).var(1, unbiased=False))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("mask", [-65504.0, -torch.inf])
def test_logits_of_classes_that_are_ruled_out_are_not_compared(mask, centred):
    loss = output_loss_for(LogitMseLoss(name="mse", centred=centred))
    student, teacher, labels = draw(5), draw(5), torch.zeros(16).long()
    ruled_out = teacher.clone()
    ruled_out[:, 3] = mask
    ours = student.clone().requires_grad_()
    value = loss(ours, ruled_out, 4.0, labels)
    value.sum().backward()
    others = [0, 1, 2, 4]
    torch.testing.assert_close(value, loss(student[:, others], teacher[:, others], 4.0, labels))
    assert torch.isfinite(ours.grad).all()
    assert not ours.grad[:, 3].any()


def test_the_smoothing_control_has_the_gradient_of_label_smoothing():
    student, labels = draw(7).requires_grad_(), torch.arange(16) % 7
    smoothed = F.cross_entropy(student, labels, label_smoothing=0.1)
    soft = output_loss_for(SmoothingLoss(name="ls"))(student, draw(7), 4.0, labels).mean()
    control = 0.9 * F.cross_entropy(student, labels) + 0.1 * soft
    torch.testing.assert_close(*(torch.autograd.grad(x, student)[0] for x in (smoothed, control)))


@pytest.mark.parametrize("name", OUTPUT_LOSSES)
def test_an_output_loss_is_the_same_under_autocast(name):
    student, teacher, labels = draw(10), draw(10), torch.arange(16) % 10
    loss = output_loss_for(SETTINGS[name])
    alone = loss(student, teacher, 4.0, labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(student, teacher, 4.0, labels), alone)
