"""Which layer a hint is taken from, and that it is the same tensor on both sides."""

import copy

import pytest
import torch
import torchvision
from odd_models import CLASSES, SqueezeExcite, Transformer
from torch import nn

from modelswitch.config.models import PlainModel, ResnetModel
from modelswitch.config.transfer import Hint
from modelswitch.config.weighting import FixedWeighting
from modelswitch.data.views import Batch
from modelswitch.errors import UserError
from modelswitch.models.build import build
from modelswitch.models.layers import find_layer, inner_layers, weighted_layers
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import HintPretraining, JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import rule_for

PLAIN = PlainModel(family="plain", stages=[[8], [12, 16]])
RESNET20 = ResnetModel(family="resnet", widths=[16, 32, 64], blocks=[3, 3, 3])
DEPTHS = (0.25, 0.5, 0.75)
# One small member of every classification family of torchvision, and the side of its images.
TORCHVISION = {
    "alexnet": 64, "convnext_tiny": 32, "densenet121": 32, "efficientnet_b0": 32,
    "efficientnet_v2_s": 32, "googlenet": 64, "inception_v3": 96, "maxvit_t": 224,
    "mnasnet0_5": 32, "mobilenet_v2": 32, "mobilenet_v3_small": 32, "regnet_x_400mf": 32,
    "regnet_y_400mf": 32, "resnet18": 32, "resnext50_32x4d": 32, "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32, "swin_t": 32, "swin_v2_t": 32, "vgg11_bn": 32, "vit_b_16": 224,
}  # fmt: skip
TIMM = {
    "resnet18": 32, "resnetv2_50": 32, "resnet26d": 32, "tf_efficientnetv2_b0": 32,
    "mobilevit_xxs": 64, "mobilenetv3_small_050": 32, "vit_tiny_patch16_224": 224,
    "convnextv2_atto": 32, "swin_tiny_patch4_window7_224": 224, "crossvit_tiny_240": 240,
    "hrnet_w18_small": 64, "cait_xxs24_224": 224, "xcit_nano_12_p16_224": 224, "pit_ti_224": 224,
    "levit_128s": 224, "mixer_s32_224": 224, "resmlp_12_224": 224, "gmlp_ti16_224": 224,
    "poolformer_s12": 64, "edgenext_xx_small": 64, "ghostnet_050": 32, "dla34": 32,
    "dpn48b": 32, "selecsls42": 64, "twins_svt_small": 224, "volo_d1_224": 224,
    "coatnet_pico_rw_224": 224, "efficientformer_l1": 224, "fastvit_t8": 64, "repvgg_a0": 32,
    "rexnet_100": 32, "cspresnet50": 32, "nf_resnet26": 32, "regnety_002": 32, "skresnet18": 32,
    "tnt_s_patch16_224": 224, "mvitv2_tiny": 224, "pvt_v2_b0": 224, "focalnet_tiny_srf": 224,
    "inception_v4": 96, "davit_tiny": 224, "eva02_tiny_patch14_224": 224,
}  # fmt: skip


def from_torchvision(name):
    more = {"init_weights": False} if name in ("googlenet", "inception_v3", "vgg11_bn") else {}
    return torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **more)


def from_timm(name):
    import timm

    return timm.create_model(name, num_classes=CLASSES)


def check_hint(model, size, depth):
    """The hint loss of two equal models is 0, and trains only the front of the student."""
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    batch = Batch(images, torch.arange(2), torch.arange(2), None)
    student, teacher = model, LiveTeacher(copy.deepcopy(model))
    hint = Hint(mode="joint", student_layer=depth, teacher_layer=depth)
    parts = hint_parts(hint, student, teacher.model, images[:1], ("student", "teacher"))
    weight = parts.loss[0].regressor.project.weight
    (nn.init.dirac_ if weight.ndim == 4 else nn.init.eye_)(weight)
    nn.init.zeros_(parts.loss[0].regressor.project.bias)
    outputs = Distillation(
        student, [teacher], rule_for(FixedWeighting()), soft=0.7, temperature=4.0
    )
    with torch.no_grad():
        assert (
            JointTransfer(outputs, teacher, [WeightedHint(parts, lambda epoch: 1.0)]).eval()(batch)[
                "loss_hint"
            ]
            == 0
        )
    HintPretraining(student, teacher, parts).train()(batch)["loss"].backward()
    called = [layer.path for layer in inner_layers(student, images[:1])]
    weighted = [path for path in called if path in weighted_layers(student)]
    trained = [student.get_submodule(path).weight.grad is not None for path in weighted]
    # Of several branches, perhaps not the one that comes first.
    assert any(trained)
    assert not trained[-1]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("family", "name"),
    [("own", "plain"), ("own", "resnet"), ("torchvision", "resnet18"),
     ("torchvision", "mobilenet_v3_small"), ("torchvision", "squeezenet1_1"),
     ("timm", "tf_efficientnetv2_b0"), ("timm", "convnextv2_atto")],
)  # fmt: skip
def test_equal_models_have_no_hint_loss(family, name, depth):
    if family == "own":
        check_hint(build({"plain": PLAIN, "resnet": RESNET20}[name], 3, CLASSES), 16, depth)
    elif family == "torchvision":
        check_hint(from_torchvision(name), TORCHVISION[name], depth)
    else:
        check_hint(from_timm(name), TIMM[name], depth)


