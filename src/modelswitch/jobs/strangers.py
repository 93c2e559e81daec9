"""Setting apart the people that no model is trained with, one file of images a modality."""

from collections.abc import Sequence
from pathlib import Path

from modelswitch.config.data import DataSpec
from modelswitch.config.verification import Verification
from modelswitch.data.folders import shown
from modelswitch.data.manifest import manifest
from modelswitch.data.sources import read_strangers
from modelswitch.errors import UserError


def keep_strangers(
    spec: DataSpec, settings: Verification, paths: Sequence[str | Path], holds: str = ""
) -> list[str]:
    """Write them to ``paths``, one a modality in order; a line about each is returned.

    Args:
        holds: the identity of the data's manifest when this was planned, if it was.
    """
    if holds and manifest(spec).identity != holds:
        where = shown(getattr(spec, "path", spec.source))
        raise UserError(f"{where}: changed since the workflow was started; start it again")
    lines = []
    found = read_strangers(spec, settings)
    for path, (name, own) in zip(map(Path, paths), found.items(), strict=True):
        _refuse_few(own.labels.bincount().tolist(), own.names, settings.enrolled)
        own.save(path)
        lines.append(f"{name}: {len(own.labels)} images of {len(own.names)} people held back")
    return lines


def _refuse_few(counts: list[int], names: list[str], enrolled: int) -> None:
    few = [name for name, count in zip(names, counts, strict=True) if count <= enrolled]
    if few:
        raise UserError(
            f"selector.verification.enrolled: found {enrolled}, but {len(few)} of the people held "
            f"back have no more samples than that, {few[0]} is the first; allowed: fewer"
        )
