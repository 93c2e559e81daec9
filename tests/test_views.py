"""Batches of views: the right pixels, in an order and with crops that seeds alone decide."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from modelswitch.config.augment import Augmentation
from modelswitch.data.batches import epoch_cuts
from modelswitch.data.views import Normaliser, Views
from modelswitch.errors import UserError
from modelswitch.selector.objective import SelectionBatches


def make(count=20, bank=0, batch=8, crop=2, flip=True, order=5, **steps):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 6, 7, 3), dtype=torch.uint8, generator=generator)
    return images, Views(
        images,
        torch.arange(count),
        Normaliser([0.0] * 3, [1 / 255] * 3),
        batch=batch,
        augmentation=Augmentation(crop=crop, flip=flip, **steps),
        order_seed=lambda epoch: order * 1000 + epoch,
        bank_seed=7,
        bank=bank,
    )


def test_a_view_is_the_padded_image_cropped_and_mirrored():
    images, views = make()
    drawn, _ = views.parameters(0)
    for batch in views.epoch(0):
        for view, label, position in zip(batch.images, batch.labels, batch.positions, strict=True):
            assert label == position
            row, column = int(drawn.rows[position]), int(drawn.columns[position])
            padded = F.pad(images[position].permute(2, 0, 1).float(), (2, 2, 2, 2))
            crop = padded[:, row : row + 6, column : column + 7]
            torch.testing.assert_close(view, crop.flip(2) if drawn.flips[position] else crop)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_every_crop_and_both_sides_are_seen():
    _, views = make(count=2000)
    drawn, _ = views.parameters(0)
    assert set(drawn.rows.tolist()) == set(drawn.columns.tolist()) == set(range(5))
    assert 0.4 < drawn.flips.float().mean() < 0.6
    # Alternating: what is mirrored in one epoch is not in the next.
    assert torch.equal(views.parameters(1)[0].flips, ~drawn.flips)


# Images, batch, and the sizes of the steps.
CUTS = {
    "in whole batches": (20, 5, [5, 5, 5, 5]),
    "fewer than a batch": (5, 8, [5]),
    "a tenth is left out": (20, 9, [9, 9]),
    "more than a tenth is not": (20, 8, [6, 7, 7]),
    "half of the images would be lost": (254, 128, [127, 127]),
    "one image more than a batch": (129, 128, [128]),
    "one image more than a small batch": (5, 4, [2, 3]),
    "two images": (2, 128, [2]),
    "one image": (1, 128, [1]),
    "CIFAR-10 as before": (45_000, 128, [128] * 351),
}


@pytest.mark.parametrize("case", CUTS)
def test_an_epoch_shows_every_image_once_but_for_a_small_share(case):
    count, batch, sizes = CUTS[case]
    _, views = make(count=count, batch=batch)
    if count < 1000:
        shown = [each.positions.tolist() for each in views.epoch(0)]
        assert [len(positions) for positions in shown] == sizes
        positions = list(itertools.chain(*shown))
        assert len(set(positions)) == len(positions) == sum(sizes)
    assert views.steps == len(sizes)
    rows = SelectionBatches(torch.zeros(count, 1), torch.zeros(count, 2), batch, lambda epoch: 0)
    assert rows.steps == len(sizes)
    assert [len(each.inputs) for each in rows.epoch(0)] == sizes


@settings(deadline=None, derandomize=True, database=None)
@given(count=st.integers(1, 5000), batch=st.integers(1, 600))
def test_no_batch_is_larger_than_asked_for_and_none_is_a_remnant(count, batch):
    cuts = epoch_cuts(count, batch)
    sizes = [after - before for before, after in itertools.pairwise(cuts)]
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert cuts[-1] >= 0.9 * count
    # An incomplete batch that is kept makes steps of more than half a batch.
    assert min(sizes) >= min(count, batch) / 2


def test_what_is_left_out_differs_from_epoch_to_epoch():
    _, views = make(count=20, batch=9)
    shown = [set(torch.cat([b.positions for b in views.epoch(e)]).tolist()) for e in range(150)]
    assert all(len(each) == 18 for each in shown)
    assert set.intersection(*shown) == set()
    assert set.union(*shown) == set(range(20))


def test_skipping_steps_gives_the_rest_of_the_same_epoch():
    _, views = make()
    second = list(views.epoch(3))[1]
    skipped = next(iter(views.epoch(3, skip=1)))
    assert torch.equal(second.images, skipped.images)
    assert torch.equal(second.positions, skipped.positions)


def test_the_bank_is_the_same_for_every_order_and_used_in_turn():
    _, first = make(bank=3)
    _, second = make(bank=3, order=6)
    assert not torch.equal(first.order(0), second.order(0))
    for view in range(3):
        assert torch.equal(first.parameters(view)[0].rows, second.parameters(view)[0].rows)
    assert torch.equal(first.parameters(1)[0].rows, first.parameters(4)[0].rows)
    assert not torch.equal(first.parameters(1)[0].rows, first.parameters(2)[0].rows)
    assert [next(iter(first.epoch(e))).view for e in range(4)] == [0, 1, 2, 0]


def test_the_bank_in_order_is_what_training_sees_of_it():
    _, views = make(bank=2)
    stored = torch.cat(list(views.bank_view(1, size=7)))
    for batch in views.epoch(1):
        assert torch.equal(batch.images, stored[batch.positions])


def test_normalising_is_subtracting_the_mean_and_dividing_by_the_deviation():
    pixels = torch.arange(0, 250, 10, dtype=torch.uint8).view(1, 5, 5, 1)
    normalised = Normaliser([0.3], [0.2])(pixels)
    expected = (pixels.double().permute(0, 3, 1, 2) / 255 - 0.3) / 0.2
    torch.testing.assert_close(normalised.double(), expected, atol=1e-6, rtol=1e-6)


ALL_STEPS = {
    "random_resized_crop": {},
    "colour": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "rand_augment": {},
    "own": {"path": "test_views:tinted", "numbers": 2, "arguments": {"most": 40.0}},
    "erasing": {"chance": 0.7},
}


def tinted(pixels, numbers, most):
    """A step of a user's own."""
    return pixels + most * numbers[:, :1, None, None]


