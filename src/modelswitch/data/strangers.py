"""People that no model is trained with: held back by person, or drawn beside those that are."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from modelswitch.config.data import EyePhotosData, EyesData
from modelswitch.config.data_base import StrangersData
from modelswitch.config.verification import Verification
from modelswitch.data.assembly import Stored
from modelswitch.data.eyes.owners import person_of
from modelswitch.data.folders import some
from modelswitch.data.labels import numbered
from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed
from modelswitch.storage import artifacts
from modelswitch.storage.stored_rows import chosen

# Fewer leave too little to fit on, or to test.
FEWEST = 8


@dataclass(frozen=True)
class Strangers:
    """Images uint8 [N, H, W, C] of people and the number of each's class, int64 [N], rising.

    `names` are those of the classes, `owners` those of the people whom they show: of a class that
    is one eye the person's.
    """

    images: torch.Tensor
    labels: torch.Tensor
    names: list[str]
    owners: list[str]

    @classmethod
    def load(cls, path: str | Path) -> "Strangers":
        tensors, passport = artifacts.load(path, kind="strangers")
        return cls(tensors["images"], tensors["labels"], passport["names"], passport["owners"])

    def save(self, path: str | Path) -> None:
        artifacts.save(
            path,
            {"images": self.images, "labels": self.labels},
            {"kind": "strangers", "names": self.names, "owners": self.owners},
        )


def drawn(spec: EyesData, settings: Verification) -> dict[str, Strangers]:
    """People drawn beside those of the data set, by modality."""
    from modelswitch.data.eyes.render import MODALITIES, EyeSettings, render_captures

    eyes = EyeSettings(
        periocular=spec.periocular, iris=spec.iris, variation=spec.variation, seed=spec.seed
    )
    people = range(spec.identities, spec.identities + settings.people)
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in MODALITIES}
    with torch.inference_mode():
        for person in people:
            for _, *pair in render_captures(eyes, person, list(range(settings.captures))):
                for name, batch in zip(MODALITIES, pair, strict=True):
                    parts[name].append(batch)
    labels = torch.arange(len(people)).repeat_interleave(settings.captures)
    names = [f"eye{person}" for person in people]
    return {
        name: Strangers(torch.cat(own).clone(), labels, names, names) for name, own in parts.items()
    }


def held_back(people: Iterable[str], share: float) -> set[str]:
    """A share of the people, which depends on their names alone."""
    order = sorted(set(people), key=lambda name: derive_seed("stranger", name))
    return set(order[: round(share * len(order))])


def parted(
    stored: Stored, share: float, person: Callable[[str], str] = lambda name: name
) -> tuple[Stored, dict[str, Strangers]]:
    """What a source holds without the classes of a share of its people, and these, of all splits.

    Args:
        person: whom a class shows, by its name.

    Raises:
        UserError: too few are held back, or too few are left.
    """
    codes, names = numbered(
        stored.labels,
        {split: f"{stored.where}: {split}" if split else stored.where for split in stored.labels},
        stored.class_names,
    )
    owners = [person(name) for name in names]
    people, out = set(owners), held_back(owners, share)
    held = [at for at, owner in enumerate(owners) if owner in out]
    if len(out) < FEWEST or len(people) - len(out) < 2:
        raise UserError(
            f"data.strangers: {share} of {len(people)} people of {stored.where} holds back "
            f"{len(out)}; at least {FEWEST} have to be, and 2 be left"
        )
    number = torch.full((len(names),), -1)
    number[held] = torch.arange(len(held))
    strange = {split: number[own] >= 0 for split, own in codes.items()}
    lacking = [split or "all" for split, rows in strange.items() if rows.all()]
    if lacking:
        raise UserError(f"{stored.where}: all of {some(lacking)} is of people held back")

    def known(split: str, values: list) -> list:
        return [
            value for value, out in zip(values, strange[split].tolist(), strict=True) if not out
        ]

    left = replace(
        stored,
        images={
            name: {split: chosen(images, ~strange[split]) for split, images in parts.items()}
            for name, parts in stored.images.items()
        },
        labels={
            split: known(split, [names[at] for at in own.tolist()]) for split, own in codes.items()
        },
        class_names=[name for at, name in enumerate(names) if at not in held],
        groups=stored.groups and {s: known(s, list(own)) for s, own in stored.groups.items()},
        files_of=stored.files_of and {s: known(s, list(own)) for s, own in stored.files_of.items()},
    )
    labels = torch.cat([number[own[strange[split]]] for split, own in codes.items()])
    rows = labels.argsort(stable=True)
    return left, {
        name: Strangers(
            torch.cat([parts[split][strange[split]] for split in codes])[rows],
            labels[rows],
            [names[at] for at in held],
            [owners[at] for at in held],
        )
        for name, parts in stored.images.items()
    }


def share_of(spec: object) -> float:
    """The share of the classes that a source holds back."""
    return spec.strangers if isinstance(spec, StrangersData) else 0.0


def owner_of(spec: object) -> Callable[[str], str]:
    """Whom a class of a source shows, by its name."""
    classes = spec.classes if isinstance(spec, EyePhotosData) else "people"
    return functools.partial(person_of, classes=classes)
