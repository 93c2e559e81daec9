"""One look for all figures: sizes for a column of print, colours safe for colour-blind readers."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from modelswitch.storage import atomic
from modelswitch.wording import short

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

COLUMN = 85 / 25.4  # inches, one column of a two-column A4 page
PAGE = 178 / 25.4  # inches, both columns
SMALLEST = 6  # points: no letter is smaller, printed as large as it is drawn
# Okabe & Ito's palette, without its yellow (too faint on white). The first three, which are all
# that most figures need, are far apart in lightness too; dashes and markers tell the others apart.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#8A8A8A"
LIGHT = "#C8C8C8"
PALETTE = (BLUE, AMBER, BLACK, GREEN, PURPLE, SKY, ORANGE)
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v")  # five, so that those of neighbours and dashes never repeat
SETTINGS: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "modelswitch",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # names may hold dollar signs
}


def grid(
    count: int, columns: int = 3, panel: float = 1.05, width: float = COLUMN, extra: float = 0.3
):
    """A figure of `count` small panels with common axes, `panel` inches high; unused ones hidden.

    Returns (figure, list of axes). Only the left and lowest panels carry numbers.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new(panel * rows + extra, width)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    flat = list(axes.flat)
    if flat[count:]:  # half a number may stand out on the right, see below
        spacing(figure).set(rect=(0, 0, 0.98, 1))
    for spare in flat[count:]:
        spare.set_visible(False)
    for above in flat[count - columns : count]:  # lowest of its column
        above.tick_params(axis="x", labelbottom=True)
        if above.get_subplotspec().rowspan.start < rows - 1:
            # These numbers stand where a panel is missing, so no row has to make room for them.
            above.xaxis.set_in_layout(False)
    return figure, flat[:count]


@contextmanager
def look() -> Iterator[None]:
    """Draw and save inside this: a user's own matplotlib settings neither change nor matter."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def new(height: float, width: float = COLUMN) -> Figure:
    """An empty figure, `width` x `height` inches, bound to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    spacing(figure).set(w_pad=0.03, h_pad=0.03)
    return figure


def spacing(figure: Figure) -> ConstrainedLayoutEngine:
    """What finds places for a figure's parts, to be told how much room they have."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    return engine


def save(figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("png", "svg")) -> None:
    """Write `name`.<format> for each format, with nothing in it that changes from run to run."""
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    for kind in formats:
        with atomic.replacing(Path(folder) / f"{name}.{kind}") as part:
            figure.savefig(part, format=kind, metadata=undated.get(kind))
        # Everything has its place now; finding it once more takes as long as drawing.
        figure.set_layout_engine("none")


def message(text: str, width: float = COLUMN) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = new(0.9, width)
    figure.text(0.5, 0.5, text, ha="center", va="center", color="#555555", wrap=True)
    return figure


def colour(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def dashes(index: int):
    """Line style: another one for each neighbour, so that no line is known by its colour alone."""
    return DASHES[index % len(DASHES)]


def marker(index: int) -> str:
    """The same for points."""
    return MARKERS[index % len(MARKERS)]


def interval(axes, y: float, mean: float, low: float, high: float, colour: str, **options) -> None:
    """A dot with a horizontal interval; without an interval, just the dot."""
    if not math.isnan(low):
        axes.plot([low, high], [y, y], color=colour, linewidth=1.1, solid_capstyle="butt")
    axes.plot(mean, y, **{"marker": "o", "color": colour, "markersize": 3.5} | options)


def beyond(axes, y: float, low: bool, colour: str) -> None:
    """An arrow at the axis' left (`low`) or right edge: what it stands for is not drawn."""
    marker, place = ("<", 0.025) if low else (">", 0.975)
    axes.plot([place], [y], marker=marker, color=colour, markersize=4.5,
              transform=axes.get_yaxis_transform())  # fmt: skip


def rows_axis(axes, count: int) -> None:
    """Make `axes` a list of rows 0, 1, … from top to bottom, without a vertical axis."""
    axes.set_ylim(count - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def fitting(text: str, width: float, size: float) -> str:
    """`text`, shortened in its middle until it is at most `width` points wide at that size."""
    shortest, longest = 4, len(text)
    if _width(text, size) <= width:
        return text
    while longest - shortest > 1:  # by halves: measuring takes a while
        middle = (shortest + longest) // 2
        fits = _width(short(text, middle), size) <= width
        shortest, longest = (middle, longest) if fits else (shortest, middle)
    return short(text, shortest)


@functools.lru_cache(maxsize=4096)
def _width(text: str, size: float) -> float:
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), text, size=size).get_extents().width


def note(figure: Figure, text: str) -> None:
    """A line in small letters above a figure that is ready, for which it grows."""
    inches = 0.13
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + inches)
    share = height / (height + inches)
    for axes in figure.axes:
        if not axes.get_in_layout():  # it has its place already
            left, bottom, across, up = axes.get_position(original=True).bounds
            axes.set_position((left, bottom * share, across, up * share))
    left, bottom, across, up = spacing(figure).get()["rect"]
    spacing(figure).set(rect=(left, bottom * share, across, up * share))
    figure.text(
        0.01, 1 - 0.02 / (height + inches), text, ha="left", va="top", fontsize=SMALLEST,
        color="#666666",
    ).set_in_layout(False)  # fmt: skip


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move labels apart: positions at least `gap` from each other, each as near as can be.

    Neighbours that are too close form a group around their common centre; groups that meet merge.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[list[int]] = []

    def start(group: list[int]) -> float:
        centre = sum(positions[i] for i in group) / len(group)
        return centre - gap * (len(group) - 1) / 2

    for index in order:
        groups.append([index])
        while len(groups) > 1 and start(groups[-2]) + gap * len(groups[-2]) > start(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = [0.0] * len(positions)
    for group in groups:
        for rank, index in enumerate(group):
            placed[index] = start(group) + gap * rank
    return placed
