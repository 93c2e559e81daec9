"""Holding images back: for validation, for testing, in folds; a share of every class."""

import numpy as np
import torch

from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed


def training_and_validation(
    labels: torch.Tensor, share: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stratified split of the training images into indices to train on and to validate on.

    Depends on the labels, ``share`` and ``seed`` alone. Every class keeps at least one image to
    train on; raises `UserError` where ``share`` > 0 leaves nothing to validate on.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "validation"))
    train, validation = [], []
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        held_back = min(round(len(members) * share), len(members) - 1)
        validation.append(members[:held_back])
        train.append(members[held_back:])
    kept, held = torch.cat(train).sort().values, torch.cat(validation).sort().values
    if share > 0 and len(held) == 0:
        raise UserError(
            f"data.validation: a share of {share} of {len(labels)} training images holds back none"
        )
    return kept, held


def fold_of(labels: torch.Tensor, folds: int, seed: int) -> torch.Tensor:
    """The stratified fold 0..folds-1 of every image, int64 [N]; from labels and ``seed`` alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "folds", folds))
    result = torch.empty_like(labels)
    offset = 0
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        # Going on where the last class stopped keeps the folds equal in size.
        result[members] = (torch.arange(len(members)) + offset) % folds
        offset += len(members)
    return result


def set_aside(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for testing, with the share taken from every class."""
    rng = np.random.default_rng([seed, 4])
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            count = min(max(1, round(share * len(rows))), len(rows) - 1)
            test[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def stratified_test(labels: torch.Tensor, share: float, purpose: str) -> torch.Tensor:
    """bool [N]: the images for testing, the same whatever the experiment's seeds are."""
    generator = torch.Generator().manual_seed(derive_seed(purpose, "test"))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        chosen[members[:count]] = True
    return chosen
