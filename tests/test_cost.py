"""What a model costs: parameters, depth and multiply-accumulates as others have published them."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from modelswitch.config.models import ImportedModel, PlainModel, TimmModel, TorchvisionModel
from modelswitch.errors import UserError
from modelswitch.models.cost import cost

# Layers by the names and papers of the architectures, and for those without a number in their name
# by MathWorks' list of pretrained networks, which counts likewise: "the largest number of
# sequential convolutional or fully connected layers on a path". A transformer's block has four
# (queries with keys and values, projection, two of the perceptron), one before them and one behind.
DEPTHS = {
    "alexnet": 8,
    "vgg11": 11,
    "vgg13_bn": 13,
    "vgg16": 16,
    "vgg19": 19,
    "resnet18": 18,
    "resnet34": 34,
    "resnet50": 50,
    "resnet101": 101,
    "resnet152": 152,
    "wide_resnet50_2": 50,
    "resnext50_32x4d": 50,
    "densenet121": 121,
    "densenet169": 169,
    "densenet201": 201,
    "googlenet": 22,
    "inception_v3": 48,
    "squeezenet1_0": 18,
    "mobilenet_v2": 53,
    "efficientnet_b0": 82,
    "vit_b_16": 4 * 12 + 2,
    "vit_b_32": 4 * 12 + 2,
    # Three layers merge the patches between the four stages.
    "swin_t": 4 * 12 + 3 + 2,
}


@pytest.mark.parametrize("name", DEPTHS)
def test_torchvisions_models_cost_what_torchvision_says(name):
    # Published without its auxiliary outputs; inception_v3 with them.
    arguments = {"aux_logits": False} if name == "googlenet" else {}
    spec = TorchvisionModel(family="torchvision", model=name, arguments=arguments)
    size = 299 if name == "inception_v3" else 224
    measured = cost(spec, (size, size, 3), 1000)
    [first, *_] = torchvision.models.get_model_weights(name)
    assert measured.parameters == first.meta["num_params"]
    assert round(measured.macs / 1e9, 3) == pytest.approx(first.meta["_ops"], abs=0.0011)
    assert measured.depth == DEPTHS[name]


# Millions of parameters and thousands of millions of operations as in timm's
# results/model_benchmark_amp_nchw_rtx3090.csv, which counts pooling and normalisation too; depth
# by name and paper.
TIMM = {
    "resnet18": (224, 11.69, 1.82, 18),
    "resnet26": (224, 16.0, 2.36, 26),
    # Three convolutions instead of one before the first block.
    "resnet50d": (224, 25.58, 4.35, 52),
    "xception": (299, 22.86, 8.4, 71),
    "vit_tiny_patch16_224": (224, 5.72, 1.26, 50),
    "deit_small_patch16_224": (224, 22.05, 4.61, 50),
    "mixer_b16_224": (224, 59.88, 12.62, 50),
    "cspdarknet53": (256, 27.64, 6.57, None),
    "levit_128s": (224, 7.78, 0.31, None),
    "regnety_004": (224, 4.34, 0.41, None),
    "xcit_nano_12_p16_224": (224, 3.05, 0.56, None),
}


@pytest.mark.parametrize("name", TIMM)
def test_timms_models_cost_what_timm_says(name):
    size, millions, operations, depth = TIMM[name]
    measured = cost(TimmModel(family="timm", model=name), (size, size, 3), 1000)
    assert measured.parameters / 1e6 == pytest.approx(millions, abs=0.0051)
    assert measured.macs / 1e9 == pytest.approx(operations, rel=0.035)
    assert depth in (None, measured.depth)


class Applied(nn.Module):
    """Modules and a function that runs them on images."""

    def __init__(self, function, *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.function(self.parts, images)


class ByValue(nn.Module):
    """Looks at values, which tensors without values do not have."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.width = int(torch.linspace(0, 4, 2)[1].item())
        self.layer = nn.Linear(self.width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.flatten(1)[:, : self.width]) + float(images.sum().item())


def _inside(layers, images):
    with torch.inference_mode():
        return layers[0](images.flatten(1))


def _in_place(layers, images):
    kept = torch.zeros(len(images), 2, 8, 8)
    kept[:, 1:] = layers[0](images)
    kept.relu_()
    return layers[1](kept.flatten(1))


