"""No model changes what another one sees, or what it sees itself in the next step."""

import copy

import pytest
import torch
from odd_models import (
    CLASSES,
    ODD,
    Counter,
    Odd,
    RandomMasks,
    WorksInPlaceOnImages,
    WritesThroughData,
)
from torch import nn

from modelswitch.config.augment import Augmentation
from modelswitch.config.weighting import FixedWeighting, ImportedWeighting
from modelswitch.data.views import Batch, Normaliser, Views
from modelswitch.errors import UserError
from modelswitch.models.answers import logits_on
from modelswitch.models.isolation import refuse_shared
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.labels import CrossEntropy
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import Balance, rule_for

IN_PLACE = [WorksInPlaceOnImages, WritesThroughData]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def make_batch():
    return Batch(torch.rand(8, 3, 8, 8), torch.arange(8) % CLASSES, torch.arange(8), None)


def distillation(student, *teachers, rule=None, **more):
    rule = rule or rule_for(FixedWeighting())
    return Distillation(student, list(teachers), rule, soft=0.7, temperature=4.0, **more)


@pytest.mark.parametrize("kind", IN_PLACE)
def test_a_student_that_works_in_place_does_not_change_what_its_teachers_see(kind):
    batch, seen = make_batch(), []
    teachers = [LiveTeacher(Odd()), LiveTeacher(Odd())]
    for teacher in teachers:
        teacher.model.first.register_forward_pre_hook(
            lambda m, given: seen.append(given[0].clone())
        )
    images = batch.images.clone()
    distillation(kind(), *teachers)(batch)["loss"].backward()
    assert torch.equal(batch.images, images)
    assert len(seen) == 2
    assert all(torch.equal(one, images) for one in seen)


@pytest.mark.parametrize("kind", IN_PLACE)
def test_a_teacher_that_works_in_place_changes_neither_the_others_nor_the_gradient(kind):
    """What autograd keeps for the backward pass is the batch that the student saw."""
    batch = make_batch()
    student, other, loud = Odd(), Odd(), kind()
    teacher, second = LiveTeacher(loud), LiveTeacher(other)
    again = copy.deepcopy(student)
    answers = loud(batch.images.clone()).detach(), other(batch.images.clone()).detach()
    distillation(student, teacher, second)(batch)["loss"].backward()
    distillation(again, *(lambda b, a=a: a.clone() for a in answers))(batch)["loss"].backward()
    for ours, expected in zip(student.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours.grad, expected.grad)


