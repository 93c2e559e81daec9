"""Degradations: nothing at level 0, worse as the level rises, the same for the same seed."""

import pytest
import torch

from modelswitch.data.degradations import DEGRADATIONS, MEANING, degrade
from modelswitch.errors import UserError


def pictures(channels: int = 3, count: int = 6) -> torch.Tensor:
    """Smooth pictures with edges, so that every degradation has something to spoil."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 32), indexing="ij")
    phase = torch.arange(count * channels).reshape(count, channels, 1, 1)
    waves = torch.sin(9 * x + 6 * y + phase) + (x > 0.5) * torch.cos(14 * y + phase)
    return (127 + 55 * waves).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


every = pytest.mark.parametrize("kind", DEGRADATIONS)


@every
def test_level_zero_changes_nothing(kind):
    images = pictures()
    assert torch.equal(degrade(images, kind, 0, seed=3), images)


@every
def test_shape_type_and_input_are_kept(kind):
    for channels in (1, 3, 4):
        images = pictures(channels)
        before = images.clone()
        worse = degrade(images, kind, 0.7, seed=3)
        assert worse.shape == images.shape
        assert worse.dtype == torch.uint8
        assert torch.equal(images, before)


@every
def test_the_higher_the_level_the_further_from_the_clean_image(kind):
    images = pictures()
    steps = [
        (degrade(images, kind, level, seed=3).float() - images.float()).abs().mean().item()
        for level in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert steps == sorted(steps)
    assert steps[1] > 0.5
    assert steps[-1] > 2 * steps[1]


@every
def test_a_sample_is_degraded_alike_in_any_batch(kind):
    images = pictures()
    whole = degrade(images, kind, 0.6, seed=3)
    parts = [degrade(images[:2], kind, 0.6, 3), degrade(images[2:], kind, 0.6, 3, first=2)]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole, degrade(images, kind, 0.6, seed=3))


@pytest.mark.parametrize("kind", ["gaussian_noise", "rectangle", "lid", "motion_blur", "low_light"])
def test_random_ones_follow_the_seed(kind):
    images = pictures()
    assert not torch.equal(degrade(images, kind, 0.6, seed=3), degrade(images, kind, 0.6, seed=4))


def test_levels_mean_what_is_documented():
    assert MEANING.keys() == DEGRADATIONS.keys()
    grey = torch.full((8, 40, 40, 1), 127, dtype=torch.uint8)
    noisy = degrade(grey, "gaussian_noise", 0.4, seed=0).float() / 255
    assert noisy.std().item() == pytest.approx(0.2, abs=0.01)
    white = torch.full((8, 40, 40, 1), 255, dtype=torch.uint8)
    covered = (degrade(white, "rectangle", 0.5, seed=0) != 255).float().mean().item()
    assert covered == pytest.approx(0.45, abs=0.02)
    dark = degrade(white, "low_light", 0.5, seed=0).float().mean().item() / 255
    assert dark == pytest.approx(0.52, abs=0.01)


def test_bad_requests_are_refused():
    images = pictures()
    with pytest.raises(UserError, match="degradation is 'fog'; allowed are gaussian_noise"):
        degrade(images, "fog", 0.5, seed=0)
    with pytest.raises(UserError, match=r"level of jpeg is 1.2; 0 to 1"):
        degrade(images, "jpeg", 1.2, seed=0)
    with pytest.raises(UserError, match="need uint8 images"):
        degrade(images.float(), "jpeg", 0.5, seed=0)
