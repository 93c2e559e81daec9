"""The own families: what their settings change, that defaults change nothing, and that they work
wherever a model has to."""

import functools
import hashlib
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from test_models import assert_gradients_stay_channels_last
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock

from modelswitch.config.models import Activation, ModelSpec
from modelswitch.models import blocks
from modelswitch.models.build import build, to_channels_last
from modelswitch.models.cost import cost
from modelswitch.models.kept import check_kept
from modelswitch.models.layers import find_layer
from modelswitch.randomness import seeded

PLAIN = {"family": "plain", "stages": [[8], [12, 16]]}
RESNET = {"family": "resnet", "widths": [8, 12], "blocks": [2, 2]}
MOBILE = {"family": "mobile", "widths": [8, 12], "blocks": [2, 2]}
VARIANTS = {
    "group": PLAIN | {"norm": "group"},
    "none": PLAIN | {"norm": "none"},
    "maxout": PLAIN | {"norm": "none", "activation": "maxout"},
    "silu": PLAIN | {"activation": "silu"},
    "plain-dropout": PLAIN | {"dropout": 0.3},
    "conv": RESNET | {"shortcut": "conv", "dropout": 0.2},
    "mobile": MOBILE,
    "mobile-1": MOBILE | {"expansion": 1, "dropout": 0.1, "stem_stride": 2},
}


def spec_of(values):
    return TypeAdapter(ModelSpec).validate_python(values)


def made(values, channels=3, classes=10, seed=3):
    with seeded(seed):
        return build(spec_of(values), channels, classes)


