"""Random views: each operation against torchvision's or a formula, drawn for each sample alone."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import functional as F

from modelswitch.data.augment import colour, geometry, mixing, policies

SIDES = (30, 26)


@pytest.fixture(scope="module")
def pixels():
    """uint8 [6, 3, H, W], with a flat image and one of two values among them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, *SIDES), dtype=torch.uint8, generator=generator)
    images[4] = 77
    images[5, :, :9], images[5, :, 9:] = 20, 200
    return images


def each(images, function, amounts):
    return torch.stack([function(i, a) for i, a in zip(images, amounts, strict=True)])


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (colour.brightness, F.adjust_brightness),
        (colour.saturation, F.adjust_saturation),
        (colour.contrast, F.adjust_contrast),
        (colour.sharpness, F.adjust_sharpness),
    ],
    ids=lambda function: function.__name__,
)
def test_factors_of_colour_are_torchvision_s(pixels, own, theirs):
    factors = torch.tensor([0.1, 0.6, 1.0, 1.4, 1.9, 0.0])
    expected = each(pixels.float() / 255, theirs, factors.tolist()) * 255
    # torchvision rounds the weights of grey to four digits.
    torch.testing.assert_close(own(pixels.float(), factors), expected, atol=0.1, rtol=0)


def test_hue_is_torchvision_s(pixels):
    turns = torch.tensor([0.0, 0.1, -0.3, 0.5, 0.2, -0.5])
    expected = each(pixels.float() / 255, F.adjust_hue, turns.tolist()) * 255
    torch.testing.assert_close(colour.hue(pixels.float(), turns), expected, atol=0.01, rtol=0)


def test_levels_are_torchvision_s(pixels):
    images = pixels.float()
    bits = torch.tensor([8, 7, 5, 4, 2, 1])
    torch.testing.assert_close(
        colour.posterize(images, bits), each(pixels, F.posterize, bits.tolist()).float()
    )
    thresholds = torch.tensor([0.0, 64.0, 128.0, 200.0, 255.0, 20.0])
    torch.testing.assert_close(
        colour.solarize(images, thresholds), each(pixels, F.solarize, thresholds.tolist()).float()
    )
    torch.testing.assert_close(colour.autocontrast(images), F.autocontrast(images / 255) * 255)
    torch.testing.assert_close(colour.equalize(images), F.equalize(pixels).float())


def test_grey_images_have_no_colour_to_change(pixels):
    one = pixels[:, :1].float()
    amounts = torch.full((6,), 0.4)
    assert torch.equal(colour.saturation(one, amounts), one)
    assert torch.equal(colour.hue(one, amounts), one)
    assert torch.equal(colour.grey(one), one)


@pytest.mark.parametrize(
    ("maps", "settings"),
    [
        (geometry.rotated(torch.tensor([25.0])), {"angle": -25.0}),
        (geometry.translated(torch.tensor([3.0]), vertical=False), {"translate": [3, 0]}),
        (geometry.translated(torch.tensor([-2.0]), vertical=True), {"translate": [0, -2]}),
    ],
    ids=["rotated", "right", "up"],
)
def test_maps_are_torchvision_s(pixels, maps, settings):
    image = pixels[:1].float()
    fill = torch.tensor([10.0, 20.0, 30.0])
    known = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | settings
    expected = F.affine(
        image, **known, interpolation=F.InterpolationMode.BILINEAR, fill=fill.tolist()
    )
    found = geometry.affine(image, maps, fill)
    # Where a pixel is half outside, torchvision counts the outside twice.
    cover = geometry.affine(torch.ones_like(image), maps, torch.zeros(3))
    whole = (cover > 0.9999) | (cover < 0.0001)
    assert whole.double().mean() > 0.9
    torch.testing.assert_close(found[whole], expected[whole], atol=0.02, rtol=0)
    half = cover * geometry.affine(image, maps, torch.zeros(3)) / cover.clamp(min=1e-6)
    by_hand = half + (1 - cover) * fill.view(1, 3, 1, 1)
    torch.testing.assert_close(found, by_hand, atol=0.02, rtol=0)


@pytest.mark.parametrize("vertical", [False, True])
def test_a_shear_moves_each_line_by_its_distance_from_the_middle(vertical):
    ramp = torch.arange(15.0).expand(15, 15)
    image = (ramp.T if vertical else ramp)[None, None].clone()
    maps = geometry.sheared(torch.tensor([0.25]), vertical)
    sheared = geometry.affine(image, maps, torch.tensor([7.0]))[0, 0]
    middle = sheared[:, 7] if not vertical else sheared[7]
    distance = torch.arange(15.0) - 7
    torch.testing.assert_close(middle, 7 + 0.25 * distance, atol=1e-4, rtol=0)


def test_a_part_is_resized_as_torchvision_does(pixels):
    image = pixels[:1].float()
    box = torch.tensor([[2.0, 1.0, 16.0, 12.0]])
    expected = F.resize(image[:, :, 2:18, 1:13], list(SIDES), antialias=False)
    # At the part's rim torchvision repeats its last pixel, and a crop sees what is beside it.
    inner = slice(2, -2)
    torch.testing.assert_close(
        geometry.resized(image, box)[..., inner, inner], expected[..., inner, inner],
        atol=0.01, rtol=0,
    )  # fmt: skip
    whole = torch.tensor([[0.0, 0.0, *map(float, SIDES)]])
    torch.testing.assert_close(geometry.resized(image, whole), image, atol=1e-3, rtol=0)


