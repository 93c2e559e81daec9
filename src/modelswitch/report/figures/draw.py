"""Figures from tidy tables. One function each, `Tables -> Figure`, listed in `catalogue`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelswitch.report.contents import SELECTOR, Entry
from modelswitch.results import foremost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from modelswitch.results.tables import Tables

FORMATS = ("png", "svg")


def draw_all(
    tables, items: Sequence[Entry], folder: str | Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Draw `items` into `folder` and return what was written.

    An item that the tables have nothing for becomes a figure that says so, so that every declared
    file exists.
    """
    # Notebooks name their own for whatever is started in them, and without it matplotlib would not
    # even be imported. No figure here needs a display.
    os.environ["MPLBACKEND"] = "agg"
    # Imported by name, so that the digest of the code covers them.
    from modelswitch.report.figures import (
        abstaining,
        chains,
        confusions,
        devices,
        differences,
        learning,
        selection,
        size,
        style,
        verification,
        weighting,
    )

    modules = {
        module.__name__.rpartition(".")[2]: module
        for module in (
            abstaining,
            chains,
            confusions,
            devices,
            differences,
            learning,
            selection,
            size,
            verification,
            weighting,
        )
    }
    written = []
    # Whom a data set's figures name is found once for all of them.
    named: dict[str, Tables] = {}
    with style.look():
        for item in items:
            module, function = item.draw.split(":")
            draw = getattr(modules[module], function)
            part = tables.of(item.dataset) if item.dataset else tables
            if item.dataset and part.models.empty:
                figure = style.message(f"No results on {item.dataset} yet.")
            elif item.system == SELECTOR:
                figure = draw(part, *item.arguments)
            else:
                if item.dataset not in named:
                    named[item.dataset] = _named(part)
                figure = _of_foremost(draw, named[item.dataset], item)
            style.save(figure, Path(folder), item.file, formats)
            written += [Path(folder) / f"{item.file}.{kind}" for kind in formats]
    return written


def _named(tables: Tables) -> Tables:
    """The models that figures name: of one data set some where there are very many."""
    return foremost.foremost(tables) if tables.models["dataset"].nunique() == 1 else tables


def _of_foremost(draw: Callable[..., Figure], part: Tables, item: Entry) -> Figure:
    """A figure of the models that are named; where they are not all, it says so."""
    from modelswitch.report.figures import style

    figure = draw(part, *item.arguments)
    count, of = (each.models["lineage"].nunique() for each in (part, part.whole))
    if count < of:
        style.note(figure, f"{count} of {of:,} models: claimed, or best on validation images")
    return figure