def everything(**changes):
    return make(crop=0, **ALL_STEPS, mixup=0.4, cutmix=1.0, **changes)


def by_position(views, epoch=0, skip=0):
    return {
        int(position): image
        for batch in views.epoch(epoch, skip)
        for position, image in zip(batch.positions, batch.images, strict=True)
    }


@pytest.mark.parametrize("name", [*ALL_STEPS, "trivial_augment", "mixup", "cutmix"])
def test_every_step_changes_views_and_draws_for_each_sample_alone(name):
    value = ALL_STEPS.get(name, True if name == "trivial_augment" else 1.0)
    plain = by_position(make(crop=0, flip=False)[1])
    changed = by_position(make(crop=0, flip=False, **{name: value})[1])
    assert sum(not torch.equal(plain[p], changed[p]) for p in plain) >= 10
    # In batches of another size, and in another order, the same samples look the same.
    other = by_position(make(crop=0, flip=False, batch=3, **{name: value})[1])
    for position in other:
        torch.testing.assert_close(other[position], changed[position], atol=1e-4, rtol=0)


def test_with_all_steps_an_interrupted_epoch_goes_on_with_the_same_views():
    _, views = everything()
    whole, rest = list(views.epoch(3)), list(views.epoch(3, skip=1))
    for first, second in zip(whole[1:], rest, strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.others, second.others)
        assert torch.equal(first.shares, second.shares)


def test_stored_views_are_those_that_a_student_sees_with_all_steps():
    _, views = everything(bank=2)
    for epoch in (0, 1, 2):
        seen = by_position(views, epoch)
        stored = torch.cat(list(views.bank_view(epoch % 2, 7)))
        for position, image in seen.items():
            torch.testing.assert_close(stored[position], image, atol=1e-4, rtol=0)


def test_epochs_and_seeds_have_views_of_their_own():
    first, again, other = (
        by_position(everything(order=order)[1], epoch) for order, epoch in ((5, 0), (5, 1), (6, 0))
    )
    for position in first.keys() & again.keys() & other.keys():
        assert not torch.equal(first[position], again[position])
        assert not torch.equal(first[position], other[position])


def test_a_mixed_view_is_its_own_and_its_partner_s_view():
    images, views = make(crop=0, flip=True, mixup=0.5)
    drawn, _ = views.parameters(0)
    own = [image.permute(2, 0, 1).float() for image in images]
    own = [view.flip(2) if flip else view for view, flip in zip(own, drawn.flips, strict=True)]
    for batch in views.epoch(0):
        for row, position in enumerate(batch.positions.tolist()):
            partner = int(drawn.mixing.partners[position])
            share = float(drawn.mixing.shares[position])
            assert batch.labels[row] == position
            assert batch.others[row] == partner
            assert batch.shares[row] == share
            assert batch.leading[row] == (position if share >= 0.5 else partner)
            expected = share * own[position] + (1 - share) * own[partner]
            torch.testing.assert_close(batch.images[row], expected, atol=1e-3, rtol=0)


def test_a_step_added_leaves_the_others_draws_as_they_were():
    few, more = (
        make(erasing=ALL_STEPS["erasing"])[1].parameters(0)[0],
        everything()[1].parameters(0)[0],
    )
    assert torch.equal(few.steps[-1], more.steps[-1])
    assert torch.equal(few.flips, more.flips)


def test_a_single_image_is_mixed_with_itself():
    images, views = make(count=1, crop=0, flip=False, mixup=1.0)
    [batch] = views.epoch(0)
    torch.testing.assert_close(batch.images[0], images[0].permute(2, 0, 1).float())


def test_what_a_step_of_one_s_own_gives_back_is_checked():
    _, views = make(own={"path": "test_views:wrong_shape"})
    with pytest.raises(UserError, match=r"data.augment.own: test_views:wrong_shape returns \[6\]"):
        next(views.epoch(0))


def wrong_shape(pixels, numbers):
    return pixels[:, 0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rand_augment": {}, "trivial_augment": True}, "take one of them"),
        ({"random_resized_crop": {}, "crop": 4}, "crop: found 4 beside random_resized_crop"),
        ({"random_resized_crop": {"scale": [0.9, 0.1]}}, "scale: the first of"),
        ({"mixup": -1}, "greater than or equal to 0"),
        ({"colour": {"hue": 0.7}}, "less than or equal to 0.5"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)
    assert Augmentation(random_resized_crop={}).crop == 0