@pytest.mark.parametrize("kind", IN_PLACE)
def test_models_that_work_in_place_see_the_same_data_in_every_epoch(kind):
    images = torch.randint(0, 256, (12, 8, 8, 3), dtype=torch.uint8)
    before = images.clone()
    views = Views(
        images, torch.arange(12) % CLASSES, Normaliser([0.4] * 3, [0.2] * 3), batch=4,
        augmentation=Augmentation(crop=0, flip=False), order_seed=lambda epoch: 1,
        bank_seed=1, bank=2,
    )  # fmt: skip
    model = kind()
    epochs = []
    for _ in range(2):
        epochs.append([(b.images.clone(), b.labels.clone()) for b in views.epoch(0)])
        for batch in views.epoch(0):
            CrossEntropy(model)(batch)["loss"].backward()
            model(batch.images), batch.labels.zero_()
    for first, second in zip(*epochs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    answers = [logits_on(model, images, Normaliser([0.4] * 3, [0.2] * 3)) for _ in range(2)]
    assert torch.equal(*answers)
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", ODD)
def test_a_teacher_is_the_same_in_every_step(kind):
    """Counters, running means and modes are put back: it answers one batch with one answer."""
    teacher, batch = LiveTeacher(kind()), make_batch()
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    answers = []
    for _ in range(3):
        torch.manual_seed(1)
        answers.append(teacher(batch))
    assert torch.equal(answers[0], answers[2])
    after = teacher.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    teacher.check_unchanged()


class StaysInTraining(Odd):
    """Batch normalisation that no eval() reaches."""

    def train(self, mode=True):
        return super().train(True)


def test_a_teacher_that_stays_in_training_keeps_its_statistics():
    teacher, batch = LiveTeacher(StaysInTraining()), make_batch()
    mean = teacher.model.first[1].running_mean.clone()
    first = teacher(batch)
    assert torch.equal(teacher(batch), first)
    assert torch.equal(teacher.model.first[1].running_mean, mean)


class Hidden(Odd):
    """Changes a weight where torch does not count it, from some pass on."""

    def __init__(self, after):
        super().__init__()
        self.register_buffer("left", torch.tensor(after), persistent=False)
        self.passes = []

    def begin(self, x):
        self.passes.append(1)
        if len(self.passes) > self.left:
            self.first[0].weight.data.mul_(1.01)
        return x


def test_a_teacher_that_changes_unseen_is_put_back_or_refused():
    batch = make_batch()
    teacher = LiveTeacher(Hidden(0), "teacher h")
    assert torch.equal(teacher(batch), teacher(batch))
    teacher.check_unchanged()
    teacher = LiveTeacher(Hidden(1), "teacher h")
    teacher(batch), teacher(batch)
    with pytest.raises(UserError, match=r"teacher h: .*have changed its first\.0\.weight"):
        teacher.check_unchanged()


def test_a_student_in_training_does_not_put_its_teacher_into_training():
    class Drops(Odd):
        def __init__(self):
            super().__init__()
            self.last.append(nn.Dropout(0.9))

    teacher, batch = LiveTeacher(Drops()), make_batch()
    objective = distillation(Odd(), teacher)
    before = teacher(batch)
    objective.train()
    assert torch.equal(teacher(batch), before)


def rule_in_place(samples):
    half = torch.full((len(samples.labels),), 0.5)
    loss = soft_loss(samples.student, samples.teacher, 4.0)
    with torch.no_grad():
        samples.student.zero_(), samples.teacher.data.fill_(9), samples.labels.zero_()
    return Balance(half, half, loss.detach() + samples.student.sum() * 0)


def test_a_users_rule_that_works_in_place_changes_nothing_for_others():
    rule = rule_for(ImportedWeighting(rule="import", path="test_isolation:rule_in_place"))
    batch = make_batch()
    seen = []

    def guide(given):
        seen.append(given.labels.clone())
        return torch.eye(8, CLASSES)

    kept = batch.labels.clone()
    terms = distillation(Odd().eval(), guide, guide, rule=rule)(batch)
    plain = distillation(Odd().eval(), guide, guide)
    assert torch.equal(batch.labels, kept)
    assert all(torch.equal(labels, kept) for labels in seen)
    assert terms["teacher_wrong"] == plain(batch)["teacher_wrong"]


def changes(what):
    class Changing(Odd):
        def begin(self, x):
            what()
            return x

    return Changing()


@pytest.mark.parametrize(
    ("what", "back", "said"),
    [
        (lambda: torch.set_default_dtype(torch.float64),
         lambda: torch.set_default_dtype(torch.float32), "default dtype from torch.float32"),
        (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True), "gradient"),
        (lambda: torch.manual_seed(0), lambda: None, "seed"),
        (lambda: torch.use_deterministic_algorithms(True),
         lambda: torch.use_deterministic_algorithms(False), "deterministic algorithms from"),
    ],
)  # fmt: skip
def test_a_model_that_changes_torch_for_all_is_told(what, back, said):
    torch.manual_seed(5)
    student, teacher = changes(what), Odd()
    try:
        with pytest.raises(UserError, match=rf"student: its forward pass changes torch's .*{said}"):
            distillation(student, LiveTeacher(teacher))(make_batch())
        back()
        torch.manual_seed(5)
        if said != "gradient":
            # A teacher's passes have a mode of their own, which ends with them.
            with pytest.raises(UserError, match=rf"t: its forward pass changes torch's .*{said}"):
                distillation(Odd(), LiveTeacher(student, "t"))(make_batch())
        back()
        torch.manual_seed(5)
        with pytest.raises(UserError, match=said):
            CrossEntropy(student)(make_batch())
    finally:
        back()


def test_models_that_share_a_weight_are_refused():
    model, other = Odd(), Odd()
    refuse_shared({"student a": model, "teacher b": other})
    with pytest.raises(UserError, match=r"teacher b: shares 'first\.0\.weight' with student a"):
        refuse_shared({"student a": model, "teacher b": model})
    other.head.weight = nn.Parameter(model.head.weight.detach()[:5])
    with pytest.raises(UserError, match=r"'head\.weight'"):
        refuse_shared({"student a": model, "teacher b": other})


def test_a_teacher_that_draws_is_no_other_with_a_counter_beside_it():
    """Its own draws are its own; what it counts is put back."""

    class Both(RandomMasks, Counter):
        pass

    teacher, batch = LiveTeacher(Both()), make_batch()
    torch.manual_seed(3)
    first = teacher(batch), teacher(batch)
    torch.manual_seed(3)
    second = teacher(batch), teacher(batch)
    assert torch.equal(first[1], second[1])
