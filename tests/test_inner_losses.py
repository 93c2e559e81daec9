"""Losses between inner layers: each by its formula, and all of them where it is not easy."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.losses import InnerLoss, MseLoss
from modelswitch.config.transfer import Hint
from modelswitch.errors import UserError
from modelswitch.transfer.inner_losses.mse import MeanSquaredError, Regressor
from modelswitch.transfer.inner_losses.registry import INNER_LOSSES, inner_loss_for

# Shapes of the student's and the teacher's layer.
SHAPES = {
    "maps": ((6, 8, 4, 4), (6, 8, 4, 4)),
    "wider and finer maps": ((6, 4, 3, 3), (6, 8, 7, 5)),
    "tokens": ((6, 9, 8), (6, 5, 12)),
    "vectors": ((6, 8), (6, 3)),
    "maps and tokens": ((6, 8, 4, 4), (6, 5, 12)),
    "tokens and a vector": ((6, 9, 8), (6, 12)),
}
# Settings to try each loss with, and the shapes that it takes.
SETTINGS: dict[str, tuple[InnerLoss, list[str]]] = {
    "mse": (MseLoss(), list(SHAPES)),
}
CASES = [(name, shapes) for name in INNER_LOSSES for shapes in SETTINGS[name][1]]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "shapes"), CASES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_an_inner_loss_is_one_value_not_negative_with_a_gradient(name, shapes, precision):
    student, teacher = SHAPES[shapes]
    loss = inner_loss_for(SETTINGS[name][0], (1, *student[1:]), (1, *teacher[1:]))
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
            value = loss(ours, theirs)
        value.backward()
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value >= 0
        assert torch.isfinite(value)
        assert torch.isfinite(ours.grad).all()
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
        inner_loss_for(Hint(mode="joint", loss=own_loss(name)).loss, (1, 4, 8, 8), (1, 8, 8, 8))
