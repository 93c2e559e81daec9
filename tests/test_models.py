"""Models by specification, their inner layers, and what they cost."""

import pytest
import torch
from torch import nn

from modelswitch.config.architecture import LayerSize, NarrowedModel
from modelswitch.config.models import (
    ImportedModel,
    PlainModel,
    ResnetModel,
    TimmModel,
    TorchvisionModel,
)
from modelswitch.errors import UserError
from modelswitch.models.blocks import ResidualBlock
from modelswitch.models.build import build
from modelswitch.models.cost import cost, latency

PLAIN = PlainModel(family="plain", stages=[[8], [12, 16]])
RESNET20 = ResnetModel(family="resnet", widths=[16, 32, 64], blocks=[3, 3, 3])


def test_a_plain_model_has_the_parameters_that_its_widths_say():
    convolutions = 9 * (3 * 8 + 8 * 12 + 12 * 16)
    normalisation = 2 * (8 + 12 + 16)
    measured = cost(PLAIN, (32, 32, 3), 10)
    assert measured.parameters == convolutions + normalisation + 16 * 10 + 10
    assert measured.depth == 4
    # Full resolution in the first stage, half of it in the second.
    macs = 9 * (32 * 32 * 3 * 8 + 16 * 16 * (8 * 12 + 12 * 16)) + 16 * 10
    assert measured.macs == macs


def test_resnet20_is_the_one_of_the_literature():
    measured = cost(RESNET20, (32, 32, 3), 10)
    # He et al. 2016, table 6: 0.27 M parameters; 41 M multiply-accumulates are widely reported.
    assert measured.depth == 20
    assert round(measured.parameters / 1e6, 2) == 0.27
    assert round(measured.macs / 1e6) in (40, 41)


def test_a_stem_with_a_stride_takes_a_quarter_of_the_operations():
    halved = RESNET20.model_copy(update={"stem_stride": 2})
    whole, quarter = (cost(spec, (32, 32, 3), 10) for spec in (RESNET20, halved))
    assert quarter.parameters == whole.parameters
    # The classifier costs the same for either.
    assert 4 * (quarter.macs - 640) == whole.macs - 640


def test_a_shortcut_is_every_second_pixel_and_channels_of_zeros():
    block = ResidualBlock(3, 5, stride=2)
    x = torch.rand(2, 3, 7, 4)
    kept, zeros = block.shortcut(x).split([3, 2], dim=1)
    assert torch.equal(kept, x[:, :, ::2, ::2])
    assert not zeros.any()


def assert_gradients_stay_channels_last(model):
    """A gradient in another order makes the backward pass of thin networks half as fast."""
    other = []

    def watch(module, _, output):
        def look(gradient):
            if not gradient.is_contiguous(memory_format=torch.channels_last):
                other.append(type(module).__name__)

        output.register_hook(look)

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm | ResidualBlock):
            module.register_forward_hook(watch)
    images = torch.rand(2, 3, 32, 32).to(memory_format=torch.channels_last)
    model(images).sum().backward()
    assert other == []


@pytest.mark.parametrize("spec", [PLAIN, RESNET20], ids=["plain", "resnet"])
def test_gradients_stay_channels_last_where_images_are_large(spec):
    model = build(spec, 3, 10).to(memory_format=torch.channels_last)
    assert_gradients_stay_channels_last(model)


@pytest.mark.parametrize("shape", [(8, 8, 1), (33, 20, 3)])
def test_models_take_grey_and_colour_of_any_size(shape):
    height, width, channels = shape
    for spec in (PLAIN, RESNET20):
        model = build(spec, channels, 7)
        assert model(torch.rand(2, channels, height, width)).shape == (2, 7)


