"""The one screen that a run ends with: what was found, where the rest is, what comes next."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from modelswitch.results import sentences
from modelswitch.results.sentences import Sentence
from modelswitch.results.tables import Tables

WIDTH, HEIGHT = 80, 24
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
    for folder in folders:
        for sentence in sentences.sentences(Tables(folder / "tables")):
            found.setdefault(sentence.about, []).append(sentence)
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
    return _fitting(head, paragraphs, end)


def _wrapped(text: str) -> list[str]:
    # Where one word is longer than a line it is cut.
    return [_cut(line) for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def _fitting(head: list[str], paragraphs: list[list[str]], end: list[str]) -> list[str]:
    """All in one list, with empty lines between where there is room; what is too long is cut."""
    room = HEIGHT - len(head) - len(end)
    while sum(map(len, paragraphs)) > room and max(map(len, paragraphs)) > 1:
        longest = max(paragraphs, key=len)
        longest.pop()
        longest[-1] = _cut(f"{longest[-1]} …") if len(longest[-1]) < WIDTH - 1 else longest[-1]
    spare = room - sum(map(len, paragraphs))
    result = list(head)
    for at, paragraph in enumerate([*paragraphs, end]):
        if spare > 0 and at <= len(paragraphs):
            result.append("")
            spare -= 1
        result += paragraph
    return result[:HEIGHT]
