"""Outputs of several recognisers on the same samples, clean and degraded.

A recogniser's outputs on a degraded set do not depend on what happens to the other modalities, so
they are stored once, and every combination of degraded sides is put together from them.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from modelswitch.config.degradations import Degradations, sides
from modelswitch.config.job import DegradedSpec, Recogniser
from modelswitch.config.methods import ABSENT
from modelswitch.config.selector import SelectorSettings
from modelswitch.data.degradations import degrade
from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed
from modelswitch.storage import artifacts
from modelswitch.storage.stored_rows import Rows

CLEAN = ("none", 0.0)
_AT_ONCE = 500
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Condition:
    """A degradation, its level, and the modalities that it is applied to."""

    degradation: str
    level: float
    degraded: tuple[str, ...]


UNDEGRADED = Condition(*CLEAN, ())


def situation(condition: Condition, modalities: Sequence[str], degradations: Degradations) -> str:
    """`clean`, `everywhere` where all modalities are degraded, else whether selectors have `seen`
    the degradation in training or it is `unseen`; `absent` where some are not there at all."""
    if not condition.degraded:
        return "clean"
    if condition.degradation == ABSENT:
        return ABSENT
    if len(condition.degraded) == len(modalities):
        return "everywhere"
    return "seen" if condition.degradation in degradations.seen else "unseen"


def all_conditions(modalities: Sequence[str], degradations: Degradations) -> list[Condition]:
    """Everything that is tested: nothing degraded, and every degradation at every level on every
    choice of sides."""
    degraded = [
        Condition(degradation, level, side)
        for degradation in (*degradations.seen, *degradations.unseen)
        for side in sides(modalities)
        for level in degradations.levels
    ]
    return [UNDEGRADED, *degraded, *absent_conditions(modalities, degradations)]


def absent_conditions(modalities: Sequence[str], degradations: Degradations) -> list[Condition]:
    """Some modalities not there at all, but never all of them; none if that is not asked for."""
    chosen = [side for side in sides(modalities) if len(side) < len(modalities)]
    return [Condition(ABSENT, 1.0, side) for side in chosen if degradations.absent]


class DegradedImages:
    """A degraded set of images that are degraded as they are asked for, a slice at a time: those of
    `degraded_images`, of which there may be more than memory holds."""

    def __init__(
        self, images: Rows, degradation: str, level: float, spec: DegradedSpec, split: str
    ) -> None:
        self._images, self._degradation, self._level = images, degradation, level
        self._seed = derive_seed(spec.seed, spec.dataset, split, "degradation", degradation)
        self._scale = spec.scale

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: slice) -> torch.Tensor:
        first, _, _ = index.indices(len(self))
        images = self._images[index]
        if (self._degradation, self._level) == CLEAN:
            return images
        return degrade(images, self._degradation, self._level, self._seed, first, self._scale)


def degraded_images(
    images: torch.Tensor, degradation: str, level: float, spec: DegradedSpec, split: str
) -> torch.Tensor:
    """One degraded set; its random numbers depend on modality, seed, split and degradation."""
    if (degradation, level) == CLEAN:
        return images
    every = DegradedImages(images, degradation, level, spec, split)
    result = torch.empty_like(images)
    # In parts, for what a degradation computes with takes many times the memory of the images.
    for start in range(0, len(images), _AT_ONCE):
        result[start : start + _AT_ONCE] = every[start : start + _AT_ONCE]
    return result


@dataclass(frozen=True)
class PairedOutputs:
    """One recogniser per modality on the same N samples of one split.

    `sets` names the stored sets, the clean one first; `logits` [M, S, N, C] float32 holds the
    answers of the M recognisers on the S sets, `labels` is int64 [N]. `data` are the checksums of
    what the recognisers were trained on.
    """

    modalities: tuple[str, ...]
    sets: tuple[tuple[str, float], ...]
    logits: torch.Tensor
    labels: torch.Tensor
    data: tuple[str, ...] = ()

    def at(self, condition: Condition) -> torch.Tensor:
        """Logits [M, N, C] where some modalities are degraded and the others are clean. Of one that
        is absent all are 0: nothing is said, see `silent`."""
        if condition.degradation == ABSENT:
            heard = [name not in condition.degraded for name in self.modalities]
            return self.logits[:, 0] * torch.tensor(heard)[:, None, None]
        worse = self.sets.index((condition.degradation, condition.level))
        chosen = [worse if name in condition.degraded else 0 for name in self.modalities]
        return torch.stack([self.logits[m, s] for m, s in enumerate(chosen)])


def load_outputs(
    recognisers: Sequence[Recogniser], paths: Sequence[str | Path]
) -> dict[str, PairedOutputs]:
    """Per split, the outputs that belong together; raises UserError if files do not.

    `paths` are in the order of `recognisers`. The outputs are in that of the modalities' names: in
    which order a configuration has them is no reason for another selector.
    """
    pairs = sorted(zip(recognisers, paths, strict=True), key=lambda pair: pair[0].modality)
    files = [
        artifacts.load(path, kind="degraded", job_digest=recogniser.digest)
        for recogniser, path in pairs
    ]
    paths = [path for _, path in pairs]
    sets = [_sets(passport) for _, passport in files]
    classes = [passport["classes"] for _, passport in files]
    for path, (_, passport) in zip(paths, files, strict=True):
        if passport.get("samples") != files[0][1].get("samples"):
            raise UserError(f"{path}: answers other samples than {paths[0]}; run Snakemake again")
    result = {}
    for split in SPLITS:
        labels = [tensors[f"{split}.labels"] for tensors, _ in files]
        for path, own_sets, own_classes, own_labels in zip(
            paths, sets, classes, labels, strict=True
        ):
            if own_sets != sets[0] or own_classes != classes[0]:
                raise UserError(f"{path}: holds other degradations or classes than {paths[0]}")
            if not torch.equal(own_labels, labels[0]):
                raise UserError(
                    f"{path}: its {len(own_labels)} {split} samples are not paired with the "
                    f"{len(labels[0])} of {paths[0]}"
                )
        result[split] = PairedOutputs(
            tuple(recogniser.modality for recogniser, _ in pairs),
            sets[0],
            torch.stack([tensors[f"{split}.logits"] for tensors, _ in files]),
            labels[0],
            tuple(passport.get("data", "") for _, passport in files),
        )
    return result


def _sets(passport: dict) -> tuple[tuple[str, float], ...]:
    return (CLEAN, *((name, level) for name, level in passport["sets"]))


def silent(logits: torch.Tensor) -> torch.Tensor:
    """Where a recogniser says nothing, for its modality is absent: bool [M, N] of logits [M, N, C].

    All classes have the same logit then, to the bit; so the probabilities are those of nothing
    known, sums and products of them name what the others name, and no confidence is smaller.
    """
    return (logits == logits[..., :1]).all(-1)


def named(logits: torch.Tensor) -> torch.Tensor:
    """The class that each recogniser names, int64 [M, N]; -1 where it says nothing."""
    return logits.argmax(2).masked_fill(silent(logits), -1)


@dataclass(frozen=True)
class Mixture:
    """Samples under many conditions, one after the other.

    `logits` is [M, N, C], `labels` [N], `clean` bool [N, M] says which modalities are undegraded,
    `samples` int64 [N] which sample a row is.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    clean: torch.Tensor
    samples: torch.Tensor


