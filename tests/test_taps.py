"""Hints are taken from the model itself, which trains as if nobody looked."""

import copy

import pytest
import torch
import torch.nn.functional as F
from odd_models import CLASSES, ODD, Checkpointed, Felt, Odd, RandomMasks, SharedLayers
from torch import nn
from torch.utils.checkpoint import checkpoint

from modelswitch.config.transfer import Hint
from modelswitch.config.weighting import FixedWeighting
from modelswitch.data.views import Batch
from modelswitch.errors import UserError
from modelswitch.models.layers import find_layer, inner_layers
from modelswitch.models.taps import run_until, tap
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import HintPretraining, JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import rule_for

NAMES = ("student s", "teacher t")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def batches(count=3, size=8):
    generator = torch.Generator().manual_seed(5)
    for _ in range(count):
        images = torch.rand(size, 3, 8, 8, generator=generator)
        images = images.to(memory_format=torch.channels_last)
        yield Batch(images, torch.arange(size) % CLASSES, torch.arange(size), None)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def hint(mode="joint", layer="middle", **more):
    return Hint(mode=mode, student_layer=layer, teacher_layer=layer, **more)


def joint(student, teacher, weight=1.0, stored=False, **more):
    live = LiveTeacher(teacher)
    guide = (lambda batch: torch.eye(8, CLASSES)) if stored else live
    rule = rule_for(FixedWeighting())
    outputs = Distillation(student, [guide], rule, soft=0.7, temperature=4.0)
    if weight is None:
        return outputs
    parts = hint_parts(hint(**more), student, teacher, torch.rand(1, 3, 8, 8), NAMES)
    return JointTransfer(outputs, live, [WeightedHint(parts, lambda epoch: Felt(weight))])


