"""Answers on a set, in passes that memory has room for; of small images the same to the bit."""

import pytest
import torch
from torch import nn

from modelswitch.config.models import PlainModel, TorchvisionModel
from modelswitch.data.views import Normaliser
from modelswitch.models import answers
from modelswitch.models.build import build
from modelswitch.models.memory import LiveMemory, answering_bytes

NORMALISE = Normaliser([0.5] * 3, [0.25] * 3)


def pictures(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


class Passes:
    """How many images each pass of a model has."""

    def __init__(self, model: nn.Module) -> None:
        self.sizes: list[int] = []
        model.register_forward_pre_hook(lambda _, inputs: self.sizes.append(len(inputs[0])))


@pytest.mark.parametrize("stages", [[[32], [64], [128, 128], [256]], [[128]]])
def test_small_images_are_answered_250_at_once(stages):
    model = build(PlainModel(family="plain", stages=stages), 3, 10).eval()
    images = pictures(300, 8 if len(stages) == 1 else 32)
    with torch.inference_mode():
        expected = torch.cat([model(NORMALISE(images[:250])), model(NORMALISE(images[250:]))])
    seen = Passes(model)
    assert torch.equal(answers.logits_on(model, images, NORMALISE), expected)
    # One image and two, to see what they take, and that once for a model.
    assert seen.sizes == [1, 2, 250, 50]
    answers.logits_on(model, images, NORMALISE)
    assert seen.sizes[4:] == [250, 50]


def test_large_images_are_answered_as_many_at_once_as_there_is_room_for(monkeypatch):
    model = build(PlainModel(family="plain", stages=[[16, 16]]), 3, 10)
    images = pictures(40, 64)
    with torch.inference_mode():
        expected = model.eval()(NORMALISE(images))
    # Three maps of 16 channels at once: a block's input, its convolution's and normalised output.
    monkeypatch.setattr(answers, "BUDGET", 10 * 3 * 16 * 64 * 64 * 4)
    seen = Passes(model)
    with torch.inference_mode(), LiveMemory() as held:
        logits = answers.logits_on(model, images, NORMALISE)
    torch.testing.assert_close(logits, expected)
    assert seen.sizes == [1, 2, 10, 10, 10, 10]
    pixels = 10 * 64 * 64 * 3 * (4 + 4)
    assert held.peak <= answers.BUDGET + pixels + 2 * 40 * 10 * 4
    assert answers.images_at_once(model, NORMALISE(images[:1]), most=7) == 7
    monkeypatch.setattr(answers, "BUDGET", 1)
    assert answers.images_at_once(model, NORMALISE(images[:1])) == 1


@pytest.mark.parametrize(("name", "most"), [("resnet18", 90), ("vgg11", 35)])
def test_images_of_224_pixels_take_no_more_than_the_budget(name, most):
    spec = TorchvisionModel(family="torchvision", model=name)
    with torch.device("meta"):
        model = build(spec, 3, 10).eval()
        at_once = answers.images_at_once(model, torch.zeros(1, 3, 224, 224))
        assert 1 < at_once <= most
        images = torch.zeros(at_once, 3, 224, 224)
    with torch.inference_mode(), LiveMemory() as held:
        model(images)
    assert 0.9 * answers.BUDGET < held.peak <= answers.BUDGET


def test_no_images_have_no_answers():
    model = build(PlainModel(family="plain", stages=[[4]]), 3, 10)
    assert answers.logits_on(model, pictures(0, 8), NORMALISE).numel() == 0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_is_held_is_counted_and_what_is_freed_is_not(device):
    with LiveMemory() as held:
        first = torch.zeros(1000, device=device)
        assert held.now == 4000
        second = first.view(10, 100)[:, :50]
        assert held.now == 4000
        third = second + 1
        assert held.now == 6000
        del first, second
        assert held.now == 2000
        third += 1
        assert (held.now, held.peak) == (2000, 6000)


def test_what_is_kept_for_the_gradient_is_counted():
    layers = nn.Sequential(nn.Linear(100, 1000), nn.Tanh(), nn.Linear(1000, 1))
    images = torch.zeros(50, 100)
    with LiveMemory() as held:
        loss = layers(images).sum()
        # The first layer's output is forgotten, the second's is needed for both gradients.
        kept = 50 * 1000 * 4
        assert kept <= held.now < 1.1 * kept
        assert held.peak >= 2 * kept
        loss.backward()
        del loss
        assert held.now == 4 * sum(p.numel() for p in layers.parameters())


def test_memory_is_told_apart_by_image_and_in_any_case():
    class Both(nn.Module):
        def forward(self, images):
            table = torch.ones(1000)
            return (images.flatten(1)[:, :1] + table).sum(1)

    fixed, each = answering_bytes(Both(), torch.zeros(1, 3, 8, 8))
    assert (fixed, each) == (4000, 4000 + 4)