@pytest.mark.parametrize(
    ("values", "digest"),
    [
        (PLAIN, "f5f372b9c9c74b20"),
        (
            {"family": "resnet", "widths": [16, 32, 64], "blocks": [3, 3, 3], "stem_stride": 2},
            "d4d0d71702e7a626",
        ),
        ({"family": "resnet", "widths": [8, 4], "blocks": [1, 2]}, "7497afe5476abe47"),
    ],
    ids=["plain", "resnet", "narrowing"],
)
def test_first_weights_of_older_configurations_are_what_they_were(values, digest):
    """The digests are of what was built before there were settings for norm and shortcut."""
    found = hashlib.sha256()
    for name, tensor in made(values).state_dict().items():
        found.update(name.encode())
        found.update(tensor.contiguous().numpy().tobytes())
    assert found.hexdigest()[:16] == digest


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("smooth", [False, True], ids=["noise", "smooth"])
def test_nineteen_layers_without_normalisation_start_at_a_sane_scale(activation, smooth):
    stages = [[16] * 6, [32] * 6, [48] * 6]
    values = {"family": "plain", "stages": stages, "norm": "none", "activation": activation}
    model = made(values)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8, 3, 32, 32, generator=generator)
    if smooth:
        coarse = torch.randn(8, 3, 4, 4, generator=generator)
        images = F.interpolate(coarse, (32, 32), mode="bicubic")
        images = (images - images.mean()) / images.std()
    variances = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda layer, inputs, output: variances.append(output.detach().var().item())
            )
    logits = model(images)
    assert len(variances) == 18
    # With torch's own first weights, the last of them has a variance of 1e-13.
    assert all(0.05 < variance < 20 for variance in variances), variances
    # And images are told apart: not all of them give what the biases and means alone do.
    assert logits.std(0).mean() > 0.05 * logits.std()
    logits.logsumexp(1).sum().backward()
    norms = [m.weight.grad.norm().item() for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert max(norms) < 1000 * min(norms)


def test_variances_are_those_of_many_random_numbers():
    z = torch.randn(1, 2, 1000, 1000, generator=torch.Generator().manual_seed(0))
    for activation in get_args(Activation):
        values = blocks.ACTIVATIONS[activation]()(z.clone())
        assert blocks.variance(activation) == pytest.approx(values.var().item(), rel=0.01)


def test_every_activation_of_the_configuration_is_there():
    assert set(blocks.ACTIVATIONS) == set(get_args(Activation))


def test_maxout_is_the_larger_one_of_two_channels():
    x = torch.randn(2, 6, 3, 4)
    assert torch.equal(blocks.Maxout()(x), torch.maximum(x[:, :3], x[:, 3:]))


@pytest.mark.parametrize(
    ("width", "groups"), [(1, 1), (7, 1), (8, 1), (16, 2), (20, 2), (64, 8), (512, 32), (513, 27)]
)
def test_groups_have_about_eight_channels(width, groups):
    assert blocks.groups_of(width) == groups


def test_parameters_are_those_that_the_settings_say():
    convolutions = 9 * (3 * 8 + 8 * 12 + 12 * 16)
    head = 16 * 10 + 10
    counted = {
        "batch": convolutions + 2 * 36 + head,
        "group": convolutions + 2 * 36 + head,
        "none": convolutions + 36 + head,
    }
    for norm, parameters in counted.items():
        assert cost(spec_of(PLAIN | {"norm": norm}), (32, 32, 3), 10).parameters == parameters
    maxout = cost(spec_of(VARIANTS["maxout"]), (32, 32, 3), 10)
    assert maxout.parameters == 2 * (convolutions + 36) + head
    # A shortcut with a convolution is beside the longer path.
    padded, projected = (
        cost(spec_of(RESNET | {"shortcut": shortcut}), (32, 32, 3), 10)
        for shortcut in ("pad", "conv")
    )
    assert projected.depth == padded.depth == 10
    assert projected.parameters == padded.parameters + 8 * 12 + 2 * 12
    # Stem; blocks of expansion, depthwise and projection, with two numbers a channel for each
    # normalisation; the last convolution.
    blocks_of = [(8, 8), (8, 8), (8, 12), (12, 12)]
    counted = 9 * 3 * 8 + 2 * 8 + 4 * 12 * 12 + 2 * 48 + 48 * 10 + 10
    for inputs, outputs in blocks_of:
        inner = 4 * inputs
        counted += inputs * inner + 9 * inner + inner * outputs + 2 * (2 * inner + outputs)
    mobile = cost(spec_of(MOBILE), (32, 32, 3), 10)
    assert mobile.parameters == counted
    assert mobile.depth == 1 + 3 * 4 + 1 + 1


def same_weights(ours, theirs):
    """Ours as a function and theirs, with equal random weights and statistics."""
    generator = torch.Generator().manual_seed(0)
    own, other = ours.state_dict(), theirs.state_dict()
    assert [t.shape for t in own.values()] == [t.shape for t in other.values()]
    for first, second in zip(own.values(), other.values(), strict=True):
        if first.is_floating_point():
            first.copy_(torch.rand(first.shape, generator=generator) + 0.1)
            second.copy_(first)
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize(("stride", "outputs"), [(1, 6), (2, 9), (1, 9)])
@pytest.mark.parametrize("expansion", [1, 4])
def test_a_mobile_block_is_torchvision_s_inverted_residual(stride, outputs, expansion):
    ours, theirs = same_weights(
        blocks.MobileBlock(6, outputs, stride, expansion),
        InvertedResidual(6, outputs, stride, expansion),
    )
    x = torch.randn(2, 6, 8, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_residual_block_with_a_convolution_is_torchvision_s_basic_block():
    downsample = nn.Sequential(nn.Conv2d(6, 9, 1, 2, bias=False), nn.BatchNorm2d(9))
    ours, theirs = same_weights(
        blocks.ResidualBlock(6, 9, 2, "conv"), BasicBlock(6, 9, 2, downsample)
    )
    x = torch.randn(2, 6, 8, 7)
    torch.testing.assert_close(ours(x), theirs(x))
    assert blocks.ResidualBlock(6, 6, 1, "conv").project is None


def test_dropout_leaves_features_out_in_training_alone():
    for values in (PLAIN, RESNET, MOBILE):
        model, images = made(values | {"dropout": 0.5}), torch.randn(4, 3, 16, 16)
        assert not torch.equal(model(images), model(images))
        model.eval()
        assert torch.equal(model(images), model(images))
        without = made(values)
        assert without.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
class TestEveryVariant:
    def test_is_kept_by_files_and_takes_images_of_any_size(self, values):
        for shape in ((1, 9, 8), (3, 20, 33)):
            images, labels = torch.randn(4, *shape), torch.arange(4)
            again = functools.partial(made, values, shape[0], 5)
            assert check_kept(again, 0, images, labels)

    def test_has_layers_by_depth(self, values):
        model, example = made(values).eval(), torch.randn(1, 3, 16, 16)
        layers = [find_layer(model, depth, example, "m") for depth in (0.25, 0.5, 0.75)]
        # Ends of blocks or of stages' convolutions, never something inside a block.
        assert len({layer.path for layer in layers}) >= 2
        for layer in layers:
            block = model.get_submodule(layer.path)
            assert isinstance(block, blocks.ConvBlock | blocks.ResidualBlock | blocks.MobileBlock)

    def test_keeps_gradients_channels_last(self, values):
        assert_gradients_stay_channels_last(to_channels_last(made(values)))

    def test_answers_alike_as_a_file_for_devices(self, values, tmp_path):
        pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
        from modelswitch.deployment import export, runtimes
        from modelswitch.deployment.deployable import Deployable

        model = made(values, 3, 4).eval().to(memory_format=torch.channels_last)
        whole = Deployable(model, [0.5] * 3, [0.2] * 3, preprocessing=True)
        pixels = torch.randint(0, 256, (8, 12, 10, 3), dtype=torch.uint8)
        path = tmp_path / "model.onnx"
        about = {"lineage": "net", "classes": list("abcd"), "shape": [12, 10, 3]}
        export.export("onnx", whole, pixels, path, about)
        answers = torch.from_numpy(runtimes.open_file(path)(whole.takes(pixels).numpy()))
        images = ((pixels.permute(0, 3, 1, 2) / 255) - 0.5) / 0.2
        with torch.no_grad():
            torch.testing.assert_close(answers, model(images).softmax(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (PLAIN | {"norm": "layer"}, "'batch', 'group' or 'none'"),
        (PLAIN | {"activation": "swish"}, "'silu'"),
        (PLAIN | {"dropout": 1.0}, "less than 1"),
        (RESNET | {"shortcut": "zeros"}, "'pad' or 'conv'"),
        (RESNET | {"norm": "none"}, "unknown key 'norm'"),
        (MOBILE | {"expansion": 0}, "greater than or equal to 1"),
        (MOBILE | {"blocks": [1]}, "blocks has 1 entries and widths 2"),
    ],
)
def test_what_there_is_not_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        spec_of(values)


def test_no_family_has_what_onednn_writes_beside_its_memory_for():
    """Convolutions of 1x1 with a stride, of few channels: heaps were corrupted in training."""
    values = [
        {"family": "resnet", "widths": [5, 8], "blocks": [1, 1], "shortcut": "conv"},
        {"family": "mobile", "widths": [5, 8], "blocks": [1, 1]},
    ]
    for spec in values:
        network = build(TypeAdapter(ModelSpec).validate_python(spec), 1, 10)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
                assert layer.stride == (1, 1)