# Images of 8x8x1, three classes: parameters, depth, multiply-accumulates.
OWN = {
    "one layer": (lambda: Applied(lambda m, x: m[0](x.flatten(1)), nn.Linear(64, 3)), 195, 1, 192),
    "called twice, counted once": (
        lambda: Applied(
            lambda m, x: m[1](m[0](m[0](m[0](x))).flatten(1)),
            nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 3),
        ),
        10 + 195, 4, 3 * 64 * 9 + 192,
    ),
    "the same weights in two places": (lambda: Applied(*_tied()), 64 * 64 + 3 * 64, 3, 8384),
    "frozen": (
        lambda: Applied(lambda m, x: m[0](x.flatten(1)), nn.Linear(64, 3)).requires_grad_(False),
        195, 1, 192,
    ),
    "a shorter branch": (
        lambda: Applied(
            lambda m, x: m[2](m[1](m[0](x)).flatten(1)) + m[3](x.flatten(1)),
            nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1), nn.Linear(64, 3), nn.Linear(64, 3),
        ),
        4 + 3 + 195 + 195, 3, 128 + 128 + 192 + 192,
    ),
    "functions in place of modules": (
        lambda: Applied(
            lambda m, x: torch.einsum(
                "bi,oi->bo", F.conv2d(x, m[0].weight).flatten(1), m[1].weight
            ),
            nn.Conv2d(1, 1, 1, bias=False), nn.Linear(64, 3, bias=False),
        ),
        1 + 192, 2, 64 + 192,
    ),
    "attention by its products": (
        # 8 tokens of width 8: three projections and one behind, queries by keys, weights by values.
        lambda: Applied(
            lambda m, x: m[1](m[0](*(x.flatten(1).view(-1, 8, 8),) * 3)[0].mean(1)),
            nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3),
        ),
        4 * (64 + 8) + 27, 3, 4 * 8 * 64 + 2 * 8 * 8 * 8 + 24,
    ),
    "a layer that torch runs as one": (
        lambda: Applied(
            lambda m, x: m[1](m[0](x.view(-1, 8, 8)).mean(1)),
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3),
        ),
        4 * 72 + (8 * 16 + 16) + (16 * 8 + 8) + 4 * 8 + 27, 5,
        4 * 8 * 64 + 2 * 8 * 8 * 8 + 2 * 8 * 8 * 16 + 24,
    ),
    "recurrent, a layer a row": (
        # Each of 8 rows takes the state on through another product; the first state is no answer.
        lambda: Applied(lambda m, x: m[1](m[0](x.view(-1, 8, 8))[0][:, -1]),
                        nn.LSTM(8, 4, batch_first=True), nn.Linear(4, 3)),
        16 * 8 + 16 * 4 + 2 * 16 + 15, 1 + 7 + 1, 8 * (16 * 8 + 16 * 4) + 12,
    ),
    "written into a part of what was there": (
        lambda: Applied(_in_place, nn.Conv2d(1, 1, 1), nn.Linear(128, 3)), 2 + 387, 2, 64 + 384,
    ),
    "in inference mode": (lambda: Applied(_inside, nn.Linear(64, 3)), 195, 1, 192),
    "looks at values": (lambda: ByValue(3), 15, 1, 12),
    "sizes found at the first call": (
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), 195, 1, 192,
    ),
    "nothing learned": (lambda: Applied(lambda m, x: x.flatten(1)[:, :3]), 0, 0, 0),
}  # fmt: skip


def _tied():
    first, second = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    second.weight = first.weight
    last = nn.Linear(64, 3, bias=False)
    return lambda m, x: m[2](m[1](m[0](x.flatten(1)))), first, second, last


def own(in_channels: int, num_classes: int, kind: str) -> nn.Module:
    return OWN[kind][0]()


@pytest.mark.parametrize("kind", OWN)
def test_what_is_counted_follows_from_the_definition(kind):
    spec = ImportedModel(family="import", path="test_cost:own", arguments={"kind": kind})
    measured = cost(spec, (8, 8, 1), 3)
    assert (measured.parameters, measured.depth, measured.macs) == OWN[kind][1:]


def test_counting_leaves_torch_as_it_was():
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    cost(PlainModel(family="plain", stages=[[4]]), (8, 8, 1), 10)
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == before


def raising(in_channels: int, num_classes: int, error: str) -> nn.Module:
    def fail(parts, images):
        raise {"KeyError": KeyError("x"), "AssertionError": AssertionError()}[error]

    return Applied(fail)


@pytest.mark.parametrize("error", ["KeyError", "AssertionError"])
def test_whatever_a_model_raises_is_one_line(error):
    spec = ImportedModel(family="import", path="test_cost:raising", arguments={"error": error})
    with pytest.raises(UserError, match=f"8x8x1.*{error}"):
        cost(spec, (8, 8, 1), 3)
