"""The contact sheet: any number of channels, classes and samples."""

import numpy as np
import pytest
import torch

from modelswitch.config.degradations import Degradations
from modelswitch.data.degradations import DEGRADATIONS, amount, degrade
from modelswitch.report.figures import style
from modelswitch.report.figures.contact import contact_sheet

KINDS = Degradations(seen=list(DEGRADATIONS)[:4], unseen=list(DEGRADATIONS)[4:])


def shown(images, labels):
    """The pictures that are drawn, and the titles above them."""
    with style.look():
        figure = contact_sheet(images, labels, KINDS, synthetic=False)
        figure.canvas.draw()
    drawn = [np.asarray(ax.get_images()[0].get_array()) for ax in figure.axes]
    return drawn, [ax.get_title(loc="left") for ax in figure.axes]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 10])
def test_images_of_any_number_of_channels_are_shown(channels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 12, 10, channels), generator=generator, dtype=torch.uint8)
    other = torch.randint(256, (6, 9, 16, 3), generator=generator, dtype=torch.uint8)
    drawn, titles = shown({"odd": images, "usual": other}, torch.arange(6) % 2)
    # the first sample of the first class stands in the upper left corner
    right = images[0].numpy().astype(float)
    right = right if channels == 3 else np.rint(right.mean(-1, keepdims=True)).repeat(3, -1)
    assert np.array_equal(drawn[0][:12, :10], right)
    assert np.array_equal(drawn[2][:9, :16], other[0].numpy())
    assert (f"mean of {channels} channels" in titles[0]) == (channels not in (1, 3))
    # every degradation is a row of pictures
    assert drawn[1].shape[0] == len(DEGRADATIONS) * 14 - 2


def test_classes_with_different_numbers_of_test_samples_are_shown():
    images = torch.randint(256, (5, 8, 8, 1), dtype=torch.uint8)
    _, titles = shown({"one": images, "other": images}, torch.tensor([0, 2, 2, 2, 5]))
    assert titles[0] == "one: 3 classes (rows), 1 samples of each"


def test_every_picture_stands_at_the_name_of_its_degradation_and_at_its_level():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 12, 10, 3), generator=generator, dtype=torch.uint8)
    with style.look():
        figure = contact_sheet({"eye": images}, torch.arange(4) % 2, KINDS, synthetic=False)
    panel = figure.axes[1]
    picture = np.asarray(panel.get_images()[0].get_array())
    columns = [(tick, text.get_text()) for tick, text in
               zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)]  # fmt: skip
    rows = [(tick, text.get_text()) for tick, text in
            zip(panel.get_yticks(), panel.get_yticklabels(), strict=True)]  # fmt: skip
    assert [text.split("\n")[1] for _, text in rows] == [amount(kind, 1.0) for kind in DEGRADATIONS]
    rows = [(tick, text.split("\n")[0]) for tick, text in rows]
    assert [text for _, text in rows] == [kind.replace("_", " ") for kind in DEGRADATIONS]
    assert columns[0][1] == "clean"
    for y, kind in rows:
        for x, level in columns:
            # A tick stands in the middle of its picture.
            corner = picture[int(y - 6) : int(y + 6), int(x - 5) : int(x + 5)]
            strength = 0.0 if level == "clean" else float(level)
            right = degrade(images[:1], kind.replace(" ", "_"), strength, seed=0)[0]
            assert np.array_equal(corner, right.numpy()), (kind, level)
