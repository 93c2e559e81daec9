"""Several hints beside the outputs: their sum, their layers, and weights that change."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from modelswitch.config.messages import describe
from modelswitch.config.models import PlainModel, ResnetModel
from modelswitch.config.training import Training
from modelswitch.config.transfer import LayerPair, Transfer
from modelswitch.config.weighting import FixedWeighting
from modelswitch.data.views import Batch
from modelswitch.errors import UserError
from modelswitch.models.build import build
from modelswitch.models.stages import common_stages, stages
from modelswitch.models.taps import run_until_all, taps
from modelswitch.training.loop import train
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.inner_losses.registry import INNER_LOSSES
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import rule_for

PLAIN = PlainModel(family="plain", stages=[[4, 4], [6], [8]])
RESNET = ResnetModel(family="resnet", widths=[4, 6, 8], blocks=[2, 1, 1])
NAMES = "student s", "teacher t"
EPOCHS = 8


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def batch():
    images = torch.randn(16, 3, 16, 16)
    return Batch(images, torch.arange(16) % 5, torch.arange(16), None)


def transferred(hints, student=None, teacher=None):
    """The objective of a training with hints as a configuration writes them."""
    student, teacher = student or build(PLAIN, 3, 5), teacher or build(RESNET, 3, 5)
    live = LiveTeacher(teacher.requires_grad_(False))
    outputs = Distillation(student, [live], rule_for(FixedWeighting()), soft=0.7, temperature=4)
    image = torch.randn(1, 3, 16, 16)
    pairs = Transfer(hints=hints).joint_hints
    parts = [hint_parts(pair, student, live.model, image, NAMES) for pair in pairs]
    return JointTransfer(
        outputs, live, [WeightedHint.of(*each, EPOCHS) for each in zip(pairs, parts, strict=True)]
    )


def test_hints_are_summed_with_their_weights_and_named(batch):
    objective = transferred(
        [{"loss": "mse", "weight": 2}, {"loss": "attention", "weight": 30, "student_layer": 0.25}]
    ).eval()
    terms = objective(batch)
    outputs = objective.distillation(batch)["loss"]
    first, second = terms["loss_hint_1_mse"], terms["loss_hint_2_attention"]
    torch.testing.assert_close(terms["loss"], outputs + 2 * first + 30 * second)
    assert first > 0
    assert second > 0
    assert not any(name.startswith("weight_hint") for name in terms)


def test_one_hint_is_what_it_was_alone_to_the_bit(batch):
    as_hint = Transfer(hint={"mode": "joint", "loss": "mse", "weight": 2}).joint_hints
    as_list = Transfer(hints=[{"loss": "mse", "weight": 2}]).joint_hints
    student, teacher = build(PLAIN, 3, 5), build(RESNET, 3, 5)
    found = []
    for hints in (as_hint, as_list):
        torch.manual_seed(1)
        given = [pair.model_dump(exclude={"mode", "training"}) for pair in hints]
        found.append(transferred(given, student, teacher).eval()(batch))
    assert found[0].keys() == found[1].keys()
    assert "loss_hint" in found[0]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize(
    ("schedule", "end", "wanted"),
    [
        ("constant", 1.0, [3, 3, 3, 3, 3, 3, 3, 3]),
        ("constant", 0.5, [3, 3, 3, 3, 0, 0, 0, 0]),
        ("linear", 1.0, [3 * (1 - e / 8) for e in range(8)]),
        ("linear", 0.5, [3, 2.25, 1.5, 0.75, 0, 0, 0, 0]),
        ("cosine", 0.5, [1.5 * (1 + math.cos(math.pi * e / 4)) for e in range(4)] + [0] * 4),
    ],
)
def test_weights_go_to_0_until_the_end(schedule, end, wanted):
    pair = LayerPair(weight=3, schedule=schedule, end=end)
    assert [pair.weight_in(epoch, 8) for epoch in range(8)] == pytest.approx(wanted)


def test_a_hint_that_has_ended_costs_nothing_and_changes_nothing(batch):
    objective = transferred([{"loss": "mse", "end": 0.5}, {"loss": "attention", "end": 0.25}])
    objective.eval()
    said = {}
    for epoch in (0, 2, 4):
        objective.start_epoch(epoch)
        said[epoch] = objective(batch)
    assert said[0].keys() == said[2].keys() == said[4].keys()
    weights = [[said[e][f"weight_hint_{n}"].item() for e in said] for n in ("1_mse", "2_attention")]
    assert weights == [[1, 1, 0], [1, 0, 0]]
    assert said[2]["loss_hint_2_attention"] == 0
    assert torch.equal(said[4]["loss"], objective.distillation(batch)["loss"])
    assert objective._teacher._layers == ()
    assert not objective._tapped


class Maps(nn.Module):
    """A stem, two stages, a pooling that is no stage, and a stage at another size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.first = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.shrink = nn.MaxPool2d(2)
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(24, 5)

    def forward(self, images):
        maps = self.drop(self.first(self.stem(images)))
        return self.head(self.pool(self.act(self.second(self.shrink(maps)))).flatten(1))


