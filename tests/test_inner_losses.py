"""Losses between inner layers: each by its formula, and all of them where it is not easy."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.losses import (
    AttentionLoss,
    CorrelationLoss,
    InnerLoss,
    MseLoss,
    RelationalLoss,
    ReviewLoss,
    SimilarityLoss,
)
from modelswitch.config.transfer import Hint
from modelswitch.errors import UserError
from modelswitch.transfer.inner_losses.mse import MeanSquaredError, Regressor
from modelswitch.transfer.inner_losses.registry import (
    INNER_LOSSES,
    OVER_STAGES,
    inner_loss_for,
)

# Shapes of the student's and the teacher's layer.
SHAPES = {
    "maps": ((6, 8, 4, 4), (6, 8, 4, 4)),
    "wider and finer maps": ((6, 4, 3, 3), (6, 8, 7, 5)),
    "tokens": ((6, 9, 8), (6, 5, 12)),
    "as many tokens": ((6, 9, 8), (6, 9, 12)),
    "vectors": ((6, 8), (6, 3)),
    "maps and tokens": ((6, 8, 4, 4), (6, 5, 12)),
    "tokens and a vector": ((6, 9, 8), (6, 12)),
}
# Settings to try each loss with, and the shapes that it takes.
SETTINGS: dict[str, tuple[InnerLoss, list[str]]] = {
    "mse": (MseLoss(), list(SHAPES)),
    "attention": (
        AttentionLoss(name="attention"),
        ["maps", "wider and finer maps", "as many tokens"],
    ),
    "similarity": (SimilarityLoss(name="similarity"), list(SHAPES)),
    "relational": (RelationalLoss(name="relational"), list(SHAPES)),
    "correlation": (CorrelationLoss(name="correlation"), list(SHAPES)),
    "review": (ReviewLoss(name="review"), ["maps", "wider and finer maps"]),
}
CASES = [(name, shapes) for name in INNER_LOSSES | OVER_STAGES for shapes in SETTINGS[name][1]]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "shapes"), CASES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_an_inner_loss_is_one_value_not_negative_with_a_gradient(name, shapes, precision):
    student, teacher = SHAPES[shapes]
    loss = inner_loss_for(SETTINGS[name][0], [(1, *student[1:])], [(1, *teacher[1:])])
    drawn = torch.randn(student), torch.randn(teacher)
    for ours, theirs in (
        drawn,
        (torch.zeros(student), drawn[1]),
        (torch.full(student, 3.0), torch.full(teacher, -2.0)),
        (torch.zeros(student), torch.zeros(teacher)),
        (drawn[0][:1], drawn[1][:1]),
        (1e4 * drawn[0], 1e4 * drawn[1]),
    ):
        ours = ours.clone().requires_grad_()
        with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
            value = loss([ours], [theirs])
        value.backward()
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value >= 0
        assert torch.isfinite(value)
        assert torch.isfinite(ours.grad).all()
        # The largest features aside, nothing is thrown out of its way.
        assert ours.grad.abs().max() < 1e3 * max(1.0, float(ours.detach().abs().max()))
        assert all(torch.isfinite(p.grad).all() for p in loss.parameters())


@pytest.mark.parametrize(
    ("student", "teacher", "shape"),
    [
        ((2, 8, 16, 16), (2, 12, 16, 16), (2, 12, 16, 16)),
        ((2, 8, 16, 16), (2, 12, 8, 4), (2, 12, 8, 4)),
        ((2, 8, 7, 7), (2, 12, 16, 16), (2, 12, 7, 7)),
        ((2, 8, 7, 7), (2, 5, 12), (2, 12)),
        ((2, 5, 8), (2, 12), (2, 12)),
    ],
)
def test_the_regressor_brings_any_two_layers_to_one_shape(student, teacher, shape):
    regressor = Regressor(student, teacher)
    ours, theirs = regressor(torch.rand(student), torch.rand(teacher))
    assert ours.shape == theirs.shape == shape


def test_the_squared_error_is_that_of_the_regressed_features():
    loss = MeanSquaredError((1, 4, 6, 6), (1, 7, 3, 3))
    student, teacher = torch.randn(5, 4, 6, 6), torch.randn(5, 7, 3, 3)
    weight, bias = loss.regressor.project.weight[:, :, 0, 0], loss.regressor.project.bias
    pooled = student.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    regressed = torch.einsum("oc,bchw->bohw", weight, pooled) + bias[:, None, None]
    torch.testing.assert_close(loss(student, teacher), ((regressed - teacher) ** 2).mean())


def rows(features):
    """Plain lists of numbers, for formulas written out."""
    return [[float(x) for x in row.flatten()] for row in features.double()]


def of_length_1(values):
    length = math.sqrt(sum(x * x for x in values))
    return [x / length for x in values]


def inner(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def huber(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def mean_of(function, *ranges):
    values = [function(*place) for place in itertools.product(*ranges)]
    return sum(values) / len(values)


def value_of(settings, student, teacher):
    loss = inner_loss_for(settings, [student.shape], [teacher.shape])
    return loss([student], [teacher]).item()


@pytest.mark.parametrize("tokens", [False, True])
def test_attention_is_where_squares_of_features_are_large(tokens):
    shapes = ((4, 6, 5), (4, 6, 3)) if tokens else ((4, 5, 2, 3), (4, 3, 2, 3))
    student, teacher = map(torch.randn, shapes)
    maps = []
    for features in (student, teacher):
        positions = features if tokens else features.flatten(2).transpose(1, 2)
        energies = [[sum(float(x) ** 2 for x in p) / len(p) for p in image] for image in positions]
        maps.append(list(map(of_length_1, energies)))
    wanted = mean_of(lambda i, j: (maps[0][i][j] - maps[1][i][j]) ** 2, range(4), range(6))
    found = value_of(AttentionLoss(name="attention"), student, teacher)
    assert found == pytest.approx(wanted, rel=1e-5)


def test_similarity_compares_products_of_samples():
    student, teacher = torch.randn(5, 3, 2, 2), torch.randn(5, 7)
    rows_of = []
    for features in map(rows, (student, teacher)):
        rows_of.append([of_length_1([inner(a, b) for b in features]) for a in features])
    wanted = mean_of(lambda i, j: (rows_of[0][i][j] - rows_of[1][i][j]) ** 2, range(5), range(5))
    found = value_of(SimilarityLoss(name="similarity"), student, teacher)
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("distance", "angle"), [(1.0, 0.0), (0.0, 2.0), (25.0, 50.0)])
def test_relations_are_distances_of_pairs_and_cosines_of_triples(distance, angle):
    student, teacher = torch.randn(5, 4, 3, 3), torch.randn(5, 7)
    samples, five = (rows(student.mean((2, 3))), rows(teacher)), range(5)

    def apart(points, i, j):
        return math.dist(points[i], points[j])

    def cosine(points, i, j, k):
        if i in (j, k):
            return 0.0
        a, b = ([x - y for x, y in zip(points[n], points[i], strict=True)] for n in (j, k))
        return inner(of_length_1(a), of_length_1(b))

    means = [sum(apart(p, i, j) for i in five for j in five) / 20 for p in samples]
    distances = mean_of(
        lambda i, j: huber(apart(samples[0], i, j) / means[0] - apart(samples[1], i, j) / means[1]),
        five,
        five,
    )
    cosines = mean_of(
        lambda i, j, k: huber(cosine(samples[0], i, j, k) - cosine(samples[1], i, j, k)),
        five,
        five,
        five,
    )
    settings = RelationalLoss(name="relational", distance=distance, angle=angle)
    wanted = distance * distances + angle * cosines
    assert value_of(settings, student, teacher) == pytest.approx(wanted, rel=1e-4)


def test_correlations_are_a_gaussian_of_directions():
    student, teacher = torch.randn(5, 4, 3, 3), torch.randn(5, 7)
    samples = [list(map(of_length_1, rows(f))) for f in (student.mean((2, 3)), teacher)]

    def kernel(points, i, j):
        return math.exp(-0.4 * math.dist(points[i], points[j]) ** 2)

    wanted = mean_of(
        lambda i, j: (kernel(samples[0], i, j) - kernel(samples[1], i, j)) ** 2, range(5), range(5)
    )
    # To the twentieth order there is nothing left between the Gaussian and its expansion.
    settings = CorrelationLoss(name="correlation", gamma=0.4, order=20)
    assert value_of(settings, student, teacher) == pytest.approx(wanted, rel=1e-4)


def test_a_review_without_weights_of_its_own_is_the_squared_error_at_four_resolutions():
    """The student's path set to give back what it gets."""
    settings = ReviewLoss(name="review")
    student, teacher = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    loss = inner_loss_for(settings, [student.shape], [teacher.shape]).eval()
    for layer in (loss.fusions[0].enter[0], loss.fusions[0].leave[0]):
        nn.init.dirac_(layer.weight)
    wanted, weights = 0.0, 0.0
    for side, weight in ((8, 1), (4, 1 / 2), (2, 1 / 4), (1, 1 / 8)):
        cell = 8 // side
        ours, theirs = (
            x.unfold(2, cell, cell).unfold(3, cell, cell).mean((4, 5)) for x in (student, teacher)
        )
        wanted += weight * ((ours - theirs) ** 2).mean().item()
        weights += weight
    assert loss([student], [teacher]).item() == pytest.approx(wanted / weights, rel=1e-4)


