"""Labels that are numbers, and what they may be. Light to import: Snakemake's parsing needs it."""

from collections.abc import Sequence

from modelswitch.data.folders import normal, some
from modelswitch.errors import UserError

# Higher labels are mistakes (identifiers, say), and a model for them would fill the memory.
MOST_CLASSES = 1_000_000


def refuse_gaps(found: Sequence[int], where: str, instead: str) -> None:
    """Raise `UserError` unless the labels, each once and in order, count from 0 or from 1: one that
    is far from all others stands for 'unknown'. ``instead`` says what helps."""
    first = min(found[0], 1)
    missing = sorted(set(range(first, found[-1] + 1)) - set(found))
    if missing:
        raise UserError(
            f"{where}: labels go from {found[0]} to {found[-1]}, but {len(missing)} numbers among "
            f"them have no image, the first is {missing[0]}; {instead}"
        )


def named_classes(
    labels: Sequence[int | str], where: str, class_names: Sequence[str] | None = None
) -> list[str]:
    """The class's name for each label: the label itself, or of numbers their place in
    ``class_names``.

    Raises `UserError` for text beside numbers, for empty text and text that is none of
    ``class_names``, and for numbers outside of these or, without them, with gaps.
    """
    kinds = {type(label) for label in labels}
    if len(kinds) > 1:
        text, number = (next(v for v in labels if isinstance(v, kind)) for kind in (str, int))
        raise UserError(f"{where}: labels are text and numbers, for instance {text!r} and {number}")
    if kinds == {str}:
        names = [normal(str(label)) for label in labels]
        if "" in names:
            raise UserError(f"{where}: number {names.index('')} has an empty label")
        unknown = sorted(set(names) - set(class_names or names))
        if unknown:
            raise UserError(f"{where}: {some(unknown)} not in class_names")
        return names
    numbers = [int(label) for label in labels]
    found = sorted(set(numbers))
    most = len(class_names) if class_names is not None else MOST_CLASSES
    if found and (found[0] < 0 or found[-1] >= most):
        odd = found[0] if found[0] < 0 else found[-1]
        none = " (-1 usually stands for images without a label)" if odd == -1 else ""
        raise UserError(f"{where}: has a label {odd}{none}, expected 0 to {most - 1}")
    if class_names is not None:
        return [class_names[number] for number in numbers]
    if found:
        refuse_gaps(found, where, "say data.class_names, a name for each number")
    return list(map(str, numbers))
