"""The synthetic eyes: reproducible, paired, varied, and different from person to person."""

import dataclasses

import pytest
import torch

from modelswitch.data.eyes.render import EyeSettings, generate
from modelswitch.errors import UserError

SMALL = EyeSettings(identities=5, train_captures=4, test_captures=2)


@pytest.fixture(scope="module")
def eyes():
    return generate(SMALL)


def test_both_modalities_come_with_the_configured_sizes(eyes):
    assert eyes.modalities == ("periocular", "iris")
    assert eyes.train_images["periocular"].shape == (20, 48, 64, 3)
    assert eyes.train_images["iris"].shape == (20, 32, 96, 1)
    assert eyes.test_images["iris"].shape == (10, 32, 96, 1)
    assert eyes.train_images["iris"].dtype == torch.uint8
    assert eyes.train_labels.tolist() == [i for i in range(5) for _ in range(4)]
    assert eyes.class_names == ["eye0", "eye1", "eye2", "eye3", "eye4"]


def test_the_same_seed_gives_the_same_eyes_and_another_gives_others(eyes):
    again = generate(SMALL)
    other = generate(dataclasses.replace(SMALL, seed=1))
    for modality in eyes.modalities:
        assert torch.equal(eyes.train_images[modality], again.train_images[modality])
        assert not torch.equal(eyes.train_images[modality], other.train_images[modality])


def test_an_eye_does_not_depend_on_how_many_others_are_made(eyes):
    fewer = generate(dataclasses.replace(SMALL, identities=2, train_captures=2))
    for modality in eyes.modalities:
        all_train = eyes.train_images[modality].unflatten(0, (5, 4))
        assert torch.equal(fewer.train_images[modality].unflatten(0, (2, 2)), all_train[:2, :2])


def test_captures_of_one_eye_differ_less_than_eyes_of_two_people():
    eyes = generate(EyeSettings(identities=6, train_captures=4, test_captures=1, variation=0.3))
    for modality in eyes.modalities:
        flat = eyes.train_images[modality].flatten(1).float()
        distance = torch.cdist(flat, flat)
        same = eyes.train_labels[:, None] == eyes.train_labels
        apart = ~torch.eye(len(flat), dtype=torch.bool)
        assert distance[same & apart].min() > 0
        assert distance[same & apart].mean() < 0.8 * distance[~same].mean()


def test_no_variation_leaves_only_glint_blur_and_noise():
    still = generate(dataclasses.replace(SMALL, variation=0))
    first, second = still.train_images["periocular"][:2].float()
    assert (first - second).abs().mean() < 6


def test_images_are_well_exposed_and_have_structure(eyes):
    for modality in eyes.modalities:
        images = eyes.train_images[modality].float()
        assert 40 < images.mean() < 215
        assert images.flatten(1).std(1).min() > 8


def test_other_sizes(eyes):
    odd = generate(EyeSettings(2, 1, 1, periocular=(30, 44), iris=(16, 40)))
    assert odd.train_images["periocular"].shape == (2, 30, 44, 3)
    assert odd.train_images["iris"].shape == (2, 16, 40, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 0}, "eyes.identities is 0"),
        ({"test_captures": 0}, "eyes.test_captures is 0"),
        ({"iris": (4, 96)}, "eyes.iris is"),
        ({"variation": -1}, "eyes.variation is -1"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SMALL, **change)