@pytest.mark.parametrize("loss", ["relational", "correlation"])
def test_images_of_the_same_features_push_nothing_away(loss):
    """A direction between equal features, or of none, is none: its gradient would have no bound."""
    settings = SETTINGS[loss][0]
    given = torch.randn(5, 6)
    given[1], given[3] = given[0], 0
    student = given.requires_grad_()
    loss = inner_loss_for(settings, [student.shape], [(5, 7)])
    loss([student], [torch.randn(5, 7)]).backward()
    assert student.grad.abs().max() < 10


@pytest.mark.parametrize(
    ("settings", "student", "teacher", "said"),
    [
        (AttentionLoss(name="attention"), (1, 9, 8), (1, 5, 12), r"as many tokens; found \[9, 8\]"),
        (AttentionLoss(name="attention"), (1, 8), (1, 8), "positions of maps"),
        (AttentionLoss(name="attention"), (1, 8, 4, 4), (1, 17, 8), "positions of maps"),
        (ReviewLoss(name="review"), (1, 9, 8), (1, 8, 3, 3), r"'review': compares maps"),
    ],
)
def test_layers_that_a_loss_cannot_compare_are_told_in_a_line(settings, student, teacher, said):
    with pytest.raises(UserError, match=said):
        inner_loss_for(settings, [student], [teacher])


