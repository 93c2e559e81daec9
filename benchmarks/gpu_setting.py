"""What the parts of `gpu.py` share: sizes, where files lie, figures that are kept as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from contestants import RESNET20, RESNET56, SMALL
from measure import Figure, Part, synthetic

from modelswitch.config.models import ModelSpec, PlainModel, ResnetModel
from modelswitch.execution import gpu_lease
from modelswitch.training import precision


@dataclass(frozen=True)
class Setting:
    """How much is done, and where.

    Args:
        folder: for files that are not kept.
        pretended: devices are pretended; a processor computes, so that models are tiny.
        quick: a smoke test.
    """

    folder: Path
    pretended: bool
    quick: bool

    @property
    def teacher(self) -> ModelSpec:
        return self._tiny([2, 2]) if self.pretended else RESNET56

    @property
    def student(self) -> ModelSpec:
        return self._tiny([1, 1]) if self.pretended else RESNET20

    @property
    def thin(self) -> ModelSpec:
        return self._tiny([1, 1]) if self.pretended else SMALL

    @property
    def random(self) -> ModelSpec:
        """A model that draws random numbers on its device."""
        widths = [4, 8] if self.pretended else [32, 64]
        return PlainModel(family="plain", stages=[[width] for width in widths], dropout=0.2)

    @staticmethod
    def _tiny(blocks: list[int]) -> ResnetModel:
        return ResnetModel(family="resnet", widths=[4, 8], blocks=blocks)

    @property
    def batches(self) -> tuple[int, ...]:
        return (16, 64) if self.pretended else (128, 1024)

    @property
    def shares(self) -> tuple[int, ...]:
        return (1, 2, 4) if self.pretended else (1, 2, 4, 8)

    @property
    def images(self) -> int:
        """Training images of trainings that are started by script."""
        return 512 if self.quick or self.pretended else 12_800

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 3

    @property
    def seconds(self) -> float:
        """The length of a turn."""
        return 0.3 if self.quick else 1.0

    @property
    def data(self) -> Path:
        """The prepared images of trainings that are started by script."""
        path = self.folder / f"synthetic-{self.images}.safetensors"
        if not path.exists():
            [data] = synthetic(self.images, 256).values()
            data.save(path)
        return path

    @contextmanager
    def device(self) -> Iterator[torch.device]:
        """A whole device, which no training of the machine has meanwhile."""
        with gpu_lease.lease() as leased:
            yield torch.device(leased.torch)


def best_format(device: torch.device) -> str:
    """bfloat16 where the device computes in it, otherwise float32."""
    return str(precision.dtype_for("auto", device)).removeprefix("torch.")


class Told:
    """A part's figures and lines, kept as they come: what a part that is stopped had found by then
    is not lost."""

    def __init__(self, part: Part, path: Path) -> None:
        self.part, self._path = part, path
        self.save()

    def save(self) -> None:
        self.part.save(self._path)

    def figures(self, *figures: Figure) -> None:
        self.part.figures += figures
        self.save()

    def line(self, text: str) -> None:
        self.part.notes.append(text)
        self.save()