def trained(objective, precision=torch.float32):
    """Losses of three steps, the student's state and the random state after them."""
    objective.train()
    torch.manual_seed(7)
    optimizer = torch.optim.SGD(objective.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    losses = []
    for batch in batches():
        with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
            terms = objective(batch)
        terms["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(terms["loss"].item())
    return losses, state(objective.student), torch.get_rng_state()


@pytest.mark.parametrize(
    ("precision", "stored"),
    [(torch.float32, False), (torch.bfloat16, False), (torch.float32, True)],
    ids=["float32", "bfloat16", "stored"],
)
@pytest.mark.parametrize("kind", ODD)
def test_a_step_with_hints_of_weight_0_is_the_step_without_them(kind, precision, stored):
    """To the bit: nothing of the model is lost, frozen or run another time for the hint's sake."""
    student, teacher = kind().to(memory_format=torch.channels_last), kind()
    again, teacher_again = copy.deepcopy(student), copy.deepcopy(teacher)
    before = state(teacher)
    first = trained(joint(student, teacher, None, stored), precision)
    second = trained(joint(again, teacher_again, 0.0, stored), precision)
    assert first[0] == second[0]
    assert same(first[1], second[1])
    assert torch.equal(first[2], second[2])
    # And no step has made another teacher of it.
    assert same(before, state(teacher))
    assert same(before, state(teacher_again))


@pytest.mark.parametrize("kind", ODD)
def test_looking_for_layers_changes_nothing(kind):
    model, other = kind(), kind()
    other.load_state_dict(model.state_dict())
    model.first.eval()
    before, modes = state(model), [module.training for module in model.modules()]
    plain = {k: v for k, v in vars(model).items() if isinstance(v, int)}
    torch.manual_seed(3)
    drawn = torch.get_rng_state()
    assert inner_layers(model, torch.rand(1, 3, 8, 8, generator=torch.Generator()))
    assert same(before, state(model))
    assert torch.equal(drawn, torch.get_rng_state())
    assert modes == [module.training for module in model.modules()]
    assert plain == {k: v for k, v in vars(model).items() if isinstance(v, int)}
    assert not any(len(m._forward_pre_hooks) for m in model.modules() if type(m) is nn.ReLU)


@pytest.mark.parametrize("kind", ODD)
def test_what_is_tapped_is_what_the_layer_gave(kind):
    """With the same weights on both sides, tapped beside the answer and by ending the pass."""
    model = kind().eval()
    images = next(batches()).images
    given = []
    model.middle.register_forward_hook(lambda module, inputs, output: given.append(output.clone()))
    torch.manual_seed(1)
    with torch.no_grad(), tap(model, "middle", "m") as tapped:
        model(images.clone())
    assert torch.equal(tapped.output, given[0])
    if kind.__name__ not in ("Counter", "PlainCounter"):
        torch.manual_seed(1)
        with torch.no_grad():
            assert torch.equal(run_until(model, "middle", images.clone(), "m"), given[0])


def test_a_tap_keeps_what_was_there_before_an_activation_in_place():
    from odd_models import ConvThenReLUInPlace

    model = ConvThenReLUInPlace()
    with tap(model, "middle", "m") as tapped:
        model(next(batches()).images)
    assert tapped.output.min() < 0


@pytest.mark.parametrize("kind", ODD)
def test_the_hint_loss_of_equal_models_is_0(kind):
    """The regressor set to give back what it gets."""
    if kind is RandomMasks:
        pytest.skip("two passes of it are never the same")
    student = kind().eval()
    teacher = copy.deepcopy(student)
    objective = joint(student, teacher).eval()
    nn.init.dirac_(p) if (
        p := objective.inner_losses[0][0].regressor.project.weight
    ).ndim == 4 else (nn.init.eye_(p))
    nn.init.zeros_(objective.inner_losses[0][0].regressor.project.bias)
    torch.manual_seed(1)
    batch = next(batches())
    with torch.no_grad():
        terms = objective(batch)
    assert terms["loss_hint"] < 1e-12


@pytest.mark.parametrize("kind", ODD)
def test_only_the_front_is_pretrained(kind):
    student, teacher = kind(), kind()
    parts = hint_parts(hint("pretrain"), student, teacher, torch.rand(1, 3, 8, 8), NAMES)
    objective = HintPretraining(student, LiveTeacher(teacher), parts)
    names = set(objective.state_dict())
    assert names == {f"student.{n}" for n in student.state_dict()} | {
        f"inner_loss.{n}" for n in parts.loss.state_dict()
    }
    front = ("first.", "middle.", "alias.", "embed.")
    before = state(student)
    objective.train()
    optimizer = torch.optim.SGD(objective.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    for batch in batches():
        objective(batch)["loss"].backward()
        optimizer.step()
        for name, parameter in student.named_parameters():
            assert (parameter.grad is None) == (not name.startswith(front)), name
        optimizer.zero_grad()
    after = state(student)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert {"first.0.weight", "first.0.weight_orig", "embed.weight"} & changed
    assert all(name.startswith(front) for name in changed)
    assert all(p.grad is None for p in teacher.parameters())


def test_nothing_stays_on_the_models():
    student, teacher = Odd(), Odd()
    objective = joint(student, teacher)
    for batch in batches():
        objective(batch)["loss"].backward()
    assert objective._teacher._kept is None
    for model in (student, teacher):
        assert not any(module._forward_hooks for module in model.modules())
    assert len(list(objective.parameters())) == len(list(student.parameters())) + 2
    # Also where a pass ends in an error.
    with pytest.raises(RuntimeError), tap(student, "middle", "m"):
        student(torch.rand(1, 4, 8, 8))
    with pytest.raises(RuntimeError):
        run_until(student, "last", torch.rand(1, 4, 8, 8), "m")
    assert not any(module._forward_hooks for module in student.modules())


def test_a_teacher_runs_once_where_its_answers_are_wanted_too():
    """And only up to its layer where they are stored or left out of a step."""
    student, teacher = Odd(), Odd().eval()
    runs = []
    teacher.last.register_forward_hook(lambda *_: runs.append("last"))
    teacher.first.register_forward_hook(lambda *_: runs.append("first"))
    objective = joint(student, teacher)
    first, second, third = batches()
    objective(first)
    runs.clear()
    objective(second)
    assert runs == ["first", "last"]
    runs.clear()
    objective.distillation._guides = [lambda batch: torch.zeros(8, CLASSES)]
    objective(third)
    assert runs == ["first"]


class CalledDirectly(Odd):
    """The layer's forward is called, or its weights are used, without calling it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        x = self.last(self.middle.forward(self.first(x))).mean((2, 3))
        return self.head(F.linear(x, self.linear.weight))


class ReentrantCheckpoint(Odd):
    def forward(self, x):
        x = checkpoint(self.first, x.requires_grad_(), use_reentrant=True)
        x = checkpoint(self.middle, x, use_reentrant=True)
        return self.head(self.last(x).mean((2, 3)))


class Skipping(Odd):
    """Leaves its layer out in training."""

    def forward(self, x):
        x = self.first(x)
        x = x.repeat(1, 2, 1, 1)[:, :8] if self.training else self.middle(x)
        return self.head(self.last(x).mean((2, 3)))


class Frozen(Odd):
    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)
        self.middle.requires_grad_(False)


class Halves(Odd):
    def forward(self, x):
        middle = torch.cat([self.middle(self.first(half)) for half in x.chunk(2)])
        return self.head(self.last(middle).mean((2, 3)))


class CatchesAll(Odd):
    def forward(self, x):
        x = self.first(x)
        try:
            x = self.middle(x)
        except BaseException:
            x = x.repeat(1, 2, 1, 1)[:, :8]
        return self.head(self.last(x).mean((2, 3)))


class Pair(Odd):
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    def __init__(self):
        super().__init__()
        self.pair = self.Two()

    def behind(self, x):
        return self.pair(x)[0]


@pytest.mark.parametrize(
    ("kind", "layer", "said"),
    [
        (CalledDirectly, "middle", "student s: .*'middle': it is never called"),
        (CalledDirectly, "linear", "'linear': it is never called"),
        (SharedLayers, "again", "'again': it is called 2 times"),
        (Pair, "pair", "'pair': it gives no tensor"),
        (Odd, "midle", "no inner layer 'midle'.*mean 'middle'"),
        (Odd, "", "no inner layer ''"),
    ],
)
def test_a_layer_that_gives_no_hint_is_told_before_training(kind, layer, said):
    with pytest.raises(UserError, match=said):
        hint_parts(hint(layer=layer), kind(), Odd(), torch.rand(1, 3, 8, 8), NAMES)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ReentrantCheckpoint, "tensor without gradient"),
        (Frozen, "tensor without gradient"),
        (Skipping, "called 0 times in this pass"),
        (Halves, "called 2 times in this pass"),
    ],
)
def test_a_layer_that_trains_nothing_is_told_in_the_first_step(kind, said):
    with pytest.raises(UserError, match=f"student: the layer 'middle'.*{said}"):
        joint(kind(), Odd()).train()(next(batches()))


def test_a_model_that_goes_on_behind_its_layer_is_told():
    parts = hint_parts(hint("pretrain"), CatchesAll(), Odd(), torch.rand(1, 3, 8, 8), NAMES)
    with pytest.raises(UserError, match="catches every exception"):
        HintPretraining(CatchesAll(), LiveTeacher(Odd()), parts)(next(batches()))


def test_one_module_under_two_names_is_found_by_either():
    layer = find_layer(SharedLayers(), "alias", torch.rand(1, 3, 8, 8), "m")
    assert layer.path == "middle"


def test_a_checkpointed_layer_is_trained_by_its_hint():
    student, plain = Checkpointed(), Odd()
    plain.load_state_dict(student.state_dict())
    teacher = Odd()
    gradients = []
    for model in (student, plain):
        torch.manual_seed(2)
        joint(model, teacher, weight=3.0)(next(batches()))["loss"].backward()
        gradients.append(model.first[0].weight.grad)
    assert torch.equal(*gradients)