def test_boxes_lie_inside_and_have_the_drawn_areas():
    generator = torch.Generator().manual_seed(3)
    top, left, tall, wide = geometry.draw_boxes(
        4000, (40, 60), (0.1, 0.5), (0.75, 4 / 3), generator
    ).unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= 40 + 1e-4).all()
    assert (left + wide <= 60 + 1e-4).all()
    share = (tall * wide / 2400).numpy()
    assert stats.kstest(share, stats.uniform(0.1, 0.4).cdf).pvalue > 0.001


def test_a_policy_draws_for_every_sample(pixels):
    generator = torch.Generator().manual_seed(1)
    drawn = policies.draw(14_000, 2, None, generator)
    for slot in range(2):
        counts = torch.bincount(drawn[:, slot, 0], minlength=len(policies.OPERATIONS))
        assert stats.chisquare(counts.numpy()).pvalue > 0.001
    assert drawn[:, :, 1].min() == 0
    assert drawn[:, :, 1].max() == 30
    assert (policies.draw(5, 2, 9, generator)[:, :, 1] == 9).all()
    same = pixels[:1].expand(6, -1, -1, -1).float()
    views = policies.apply(same, policies.draw(6, 2, 20, generator), policies.USUAL)
    assert len({view.numpy().tobytes() for view in views}) > 3


@pytest.mark.parametrize("name", policies.OPERATIONS)
@pytest.mark.parametrize("space", [policies.USUAL, policies.WIDE], ids=["usual", "wide"])
def test_every_operation_keeps_the_range_and_leaves_others_alone(pixels, name, space):
    number = policies.OPERATIONS.index(name)
    images = pixels.float()
    before = images.clone()
    drawn = torch.zeros(6, 1, 3, dtype=torch.long)
    drawn[1, 0] = drawn[5, 0] = torch.tensor([number, 25, 1])
    result = policies.apply(images, drawn, space)
    assert torch.equal(images, before)
    untouched = [0, 2, 3, 4]
    assert torch.equal(result[untouched], images[untouched])
    assert 0 <= result.min() <= result.max() <= 255
    changed = not torch.equal(result[[1, 5]], images[[1, 5]])
    assert changed == (name != "identity")


def test_strengths_mean_what_the_papers_say():
    # A strength of 15 is half of the strongest.
    images = torch.full((1, 3, 8, 331), 100.0)
    operation = {name: i for i, name in enumerate(policies.OPERATIONS)}

    def one(name, strength, sign, image=images):
        drawn = torch.tensor([[[operation[name], strength, sign]]])
        return policies.apply(image, drawn, policies.USUAL)

    assert one("brightness", 15, 0)[0, 0, 0, 0] == pytest.approx(145)
    assert one("brightness", 30, 1)[0, 0, 0, 0] == pytest.approx(10)
    assert one("posterize", 30, 0, torch.full_like(images, 119.0)).unique().item() == 112
    assert one("solarize", 30, 0).unique().item() == 155
    assert one("solarize", 15, 0).unique().item() == 100
    moved = one("translate_x", 30, 0)[0, 0, 0]
    torch.testing.assert_close(moved[:150], torch.full((150,), 128.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(moved[150:], torch.full((181,), 100.0), atol=1e-3, rtol=0)


def test_everybody_is_somebody_s_partner_once():
    drawn = mixing.draw(500, SIDES, 0.4, 0.0, seed=1)
    assert sorted(drawn.partners.tolist()) == list(range(500))
    assert (drawn.partners != torch.arange(500)).all()
    again = mixing.draw(500, SIDES, 0.4, 0.0, seed=1)
    assert torch.equal(drawn.partners, again.partners)
    assert torch.equal(drawn.shares, again.shares)
    assert mixing.draw(1, SIDES, 0.4, 0.0, seed=1).partners.tolist() == [0]


def test_shares_of_mixup_have_the_beta_distribution():
    shares = mixing.draw(5000, SIDES, 0.3, 0.0, seed=2).shares.numpy()
    assert stats.kstest(shares, stats.beta(0.3, 0.3).cdf).pvalue > 0.001


def test_mixup_is_the_weighted_mean(pixels):
    images, others = pixels[:3].float(), pixels[3:].float()
    drawn = mixing.draw(3, SIDES, 1.0, 0.0, seed=0)
    shares = drawn.shares.view(-1, 1, 1, 1)
    torch.testing.assert_close(
        mixing.mix(images, others, drawn), shares * images + (1 - shares) * others
    )


def test_cutmix_shows_the_share_that_it_says():
    drawn = mixing.draw(300, SIDES, 0.0, 1.0, seed=4)
    images, others = torch.ones(300, 1, *SIDES), torch.zeros(300, 1, *SIDES)
    shown = mixing.mix(images, others, drawn)
    assert set(shown.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(shown.mean((1, 2, 3)), drawn.shares)
    # Of the uniform shares the box loses what hangs over the rim.
    assert 0.5 < drawn.shares.mean() < 0.75


def test_with_both_kinds_each_has_about_half():
    boxes = mixing.draw(2000, SIDES, 1.0, 1.0, seed=5).boxes
    cut = (boxes[:, 2] > boxes[:, 0]).double().mean().item()
    assert 0.4 < cut < 0.55


def test_erased_boxes_come_as_often_and_as_large_as_asked():
    generator = torch.Generator().manual_seed(6)
    boxes = mixing.boxes_to_erase(4000, (32, 32), 0.25, (0.1, 0.3), generator)
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).double() / 1024
    there = area > 0
    assert math.isclose(there.double().mean(), 0.25, abs_tol=0.03)
    assert np.isclose(area[there].mean(), 0.2, atol=0.01)
