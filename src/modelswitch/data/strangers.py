"""People that no model is trained with: held back by person, or drawn beside those that are."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from modelswitch.config.data import EyesData, PairedData
from modelswitch.config.verification import Verification
from modelswitch.data.assembly import Stored
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
    """Images uint8 [N, H, W, C] of people and the number of each's person, int64 [N], rising."""

    images: torch.Tensor
    labels: torch.Tensor
    names: list[str]

    @classmethod
    def load(cls, path: str | Path) -> "Strangers":
        tensors, passport = artifacts.load(path, kind="strangers")
        return cls(tensors["images"], tensors["labels"], passport["names"])

    def save(self, path: str | Path) -> None:
        artifacts.save(
            path,
            {"images": self.images, "labels": self.labels},
            {"kind": "strangers", "names": self.names},
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
    return {name: Strangers(torch.cat(own).clone(), labels, names) for name, own in parts.items()}


def parted(stored: Stored, share: float) -> tuple[Stored, dict[str, Strangers]]:
    """What a source holds without a share of its classes, and these, of all its splits.

    Which ones depends on the names of the classes alone.

    Raises:
        UserError: too few are held back, or too few are left.
    """
    codes, names = numbered(
        stored.labels,
        {split: f"{stored.where}: {split}" if split else stored.where for split in stored.labels},
        stored.class_names,
    )
    order = sorted(range(len(names)), key=lambda at: derive_seed("stranger", names[at]))
    held = sorted(order[: round(share * len(names))])
    if len(held) < FEWEST or len(names) - len(held) < 2:
        raise UserError(
            f"data.strangers: {share} of {len(names)} classes of {stored.where} holds back "
            f"{len(held)}; at least {FEWEST} have to be, and 2 be left"
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
    people = [names[at] for at in held]
    return left, {
        name: Strangers(
            torch.cat([parts[split][strange[split]] for split in codes])[rows],
            labels[rows],
            people,
        )
        for name, parts in stored.images.items()
    }


def share_of(spec: object) -> float:
    """The share of the classes that a source holds back."""
    return spec.strangers if isinstance(spec, PairedData) else 0.0
