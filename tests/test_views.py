"""Batches of views: the right pixels, in an order and with crops that seeds alone decide."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from modelswitch.data.batches import epoch_cuts
from modelswitch.data.views import Normaliser, Views
from modelswitch.selector.objective import SelectionBatches


def make(count=20, bank=0, batch=8, padding=2, flip=True, order=5):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 6, 7, 3), dtype=torch.uint8, generator=generator)
    return images, Views(
        images,
        torch.arange(count),
        Normaliser([0.0] * 3, [1 / 255] * 3),
        batch=batch,
        padding=padding,
        flip=flip,
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