def test_a_stage_is_the_last_block_of_a_resolution():
    image = torch.randn(1, 3, 16, 16)
    found = {s: layer.path for s, layer in stages(build(RESNET, 3, 5), image).items()}
    assert list(found) == [(16, 16), (8, 8), (4, 4)]
    found = {s: layer.path for s, layer in stages(Maps(), image).items()}
    assert found == {(8, 8): "first", (4, 4): "act"}
    shapes = {s: layer.shape for s, layer in stages(build(PLAIN, 3, 5), image).items()}
    assert shapes == {(16, 16): (1, 4, 16, 16), (8, 8): (1, 6, 8, 8), (4, 4): (1, 8, 4, 4)}


def test_stages_are_the_last_blocks_of_a_known_network():
    import torchvision

    found = stages(torchvision.models.resnet18(), torch.randn(1, 3, 64, 64))
    assert {size[0]: layer.path for size, layer in found.items()} == {
        32: "relu",
        16: "layer1",
        8: "layer2",
        4: "layer3",
        2: "layer4",
    }


def test_stages_are_paired_by_what_both_models_have():
    image = torch.randn(1, 3, 16, 16)
    pairs = common_stages(stages(Maps(), image), stages(build(RESNET, 3, 5), image), NAMES)
    assert [(ours.shape[2], theirs.shape[2]) for ours, theirs in pairs] == [(8, 8), (4, 4)]
    with pytest.raises(UserError, match=r"student s \(8x8, 4x4\) and teacher t \(none\)"):
        common_stages(stages(Maps(), image), {}, NAMES)


def test_the_loss_of_stages_is_the_sum_over_them(batch):
    together = transferred([{"loss": "attention", "stages": True}]).eval()
    parts = together._hints[0].parts
    with taps(together.student, [x.path for x in parts.student_layers], "s") as ours:
        together.student(batch.images)
    with taps(together._teacher.model, [x.path for x in parts.teacher_layers], "t") as theirs:
        together._teacher.model(batch.images.clone().requires_grad_())
    assert len(parts.student_layers) == 3
    wanted = 0
    for own, above in zip(parts.student_layers, parts.teacher_layers, strict=True):
        maps = [
            x.square().mean(1).flatten(1)
            for x in (ours[own.path].output, theirs[above.path].output)
        ]
        maps = [x / x.norm(dim=1, keepdim=True) for x in maps]
        wanted = wanted + (maps[0] - maps[1]).square().mean()
    torch.testing.assert_close(together(batch)["loss_hint"], wanted)


@pytest.mark.parametrize("loss", ["mse", "attention", "similarity", "relational", "correlation"])
def test_every_loss_trains_the_student_between_stages(loss, batch):
    objective = transferred([{"loss": loss, "stages": True}, {"loss": "review", "stages": True}])
    objective.train()(batch)["loss"].backward()
    missing = [n for n, p in objective.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_outputs_of_several_layers_come_from_one_pass_that_ends_behind_the_last():
    model, images = Maps().eval(), torch.randn(2, 3, 16, 16)
    ran = []
    model.head.register_forward_hook(lambda *_: ran.append("head"))
    with torch.no_grad():
        found = run_until_all(model, ["second", "first"], images, "m")
        assert ran == []
        for layer, output in found.items():
            alone = run_until_all(model, [layer], images, "m")[layer]
            assert torch.equal(output, alone)
        # What works in place behind a layer that is not the last changes nothing of it.
        both = run_until_all(model, ["second", "pool"], images, "m")
        assert torch.equal(both["second"], found["second"])
    assert not any(
        module._forward_hooks for name, module in model.named_modules() if name != "head"
    )
    model.forward = lambda x: model.first(model.stem(x))
    with pytest.raises(UserError, match="'drop' is called 0 times"):
        run_until_all(model, ["first", "drop"], images, "m")


TOKENS = {
    # A class token before 4 x 4 others, and maps with channels behind.
    "vit": ("vit_tiny_patch16_224", {"img_size": 64, "depth": 3}),
    "swin": ("swin_tiny_patch4_window7_224", {"img_size": 64, "window_size": 2}),
}


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        *(("vit", loss) for loss in INNER_LOSSES),
        pytest.param("swin", "attention", marks=pytest.mark.slow),
    ],
)
def test_transformers_learn_inner_layers_from_each_other(kind, loss):
    import timm

    name, more = TOKENS[kind]
    models = [timm.create_model(name, num_classes=5, **more) for _ in range(2)]
    live = LiveTeacher(models[1].requires_grad_(False))
    outputs = Distillation(models[0], [live], rule_for(FixedWeighting()), soft=0.7, temperature=4)
    images = torch.randn(4, 3, 64, 64)
    pair = LayerPair(loss=loss)
    parts = hint_parts(pair, models[0], models[1], images[:1], NAMES)
    objective = JointTransfer(outputs, live, [WeightedHint.of(pair, parts, 1)]).train()
    terms = objective(Batch(images, torch.arange(4), torch.arange(4), None))
    terms["loss"].backward()
    assert terms["loss_hint"] > 0
    first = next(p for p in models[0].parameters() if p.requires_grad)
    assert torch.isfinite(first.grad).all()


