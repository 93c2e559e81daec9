"""Degradations: nothing at level 0, worse as the level rises, the same for the same seed."""

import numpy as np
import pytest
import torch

from modelswitch.config.degradations import Degradations
from modelswitch.config.job import DegradedSpec
from modelswitch.data import field
from modelswitch.data.degradations import (
    DEGRADATIONS,
    HALVING,
    MEANING,
    amount,
    degrade,
    own_level,
)
from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed
from modelswitch.selector.outputs import DegradedImages, degraded_images
from modelswitch.storage.stored_rows import RowSpool


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


@pytest.mark.parametrize(
    "kind", [k for k in DEGRADATIONS if k not in ("gaussian_blur", "jpeg", "defocus")]
)
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


def test_an_edge_out_of_focus_is_as_wide_as_the_disc_that_is_said():
    bar = torch.zeros(1, 101, 151, 1, dtype=torch.uint8)
    bar[0, :, 75:] = 255
    edge = field.defocus(bar, 0.5, [None])[0, 50, :, 0].float()
    blurred = ((edge > 0) & (edge < 255)).sum().item()
    assert blurred == pytest.approx(2 * field.DEFOCUS_RADIUS * 0.5 * 101, abs=3)
    assert edge[74:76].mean().item() == pytest.approx(127.5, abs=2)


def test_a_surface_turned_away_is_shortened_by_the_cosine():
    bar = torch.zeros(5, 80, 120, 1, dtype=torch.uint8)
    bar[:, :, 30:90] = 255
    for level in (0.4, 0.8):
        seen = degrade(bar, "off_axis", level, seed=1)[:, 40, :, 0].float().sum(1) / 255
        axis = torch.tensor([np.random.default_rng([1, n]).uniform(-np.pi / 6, np.pi / 6)
                             for n in range(5)])  # fmt: skip
        # Across an axis that leans by a, a line of the picture is mapped by 1 + k cos² a.
        k = 1 / np.cos(np.deg2rad(field.STEEPEST * level)) - 1
        assert torch.allclose(seen, 60 / (1 + k * axis.cos() ** 2), atol=1.5)


def test_light_is_added_or_taken_where_it_should_be():
    grey = torch.full((6, 40, 60, 3), 100, dtype=torch.uint8)
    spots = degrade(grey, "glints", 0.5, seed=0)
    assert spots.min() == 100
    assert (spots == 255).any(3).flatten(1).any(1).all()
    assert degrade(grey, "spectacles", 0.4, seed=0).min() >= 100
    cast = degrade(grey, "colour_cast", 1.0, seed=0)
    assert torch.equal(cast.amax((1, 2, 3)), torch.full((6,), 100, dtype=torch.uint8))
    lost = 1 - cast.flatten(1, 2)[:, 0].sort(1).values[:, :2].float() / 100
    assert lost.min() >= 0.5 * field.CAST - 0.02
    assert lost.max() <= field.CAST + 0.02


def test_a_wider_pupil_keeps_the_outer_rim_and_hides_what_was_next_to_it():
    rows = torch.arange(0, 200, 2, dtype=torch.uint8)[None, :, None, None].expand(3, -1, 30, 1)
    wide = degrade(rows, "dilation", 0.6, seed=2).float()[:, :, 5, 0]
    assert (wide[:, 0] <= 2).all()
    share = torch.tensor([np.random.default_rng([2, n]).uniform(0.7, 1) for n in range(3)])
    last = 198 * (1 - field.LOST_ROWS * 0.6 * share)
    assert torch.allclose(wide[:, -1], last, atol=3)


def test_half_a_level_on_the_halving_scale_is_where_a_recogniser_loses_half():
    images = pictures()
    for kind, half in HALVING.items():
        plain = degrade(images, kind, half, seed=3)
        assert torch.equal(degrade(images, kind, 0.5, 3, scale="halving"), plain)
        assert torch.equal(degrade(images, kind, 1.0, 3, scale="halving"),
                           degrade(images, kind, 1.0, 3))  # fmt: skip
        steps = [own_level(kind, level, "halving") for level in (0.1, 0.3, 0.5, 0.8, 1.0)]
        assert steps == sorted(steps)


def test_every_level_is_told_in_the_quantity_that_it_sets():
    assert amount("gaussian_noise", 0.4) == "deviation 0.2 of the range"
    assert amount("off_axis", 0.2) == "turned by 15 degrees"
    assert all(amount(kind, 0.5) != amount(kind, 1.0) for kind in DEGRADATIONS)


def test_the_scale_is_no_part_of_what_was_stored_before():
    plain = Degradations()
    assert "scale" not in plain.canonical()
    assert "scale" in Degradations(scale="halving").canonical()
    spec = DegradedSpec(dataset="iris", seed=0, sets=plain.sets)
    assert "scale" not in spec.canonical()
    harder = spec.model_copy(update={"scale": "halving"})
    images = pictures()
    assert torch.equal(
        degraded_images(images, "lid", 0.5, spec, "test"),
        degrade(images, "lid", 0.5, derive_seed(0, "iris", "test", "degradation", "lid")),
    )
    half = own_level("lid", 0.5, "halving")
    assert torch.equal(
        degraded_images(images, "lid", 0.5, harder, "test"),
        degraded_images(images, "lid", half, spec, "test"),
    )


def test_bad_requests_are_refused():
    images = pictures()
    with pytest.raises(UserError, match="degradation is 'fog'; allowed are gaussian_noise"):
        degrade(images, "fog", 0.5, seed=0)
    with pytest.raises(UserError, match=r"level of jpeg is 1.2; 0 to 1"):
        degrade(images, "jpeg", 1.2, seed=0)
    with pytest.raises(UserError, match="need uint8 images"):
        degrade(images.float(), "jpeg", 0.5, seed=0)


def test_images_on_disk_are_degraded_as_they_are_asked_for(tmp_path):
    images = torch.randint(0, 256, (700, 6, 5, 3), dtype=torch.uint8)
    spool = RowSpool(tmp_path)
    for image in images.numpy():
        spool.add(image)
    spec = DegradedSpec(dataset="iris", seed=0, sets=[("gaussian_noise", 0.5)])
    for name, level in (("none", 0.0), ("gaussian_noise", 0.5)):
        whole = degraded_images(images, name, level, spec, "test")
        asked = DegradedImages(spool.stored(), name, level, spec, "test")
        assert len(asked) == 700
        for start in (0, 250, 499, 699):
            part = slice(start, start + 250)
            assert torch.equal(asked[part], whole[part])
