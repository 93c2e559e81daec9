"""The one screen that a run ends with: what was found, where the rest is, what comes next."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from modelswitch.config.metrics import BYTES, SHARE
from modelswitch.report.summaries.devices import devices_sheet, milliseconds
from modelswitch.results import sentences
from modelswitch.results.sentences import Sentence
from modelswitch.results.tables import Tables
from modelswitch.wording import short

WIDTH, HEIGHT = 80, 24
# Of the files for devices: formats beside each other, models below each other.
FORMATS, MODELS, CELL = 3, 2, 24
# One paragraph each, in this order: what it is called, and what it is made of.
_PARAGRAPHS = {
    "Compression": (sentences.COMPRESSION, sentences.GAIN),
    "Selective transfer": (sentences.TRANSFER,),
    "Selector": (sentences.SELECTOR,),
    "On a device": (sentences.DEVICE,),
}


def lines(folders: Sequence[Path], following: Sequence[str] = ()) -> list[str]:
    """At most 24 lines of at most 80 columns about the experiments in ``results/<experiment>``.

    Args:
        following: what to do next, a line each.
    """
    found: dict[str, list[Sentence]] = {}
    files: list[str] = []
    for folder in folders:
        tables = Tables(folder / "tables")
        for sentence in sentences.sentences(tables):
            found.setdefault(sentence.about, []).append(sentence)
        files = files or _files(tables)
    paragraphs = []
    for title, parts in _PARAGRAPHS.items():
        texts = [sentence.brief for about in parts for sentence in found.get(about, [])[:1]]
        if texts:
            paragraphs.append(_wrapped(f"{title}: {' '.join(texts)}"))
    pages = [
        f"  {path}" for path in (folder / "results.html" for folder in folders) if path.exists()
    ]
    end = [_cut(line) for line in (*(["The pages, to open in a browser:", *pages] if pages else []),
                                   *following)]  # fmt: skip
    head = [
        _cut("Found on images that no training has seen; in brackets 95 % intervals over seeds")
    ]
    return _fitting(head, paragraphs, files, end)


def _files(tables: Tables) -> list[str]:
    """What files for devices keep and cost: the first and the last model, in the first formats."""
    sheet = devices_sheet(tables)
    if sheet is None:
        return []
    cells: dict[str, dict[str, str]] = {}
    for row in sheet.rows:
        told = f"{SHARE.text(row['accuracy'])} % {BYTES.text(row['file_bytes'])}B"
        if not math.isnan(row["median_ms"]):
            told += f" {milliseconds(row['median_ms'])} ms"
        # Of several machines that measured it the first.
        cells.setdefault(row["name"], {}).setdefault(row["format"], told)
    models = list(cells)[: MODELS - 1] + list(cells)[MODELS - 1 :][-1:]
    formats = list(dict.fromkeys(name for model in models for name in cells[model]))[:FORMATS]
    name = WIDTH - CELL * FORMATS
    lines = ["file".ljust(name) + "".join(each.ljust(CELL) for each in formats)]
    lines += [
        short(model, name - 1).ljust(name)
        + "".join(cells[model].get(each, "").ljust(CELL) for each in formats)
        for model in models
    ]
    return [_cut(line.rstrip()) for line in lines]


def _wrapped(text: str) -> list[str]:
    # Where one word is longer than a line it is cut.
    return [_cut(line) for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def _fitting(
    head: list[str], paragraphs: list[list[str]], files: list[str], end: list[str]
) -> list[str]:
    """All in one list, with empty lines between where there is room; what is too long is cut."""
    room = HEIGHT - len(head) - len(files) - len(end)
    while sum(map(len, paragraphs)) > room and max(map(len, paragraphs)) > 1:
        longest = max(paragraphs, key=len)
        longest.pop()
        longest[-1] = _cut(f"{longest[-1]} …") if len(longest[-1]) < WIDTH - 1 else longest[-1]
    spare = room - sum(map(len, paragraphs))
    result = list(head)
    for block in [*paragraphs, files, end]:
        if spare > 0 and block:
            result.append("")
            spare -= 1
        result += block
    return result[:HEIGHT]