def test_stages_of_a_transformer_without_maps_are_refused():
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3)
    image = torch.randn(1, 3, 64, 64)
    with pytest.raises(UserError, match=r"no resolution is common.*\(none\).*name a teacher_layer"):
        hint_parts(LayerPair(stages=True), model, build(RESNET, 3, 5), image, NAMES)


def test_a_teacher_watches_what_it_is_told_in_one_pass_with_its_answer(batch):
    teacher = LiveTeacher(build(RESNET, 3, 5).requires_grad_(False))
    layers = [layer.path for layer in stages(teacher.model, batch.images[:1]).values()]
    for watched in (layers[:1], layers, layers[1:]):
        teacher.watch(*watched)
        before = teacher.features(batch)
        teacher(batch)
        beside = teacher.features(batch)
        assert set(before) == set(beside) == set(watched)
        assert all(torch.equal(before[layer], beside[layer]) for layer in watched)


class Twice:
    """The same batch twice an epoch."""

    steps = 2

    def __init__(self, batch):
        self.batch = batch

    def epoch(self, epoch, skip=0):
        yield from [self.batch] * (self.steps - skip)


def test_the_hint_that_is_no_number_is_named(batch):
    own = {"name": "import", "path": "test_hints:late"}
    objective = transferred([{"loss": "mse"}, {"loss": own}])
    training = Training(epochs=2, batch=16, precision="float32")
    with pytest.raises(UserError, match=r"^loss_hint_2_import is nan in epoch 1, step 2"):
        train(
            objective,
            Twice(batch),
            training,
            device=torch.device("cpu"),
            epoch_seed=lambda epoch: epoch,
        )


CALLS = []


def late(student, teacher):
    """No number from the second step of a training on; the first call of all is a trial."""
    CALLS.append(student.shape)
    return student.mean() * (1.0 if len(CALLS) < 3 else float("nan"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hints": [{"loss": "crd"}]}, ["hints.0.loss", "'crd'", "'attention', 'similarity'"]),
        ({"hints": [{"stages": True, "student_layer": 0.3}]}, ["hints.0", "student_layer names"]),
        ({"hints": [{"mode": "joint"}]}, ["hints.0: unknown key 'mode'"]),
        ({"hints": {"loss": "mse"}}, ["hints: found", "valid list"]),
        ({"hints": [{"weight": 0}]}, ["hints.0.weight", "greater than 0"]),
        ({"hints": [{"end": 0}]}, ["hints.0.end", "greater than 0"]),
        ({"hints": [{"schedule": "step"}]}, ["hints.0.schedule", "'linear'"]),
        ({"hint": {"mode": "pretrain", "stages": True}}, ["hint: stages: only in joint mode"]),
        ({"hint": {"mode": "pretrain", "end": 0.5}}, ["hint: end: only in joint mode"]),
        (
            {"hints": [{"loss": {"name": "relational", "distance": 0, "angle": 0}}]},
            ["hints.0.loss: distance and angle are 0"],
        ),
    ],
)
def test_hints_that_make_no_sense_are_told_in_a_line(values, said):
    with pytest.raises(ValidationError) as caught:
        Transfer.model_validate(values)
    line = describe(caught.value, Transfer)
    for part in said:
        assert part in line, line
    assert "\n" not in line


def test_a_transfer_says_how_its_hints_are_transferred():
    both = Transfer(hint={"mode": "pretrain"}, hints=[{"loss": "attention"}, {"loss": "review"}])
    assert both.hint_modes == "pretrain+joint"
    assert both.hint_losses == ["mse", "attention", "review"]
    assert [pair.loss.name for pair in both.joint_hints] == ["attention", "review"]
    assert Transfer().hint_modes == ""
    assert Transfer(hint={"mode": "joint"}).hint_modes == "joint"
