"""Batches of views: the right pixels, in an order and with crops that seeds alone decide."""

import torch
import torch.nn.functional as F

from modelswitch.data.views import Normaliser, Views


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


def test_an_epoch_shows_every_image_once_except_the_incomplete_batch():
    _, views = make()
    positions = torch.cat([batch.positions for batch in views.epoch(0)])
    assert views.steps == 2
    assert len(set(positions.tolist())) == 16
    small = make(count=5)[1]
    assert (small.steps, len(next(iter(small.epoch(0))).labels)) == (1, 5)


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
