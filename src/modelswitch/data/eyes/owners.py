"""Whose eye a photograph shows, from its place among the folders.

Light to import: Snakemake lists files while it parses.
"""

import re
from pathlib import Path

from modelswitch.config.data import EyePhotosData
from modelswitch.data.folders import IMAGE_ENDINGS, Folder, normal, shown, some
from modelswitch.errors import UserError

# Latin: oculus sinister and dexter, the person's own left and right.
_SIDES = {
    **dict.fromkeys(("left", "l", "os"), "left"),
    **dict.fromkeys(("right", "r", "od"), "right"),
}
Owned = tuple[str, str, Path]


def eyes_in(holder: Folder, spec: EyePhotosData) -> list[Owned]:
    """The class, the name and the file of every photograph in the folder of a split.

    With ``classes: eyes`` a class is ``<person>-left`` or ``<person>-right``, or what the group
    ``eye`` of ``data.pattern`` finds; with ``classes: people`` it is the person.

    Raises `UserError` where the person or the side of a photograph cannot be told.
    """
    found: list[Owned] = []
    lost: list[str] = []
    odd: dict[str, str] = {}
    for file in holder.all_images():
        name = file.relative_to(holder.path).as_posix()
        place = name if spec.pattern is None else file.relative_to(spec.path).as_posix()
        parts = _by_folders(place) if spec.pattern is None else _by_pattern(place, spec.pattern)
        eye, person, side = (normal(parts.get(key) or "") for key in ("eye", "person", "side"))
        known = _SIDES.get(side.casefold())
        if eye:
            found.append((eye, name, file))
        elif not person or (spec.classes == "eyes" and not side):
            lost.append(place)
        elif spec.classes == "eyes" and known is None:
            odd.setdefault(side, place)
        else:
            label = person if spec.classes == "people" else f"{person}-{known}"
            found.append((label, name, file))
    where = shown(holder.path)
    if odd:
        raise UserError(
            f"{where}: {some(odd)} names no side, in {some(odd.values(), 2)}; known are "
            f"{', '.join(_SIDES)}" + _hint(spec)
        )
    if lost:
        if spec.pattern is None:
            side = "/<left or right>" if spec.classes == "eyes" else ""
            wanted = f"<person>{side}/<image>"
            raise UserError(
                f"{where}: {len(lost)} photographs are not in {wanted}: {some(lost, 3)}"
                + _hint(spec)
            )
        raise UserError(
            f"data.pattern: {spec.pattern!r} finds nothing in {len(lost)} of "
            f"{len(lost) + len(found)} photographs: {some(lost, 3)}"
        )
    if not found:
        raise UserError(
            f"{where}: has no photograph; images end in {', '.join(sorted(IMAGE_ENDINGS))}"
        )
    return found


def person_of(label: str, classes: str) -> str:
    """Whose eye a class shows."""
    return label.rsplit("-", 1)[0] if classes == "eyes" else label


def _hint(spec: EyePhotosData) -> str:
    if spec.pattern is not None:
        return ""
    return "; data.pattern says where a path has person and side" + (
        ", data.classes: people needs no side" * (spec.classes == "eyes")
    )


def _by_folders(place: str) -> dict[str, str | None]:
    """A side is the folder below that of the person, whatever lies between it and the file."""
    *folders, _ = place.split("/")
    return dict(zip(("person", "side"), folders, strict=False))


def _by_pattern(place: str, pattern: str) -> dict[str, str | None]:
    match = re.search(pattern, place)
    return {} if match is None else match.groupdict()