def test_a_map_and_tokens_of_as_many_positions_have_attention():
    student, teacher = torch.randn(3, 5, 2, 4), torch.randn(3, 8, 6)
    as_tokens = student.flatten(2).transpose(1, 2)
    settings = AttentionLoss(name="attention")
    assert value_of(settings, student, teacher) == pytest.approx(
        value_of(settings, as_tokens, teacher)
    )


def gap(student, teacher, factor=1.0):
    """A user's own loss, which works in place."""
    return factor * student.mean((0, 2, 3)).sum().sub_(teacher.abs_().mean()).square()


class OwnRegressor(nn.Module):
    def __init__(self, student, teacher, kernel):
        super().__init__()
        self.project = nn.Conv2d(student[1], teacher[1], kernel, padding=kernel // 2)

    def forward(self, student, teacher):
        return F.l1_loss(self.project(student), teacher)


def several(student, teacher):
    return student.mean((1, 2, 3))


def detached(student, teacher):
    return teacher.mean()


def own_loss(name, **arguments):
    return {"name": "import", "path": f"test_inner_losses:{name}", "arguments": arguments}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("several", r"shape \[2\], expected one value"),
        ("detached", "has no gradient"),
        ("own_loss", r"fails on features \[1, 4, 8, 8\]"),
        ("nothing", "no 'nothing'"),
    ],
)
def test_a_users_own_inner_loss_that_does_not_work_is_told_in_a_line(name, said):
    with pytest.raises(UserError, match=said):
        inner_loss_for(Hint(mode="joint", loss=own_loss(name)).loss, [(1, 4, 8, 8)], [(1, 8, 8, 8)])