def training_conditions(
    modalities: Sequence[str], degradations: Iterable[str], levels: Iterable[float]
) -> list[Condition]:
    """All conditions in which some modality is degraded and some is not."""
    return [
        Condition(degradation, level, degraded)
        for degradation, level in itertools.product(degradations, levels)
        for degraded in sides(sorted(modalities))
        if len(degraded) < len(modalities)
    ]


def selector_conditions(
    modalities: Sequence[str], degradations: Degradations, spec: SelectorSettings
) -> list[Condition]:
    """What a selector is trained under: the degradations that are to be seen, on one or more sides.

    Which recogniser is right is a question on clean inputs and with all sides degraded, too. One
    that weighs draws as many samples, under conditions of its own (`selector.draws`).
    """
    conditions = training_conditions(modalities, degradations.seen, degradations.levels)
    if spec.target == "right" or spec.decides == "weigh":
        conditions.append(UNDEGRADED)
        conditions += [
            Condition(name, level, tuple(modalities))
            for name, level in itertools.product(degradations.seen, degradations.levels)
        ]
    return conditions


def mix(outputs: PairedOutputs, conditions: Sequence[Condition]) -> Mixture:
    """Every sample under every condition."""
    count = len(outputs.labels)
    clean = torch.tensor(
        [[name not in c.degraded for name in outputs.modalities] for c in conditions]
    )
    return Mixture(
        torch.cat([outputs.at(condition) for condition in conditions], 1),
        outputs.labels.repeat(len(conditions)),
        clean.repeat_interleave(count, 0),
        torch.arange(count).repeat(len(conditions)),
    )
