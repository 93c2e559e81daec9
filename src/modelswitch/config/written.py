"""What configuration files say that is lost when YAML makes values of them.

Of two equal keys it keeps the last, and some numbers it reads as no person does. Snakemake passes
values on, so the files are read again.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from modelswitch.errors import UserError

# The same in C reads a long file ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
# Whole numbers that begin with 0 count by eights, and those with colons by sixties.
_EIGHTS = re.compile(r"[-+]?0[0-7_]+")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def check_written(paths: Iterable[str | Path]) -> None:
    """Raise `UserError` for a key that stands twice in a section, and for numbers such as 010.

    Args:
        paths: configuration files, YAML or JSON, that Snakemake could read; any that is not there
            is passed over.
    """
    for path in map(Path, paths):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            try:
                if not _is_json(text, path):
                    _check(yaml.compose(text, _LOADER), path)
            except yaml.YAMLError as error:
                raise UserError(f"{path}: not YAML that can be read ({error})") from error


def _is_json(text: str, path: Path) -> bool:
    """Whether Snakemake takes a file for JSON, in which case its keys are checked here."""

    def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
        section: dict[str, object] = {}
        for key, value in pairs:
            if key in section:
                raise UserError(f"{path}: the key {key!r} stands twice in a section")
            section[key] = value
        return section

    try:
        json.loads(text, object_pairs_hook=distinct)
    except ValueError:
        return False
    return True


def _check(root: yaml.Node | None, path: Path) -> None:
    for node, where in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, f"{path}: {where}: " if where else f"{path}: ")
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS:
            _check_number(node, f"{path}: {where}: ")


def _nodes(root: yaml.Node | None) -> Iterator[tuple[yaml.Node, str]]:
    """Every part of a document, each once, with the key at which it stands."""
    seen: set[int] = set()
    left = deque([] if root is None else [(root, "")])
    while left:
        node, where = left.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node, where
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                left.append((value, f"{where}.{key.value}" if where else str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            left.extend((value, f"{where}.{index}") for index, value in enumerate(node.value))


def _check_keys(node: yaml.MappingNode, place: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            line = key.start_mark.line + 1
            if key.value in lines:
                first = lines[key.value]
                both = f"lines {first} and {line}" if first != line else f"line {line}"
                raise UserError(f"{place}the key {key.value!r} stands twice, in {both}")
            lines[key.value] = line


def _check_number(node: yaml.ScalarNode, place: str) -> None:
    line = node.start_mark.line + 1
    for spelling, base in ((_EIGHTS, "eights"), (_SIXTIES, "sixties")):
        if spelling.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            raise UserError(
                f"{place}found {node.value} in line {line}, which YAML counts by {base}: {value}; "
                f"write {value}, or '{node.value}' in quotes for a text"
            )