def test_timm_and_torchvision_models_are_built_by_name():
    spec = TimmModel(family="timm", model="resnet18")
    assert build(spec, 1, 5)(torch.rand(2, 1, 32, 32)).shape == (2, 5)
    spec = TorchvisionModel(family="torchvision", model="squeezenet1_1")
    assert build(spec, 1, 5)(torch.rand(2, 1, 40, 40)).shape == (2, 5)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (TimmModel(family="timm", model="resnet999"), ["timm", "resnet999", "resnet18"]),
        (TorchvisionModel(family="torchvision", model="resnet19"), ["resnet19", "resnet18"]),
        (
            TorchvisionModel(family="torchvision", model="resnet18", arguments={"a": 1}),
            ["resnet18"],
        ),
        (ImportedModel(family="import", path="nowhere:model"), ["nowhere"]),
        (ImportedModel(family="import", path="test_models:nothing"), ["nothing", "small_model"]),
        (ImportedModel(family="import", path="test_models:no_model"), ["str", "torch module"]),
    ],
)
def test_models_that_do_not_exist_are_told_with_those_that_do(spec, said):
    with pytest.raises(UserError) as caught:
        build(spec, 3, 10)
    for part in said:
        assert part in str(caught.value)


def small_model(in_channels: int, num_classes: int, width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.Flatten(), nn.LazyLinear(num_classes))


def wrong_classes(in_channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64, num_classes + 1))


def no_model(in_channels: int, num_classes: int) -> str:
    return "no model"


def test_a_users_own_model_is_imported_with_its_arguments():
    spec = ImportedModel(family="import", path="test_models:small_model", arguments={"width": 3})
    assert build(spec, 1, 4)[0].weight.shape == (3, 1, 3, 3)


def test_a_model_that_does_not_suit_the_images_is_refused():
    deep = PlainModel(family="plain", stages=[[4]] * 5)
    with pytest.raises(UserError, match="8x8x1"):
        cost(deep, (8, 8, 1), 10)
    other = ImportedModel(family="import", path="test_models:wrong_classes")
    with pytest.raises(UserError, match=r"\(1, 11\).*10 classes"):
        cost(other, (8, 8, 1), 10)


def test_latency_is_measured_without_touching_the_model():
    model = build(PLAIN, 3, 10)
    assert latency(model, (8, 8, 3), runs=3) > 0
    assert model.training


def test_a_strided_convolution_of_1x1_and_few_channels_loses_its_stride_and_nothing_else():
    """What oneDNN writes beside its memory for, also where pruning leaves few channels."""
    spec = TorchvisionModel(family="torchvision", model="resnet18")
    torch.manual_seed(0)
    whole = build(spec, 3, 10)
    sizes = {"layer2.0.downsample.0": LayerSize(outputs=128, inputs=64, groups=1)}
    assert whole.layer2[0].downsample[0].stride == (2, 2)
    for path in ("conv1", "layer1.0.conv2", "layer1.1.conv2"):
        inputs = whole.get_submodule(path).in_channels
        sizes[path] = LayerSize(outputs=12, inputs=inputs, groups=1)
    for path in ("bn1", "layer1.0.bn2", "layer1.1.bn2"):
        sizes[path] = LayerSize(outputs=12)
    for path in ("layer1.0.conv1", "layer1.1.conv1"):
        sizes[path] = LayerSize(outputs=64, inputs=12, groups=1)
    sizes["layer2.0.conv1"] = LayerSize(outputs=128, inputs=12, groups=1)
    sizes["layer2.0.downsample.0"] = LayerSize(outputs=128, inputs=12, groups=1)
    narrowed = build(NarrowedModel(network=spec, layers=sizes), 3, 10).eval()
    layer = narrowed.layer2[0].downsample[0]
    assert layer.stride == (1, 1)
    assert narrowed.layer3[0].downsample[0].stride == (2, 2)
    x = torch.randn(2, 12, 8, 8)
    expected = nn.functional.conv2d(x, layer.weight, stride=2)
    torch.testing.assert_close(layer(x), expected)
    assert narrowed(torch.randn(2, 3, 32, 32)).shape == (2, 10)
