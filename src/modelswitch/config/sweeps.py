"""Variants of a transfer, one for every combination of values."""

import itertools
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from modelswitch.config.base import Strict


class Sweep(Strict):
    """Variants of the last transfer of a chain, one for every combination of values."""

    chain: str = Field(description="lineage whose last transfer is varied")
    over: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        min_length=1,
        description="key of the transfer (dots go deeper, e.g. hint.weight) to a list of values; "
        "in a value that has keys itself, such as a weighting rule, a list is expanded as well",
    )


def combinations(over: dict[str, list[Any]], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of values with a name for it."""
    expanded = [
        [
            (key, label, value)
            for entry in values
            for label, value in _labelled(key, entry, f"{where}.over.{key}")
        ]
        for key, values in over.items()
    ]
    for combination in itertools.product(*expanded):
        yield "-".join(c[1] for c in combination), {c[0]: c[2] for c in combination}


def _labelled(key: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Every value that an entry of a sweep's list stands for, with a name for it."""
    if not isinstance(value, dict):
        short = "" if key == "weighting" else key.rsplit(".", 1)[-1]
        yield f"{short}{_short(value)}", value
        return
    lists = {k: v if isinstance(v, list) else [v] for k, v in value.items() if k != "rule"}
    for inner, values in lists.items():
        if not values:
            raise ValueError(f"{where}: {inner} is an empty list, which leaves nothing to try")
    same = {"rule": value["rule"]} if "rule" in value else {}
    first = _short(value.get("rule", key))
    for choice in itertools.product(*lists.values()):
        chosen = dict(zip(lists, choice, strict=True))
        yield "-".join([first, *(_short({k: v}) for k, v in chosen.items())]), same | chosen


def _short(value: Any) -> str:
    """A value as part of a name, which becomes a folder's."""
    if isinstance(value, dict):
        return "-".join(f"{_short(k)}{_short(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "-".join(map(_short, value))
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", str(value))


def set_key(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    *path, last = key.split(".")
    for part in path:
        if not isinstance(values.get(part), dict):
            raise ValueError(f"{where}.over: {key!r} is no key of the transfer")
        values = values[part]
    values[last] = value
