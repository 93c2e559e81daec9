"""From what people store as labels to numbers 0, 1, … and a name for each."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from modelswitch.data.class_numbers import MOST_CLASSES, refuse_gaps
from modelswitch.data.folders import natural_order, normal, same_number, some
from modelswitch.errors import UserError


def numbered(
    parts: Mapping[str, np.ndarray | Sequence[str]],
    names: Mapping[str, str],
    class_names: Sequence[str] | None = None,
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """int64 [N] of every split, and the class names in the order of their numbers.

    Labels are text, which is the class's name, or whole numbers: places in ``class_names`` or,
    without those, names themselves. Names are in natural order unless ``class_names`` has another.

    Args:
        parts: one label an image, by split.
        names: what a person knows each of them by.

    Raises `UserError` for other types and shapes, for numbers below 0, outside of ``class_names``
    or with gaps among them, and for text that is none of ``class_names``.
    """
    plain = {split: _plain(np.asarray(part), names[split]) for split, part in parts.items()}
    kinds = {array.dtype.kind for array in plain.values()}
    if len(kinds) > 1:
        raise UserError(f"{', '.join(names.values())}: text in one and numbers in another")
    if kinds == {"i"} and class_names is not None:
        for split, array in plain.items():
            if array.max() >= len(class_names):
                raise UserError(
                    f"{names[split]}: has a label {array.max()}, expected 0 to "
                    f"{len(class_names) - 1}, for there are {len(class_names)} classes"
                )
        return {s: torch.from_numpy(array) for s, array in plain.items()}, list(class_names)
    found = sorted({value for array in plain.values() for value in np.unique(array).tolist()})
    if kinds == {"i"}:
        instead = "store class_names with a name for each number, or names as labels"
        refuse_gaps(found, next(iter(names.values())), instead)
    ordered = list(class_names) if class_names is not None else natural_order(map(str, found))
    unknown = [name for name in map(str, found) if name not in ordered]
    if unknown:
        raise UserError(f"{next(iter(names.values()))}: {some(unknown)} not in class_names")
    number = {name: place for place, name in enumerate(ordered)}
    codes = {}
    for split, array in plain.items():
        values, inverse = np.unique(array, return_inverse=True)
        lookup = np.array([number[str(value)] for value in values.tolist()], np.int64)
        codes[split] = torch.from_numpy(lookup[inverse])
    return codes, ordered


def _plain(labels: np.ndarray, where: str) -> np.ndarray:
    """int64 or text [N]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) == 0:
        raise UserError(
            f"{where}: has shape {labels.shape}, expected one label an image; of one-hot labels "
            "store the number of the class"
        )
    if labels.dtype.kind in "SU":
        return np.array(texts_of(labels, where))
    if labels.dtype.kind not in "biuf":
        raise UserError(f"{where}: holds {labels.dtype}, expected whole numbers or text")
    if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        raise UserError(f"{where}: holds {labels.dtype} with fractions, expected whole numbers")
    if not labels.max() < MOST_CLASSES:
        raise UserError(f"{where}: has a label {labels.max()}, expected less than {MOST_CLASSES}")
    if labels.min() < 0:
        raise UserError(f"{where}: has a label {labels.min()}, expected 0 or more")
    return labels.astype(np.int64)


def texts_of(values: np.ndarray, where: str) -> list[str]:
    """Names in normal form, whatever they are stored as; raises `UserError` for what is no list
    of them, for bytes that are no text and for empty ones."""
    if values.ndim != 1:
        raise UserError(f"{where}: has shape {values.shape}, expected a list of names")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise UserError(f"{where}: number {int(np.isnan(values).argmax())} is NaN, no name")
    texts = []
    for value in values.tolist():
        if isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{where}: {value!r} is not UTF-8") from error
        texts.append(normal(str(value)))
    if "" in texts:
        raise UserError(f"{where}: name number {texts.index('')} is empty")
    return texts


def groups_of(parts: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, list[str]]:
    """The group of every image by split, as text; a number is the same however it is stored.

    Raises `UserError` as `texts_of`, for fractions, and for text in one split and numbers in
    another.
    """
    kinds = {split: "S" if part.dtype.kind in "SU" else "i" for split, part in parts.items()}
    if len(set(kinds.values())) > 1:
        raise UserError(f"{', '.join(names.values())}: text in one and numbers in another")
    groups = {}
    for split, part in parts.items():
        if part.dtype.kind == "f" and np.isfinite(part).all():
            if (part != np.rint(part)).any():
                raise UserError(f"{names[split]}: holds fractions, expected names or whole numbers")
            part = part.astype(np.int64)
        groups[split] = texts_of(part, names[split])
    return groups


def alike_names(names: Sequence[str]) -> list[list[str]]:
    """Names that differ in no more than the case, the width of letters, what cannot be seen, or the
    zeros of a number."""
    found: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        plain = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Zs"))
        found.setdefault(same_number(plain), []).append(name)
    return [each for each in found.values() if len(each) > 1]


def class_names_in(arrays: Mapping[str, np.ndarray], where: str) -> list[str] | None:
    """The names under ``class_names``, if there are any; raises `UserError` if two are equal."""
    if "class_names" not in arrays:
        return None
    names = texts_of(np.asarray(arrays["class_names"]), f"{where}: class_names")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{where}: class_names repeat: {some(twice)}")
    return names
