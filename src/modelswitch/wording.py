"""Numbers, names and tables written for people."""

from collections.abc import Collection, Iterable, Sequence


def short_count(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:g}"


def amount(number: float) -> str:
    """A count in three figures: 559 k, 11.2 M."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= limit * 0.9995:
            scaled = number / limit
            digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
            return f"{scaled:.{digits}f}{unit}"
    return f"{number:.0f}"


def round_amount(number: float) -> str:
    """A round count for an axis: 50 k, 2 M."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= limit * 0.9995:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"


def short(text: str, longest: int) -> str:
    """`text`, or its two ends around an ellipsis."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def duration(seconds: float) -> str:
    """42 s, 3.5 min, 2.1 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    if seconds < 5940:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def part_of(whole: float, part: float) -> str:
    """How many times smaller than ``whole`` something is, 1/7.5, or larger, 3.0 x; two figures at
    least, and nothing where one of the two is none."""
    if not whole or not part:
        return ""
    times = max(whole / part, part / whole)
    shown = f"{times:.1f}" if times < 99.95 else amount(times)
    return f"1/{shown}" if part <= whole else f"{shown} x"


def markdown_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Collection[int] = (),
    padded: bool = True,
) -> str:
    """A table in GitHub's Markdown, whatever is in its cells.

    Args:
        numeric: positions of the columns that stand on the right.
        padded: columns of one width, to be read as they are.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    if not padded:
        rule = ["--:" if at in numeric else "---" for at in range(len(headings))]
        return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *cells))
    from tabulate import tabulate

    align = ["right" if at in numeric else "left" for at in range(len(headings))]
    # Without a row there is nothing that tabulate could align.
    return tabulate(
        cells,
        list(headings),
        tablefmt="github",
        disable_numparse=True,
        colalign=align if cells else None,
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
