"""What a training minimises: values against torch's own losses, and who gets a gradient."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from test_inner_losses import gap, own_loss
from torch import nn

from modelswitch.config.models import PlainModel
from modelswitch.config.transfer import Hint
from modelswitch.config.weighting import CorrectnessWeighting, FixedWeighting
from modelswitch.data.views import Batch
from modelswitch.models.build import build
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import HintPretraining, JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.labels import CrossEntropy
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import rule_for

STUDENT = PlainModel(family="plain", stages=[[4], [6]])
TEACHER = PlainModel(family="plain", stages=[[8], [10]])


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return Batch(torch.rand(16, 3, 8, 8), torch.arange(16) % 5, torch.arange(16), None)


def models():
    torch.manual_seed(1)
    return build(STUDENT, 3, 5), build(TEACHER, 3, 5).eval()


def distillation(student, guides, rule=None, **options):
    rule = rule or rule_for(FixedWeighting())
    return Distillation(student, guides, rule, soft=0.7, temperature=4.0, **options)


def test_labels_alone_is_cross_entropy(batch):
    student, _ = models()
    terms = CrossEntropy(student.eval(), label_smoothing=0.1)(batch)
    expected = F.cross_entropy(student(batch.images), batch.labels, label_smoothing=0.1)
    torch.testing.assert_close(terms["loss"], expected)


def test_distillation_is_the_weighted_sum_of_hard_and_soft_loss(batch):
    student, teacher = models()
    terms = distillation(student.eval(), [LiveTeacher(teacher)])(batch)
    logits, target = student(batch.images), teacher(batch.images)
    soft = F.kl_div(F.log_softmax(logits / 4, 1), F.softmax(target / 4, 1), reduction="batchmean")
    expected = 0.3 * F.cross_entropy(logits, batch.labels) + 0.7 * 16 * soft
    torch.testing.assert_close(terms["loss"], expected)
    wrong = (target.argmax(1) != batch.labels).float().mean()
    torch.testing.assert_close(terms["teacher_wrong"], wrong)


def test_a_teacher_is_neither_trained_nor_saved(batch):
    student, teacher = models()
    objective = distillation(student, [LiveTeacher(teacher)])
    objective(batch)["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert {id(p) for p in objective.parameters()} == {id(p) for p in student.parameters()}
    assert not any("guides" in name for name in objective.state_dict())


def test_dense_guidance_averages_over_guides_and_keeps_at_least_one(batch):
    student, teacher = models()
    student.eval()
    first, second = (lambda b: teacher(b.images).detach()), (lambda b: -teacher(b.images).detach())
    both = distillation(student, [first, second])(batch)["loss"]
    single = [distillation(student, [g])(batch)["loss"] for g in (first, second)]
    torch.testing.assert_close(both, sum(single) / 2)
    dropping = distillation(student, [first, second], drop=0.9)
    seen = {round(dropping(batch)["loss"].item(), 4) for _ in range(60)}
    assert seen <= {round(x.item(), 4) for x in (both, *single)}
    assert len(seen) >= 2


def test_weights_are_counted_by_whether_the_teacher_is_right(batch):
    student, teacher = models()
    rule = rule_for(CorrectnessWeighting(rule="correctness", delta=0.11))
    objective = distillation(student, [LiveTeacher(teacher)], rule)
    objective.start_epoch(0)
    wrong = round(objective(batch)["teacher_wrong"].item() * 16)
    assert 0 < wrong < 16
    counts = objective.weight_counts
    # 0.81 and 0.59 in bins of 0.02.
    assert counts[0].nonzero().ravel().tolist() == [40]
    assert counts[1].nonzero().ravel().tolist() == [29]
    assert counts.sum(1).tolist() == [16 - wrong, wrong]
    objective.start_epoch(1)
    assert counts.sum() == 0


def hinted(mode="joint", **more):
    layer = "stage1_conv1"
    return Hint(mode=mode, student_layer=layer, teacher_layer=layer, **more)


def parts_for(student, teacher, hint):
    return hint_parts(hint, student, teacher, torch.rand(1, 3, 8, 8), ("student", "teacher"))


def test_pretraining_trains_the_front_and_the_regressor_alone(batch):
    student, teacher = models()
    parts = parts_for(student, teacher, hinted("pretrain"))
    objective = HintPretraining(student, LiveTeacher(teacher), parts)
    objective.train()
    terms = objective(batch)
    project = parts.loss[0].regressor.project
    expected = F.mse_loss(
        project(student.stage1_conv1(batch.images)), teacher.stage1_conv1(batch.images)
    )
    torch.testing.assert_close(terms["loss"], expected)
    terms["loss"].backward()
    assert student.stage1_conv1[0].weight.grad is not None
    assert student.stage2_conv1[0].weight.grad is None
    assert project.weight.grad is not None
    assert all(p.grad is None for p in teacher.parameters())


def joint(student, teacher, weight=1.0, **more):
    live = LiveTeacher(teacher)
    outputs = distillation(student, [live])
    return JointTransfer(
        outputs,
        live,
        [WeightedHint(parts_for(student, teacher, hinted(**more)), lambda epoch: weight)],
    )


def test_joint_transfer_adds_the_weighted_hint_loss(batch):
    objective = joint(*models(), weight=3.0).eval()
    terms = objective(batch)
    alone = objective.distillation(batch)["loss"]
    torch.testing.assert_close(terms["loss"], alone + 3 * terms["loss_hint"])
    assert terms["loss_hint"] > 0


def test_joint_transfer_trains_batch_normalisation_in_training_mode(batch):
    student, teacher = models()
    objective = joint(student, teacher)
    objective.train()
    before = student.stage1_conv1[1].running_mean.clone()
    still = teacher.stage1_conv1[1].running_mean.clone()
    objective(batch)
    assert not torch.equal(student.stage1_conv1[1].running_mean, before)
    assert torch.equal(teacher.stage1_conv1[1].running_mean, still)
    assert isinstance(objective.student, nn.Module)


def test_a_users_own_inner_loss_is_a_function_or_a_module(batch):
    student, teacher = models()
    student.eval()
    guided, target = student.stage1_conv1(batch.images), teacher.stage1_conv1(batch.images)
    objective = joint(student, teacher, loss=own_loss("gap", factor=2.0)).eval()
    torch.testing.assert_close(objective(batch)["loss_hint"], gap(guided, target.clone(), 2.0))
    objective = joint(student, teacher, loss=own_loss("OwnRegressor", kernel=3)).eval()
    expected = F.l1_loss(objective.inner_losses[0][0].project(guided), target)
    torch.testing.assert_close(objective(batch)["loss_hint"], expected)
    assert any(p is objective.inner_losses[0][0].project.weight for p in objective.parameters())


def test_the_label_of_a_mixed_view_is_mixed_as_its_image_is(batch):
    """Cross-entropy with the mixed distribution of labels, by its definition."""
    shares, others = torch.linspace(0, 1, len(batch.labels)), batch.labels.roll(1)
    mixed = dataclasses.replace(batch, others=others, shares=shares)
    student, teacher = models()
    student.eval()
    target = shares[:, None] * F.one_hot(batch.labels, 5)
    target = target + (1 - shares[:, None]) * F.one_hot(others, 5)
    expected = -(target * student(batch.images).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(CrossEntropy(student)(mixed)["loss"], expected)
    terms = distillation(student, [LiveTeacher(teacher)])(mixed)
    torch.testing.assert_close(terms["loss_hard"], expected)


def test_a_teacher_is_right_on_a_mixed_view_where_it_names_what_shows_most(batch):
    others = (batch.labels + 1) % 5
    student, _ = models()

    def teacher(batch):
        return 10.0 * F.one_hot(others, 5).float()

    for share, wrong in ((0.3, 0), (0.7, 1)):
        shares = torch.full((len(batch.labels),), share)
        mixed = dataclasses.replace(batch, others=others, shares=shares)
        assert distillation(student, [teacher])(mixed)["teacher_wrong"] == wrong