@pytest.mark.long
@pytest.mark.parametrize("name", TORCHVISION)
def test_equal_models_of_every_family_of_torchvision_have_no_hint_loss(name):
    model = from_torchvision(name)
    for depth in DEPTHS:
        check_hint(copy.deepcopy(model), TORCHVISION[name], depth)


@pytest.mark.long
@pytest.mark.parametrize("name", TIMM)
def test_equal_models_of_many_families_of_timm_have_no_hint_loss(name):
    model = from_timm(name)
    for depth in DEPTHS:
        check_hint(copy.deepcopy(model), TIMM[name], depth)


def test_the_table_has_every_family_of_torchvision():
    families = set()
    for name in torchvision.models.list_models(module=torchvision.models):
        module = torchvision.models.get_model_builder(name).__module__
        families.add(module)
    table = {torchvision.models.get_model_builder(name).__module__ for name in TORCHVISION}
    assert table == families


def path(model, depth, size):
    return find_layer(model, depth, torch.rand(1, 3, size, size), "m").path


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("resnet18", ["layer1", "layer2", "layer3"]),
        ("vgg11_bn", ["features.10", "features.20", "features.27"]),
        ("mobilenet_v3_small", ["features.4", "features.6", "features.9"]),
        ("efficientnet_b0", ["features.3.0", "features.4", "features.6.0"]),
    ],
)
def test_a_depth_means_the_end_of_a_block(name, paths):
    """With its activation and its shortcut; in VGG the ReLU before pooling."""
    model = from_torchvision(name)
    assert [path(model, depth, TORCHVISION[name]) for depth in DEPTHS] == paths


def test_a_depth_means_the_end_of_a_block_of_the_own_families():
    plain, resnet = build(PLAIN, 3, 10), build(RESNET20, 3, 10)
    assert [path(plain, depth, 16) for depth in DEPTHS] == [
        "stage1_conv1",
        "stage2_conv1",
        "stage2_conv2",
    ]
    # 20 layers: stage2_block1 ends with the 9th, stage2_block2 with the 11th, as far from the
    # middle. The 10th is the first convolution inside that block, which a shortcut goes around.
    assert path(resnet, 0.5, 32) == "stage2_block2"


def test_no_depth_means_a_tensor_beside_the_way_of_the_image():
    """Squeeze-excite's vector, or what attention or a block has inside."""
    for model, allowed in (
        (SqueezeExcite(), {"first", "middle", "block1", "block2", "block3", "last"}),
        # Every residual sum of such a layer is normalised, and all goes through it.
        (Transformer(), {"embed", "first.norm1", "first", "middle.norm1", "middle"}),
    ):
        found = {path(model, depth / 40, 8) for depth in range(1, 41)}
        assert found <= allowed
        assert len(found) >= 3


def test_layers_are_found_by_path():
    model, example = build(RESNET20, 3, 10), torch.rand(1, 3, 32, 32)
    assert find_layer(model, "stage1_block3", example, "teacher").shape == (1, 16, 32, 32)
    assert find_layer(model, 1.0, example, "teacher").depth < 1
    with pytest.raises(UserError, match=r"teacher: has no inner layer 'layer1'.*stage1_block1"):
        find_layer(model, "layer1", example, "teacher")


def test_maps_have_their_channels_in_front_whatever_order_a_layer_gives_them_in():
    swin, example = from_torchvision("swin_t"), torch.rand(1, 3, 32, 64)
    layer = find_layer(swin, "features.3", example, "m")
    assert layer.shape == (1, 4, 8, 192)
    assert layer.feature_shape == (1, 192, 4, 8)
    assert layer.features(torch.rand(2, 4, 8, 192)).shape == (2, 192, 4, 8)
    for size in ((1, 3, 16, 16), (1, 3, 8, 24), (1, 3, 33, 20)):
        layer = find_layer(build(RESNET20, 3, 10), "stage1_block1", torch.rand(size), "m")
        assert layer.feature_shape == layer.shape
