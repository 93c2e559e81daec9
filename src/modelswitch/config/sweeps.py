"""Variants of a transfer, one for every combination of values."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from modelswitch.config.base import Anything, Strict, check_known, numbers
from modelswitch.config.messages import describe
from modelswitch.config.transfer import Transfer
from modelswitch.errors import UserError
from modelswitch.lineage import Lineage, Step

# Of a folder's name, what file systems leave to the model and its transfer.
_LONGEST = 200


class Sweep(Strict):
    """Variants of the last transfer of a chain, one for every combination of values."""

    chain: str = Field(description="lineage whose last transfer is varied")
    over: dict[str, Annotated[list[Anything], Field(min_length=1)]] = Field(
        min_length=1,
        description="key of the transfer (dots go deeper, e.g. hint.weight, or hints.0.weight for "
        "the first of several) to a list of values; in a value that has keys itself, such as a "
        "weighting rule, a list is expanded as well",
    )


class Variant(NamedTuple):
    """A chain that a sweep adds, and the transfer at its end."""

    sweep: str
    label: str
    transfer_name: str
    transfer: Transfer
    lineage: Lineage


def variants(sweeps: Mapping[str, Sweep], transfers: Mapping[str, Transfer]) -> Iterator[Variant]:
    """Every variant of every sweep.

    Raises ValueError where a sweep's chain has no transfer of `transfers` at its end, or where a
    combination of values makes none.
    """
    for sweep_name, sweep in sweeps.items():
        where = f"sweeps.{sweep_name}"
        try:
            lineage = Lineage.parse(sweep.chain)
        except UserError as error:
            raise ValueError(f"{where}.chain: {error}") from error
        base = lineage.last.transfer
        if base is None:
            raise ValueError(f"{where}.chain: {sweep.chain!r} has no transfer to vary")
        check_known(f"{where}.chain", base, transfers, "transfer")
        for suffix, changes in _combinations(numbers(sweep.over, transfers), where):
            transfer = changed_transfer(transfers[base], changes, where, suffix)
            name = f"{base}-{suffix}"
            varied = Lineage((*lineage.steps[:-1], Step(lineage.last.model, name)))
            yield Variant(sweep_name, f"{sweep_name}-{suffix}", name, transfer, varied)


def changed_transfer(
    base: Transfer, changes: Mapping[str, Any], where: str, named: str
) -> Transfer:
    """A transfer with other values at some keys; raises ValueError where that makes none."""
    values = base.model_dump(mode="json")
    for key, value in changes.items():
        _set_key(values, key, value, where)
    try:
        return Transfer.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{where}, {named}: {describe(error, Transfer)}") from error


def check_names(
    found: list[Variant], transfers: Mapping[str, Transfer], chains: Mapping[str, str]
) -> None:
    """Raise ValueError where two different variants share a name: nothing else tells them apart."""
    named: dict[tuple[str, str], object] = {("transfer", k): v for k, v in transfers.items()}
    named |= {("chain", label): chain for label, chain in chains.items()}
    for variant in found:
        pairs: dict[tuple[str, str], object] = {
            ("transfer", variant.transfer_name): variant.transfer,
            ("chain", variant.label): str(variant.lineage),
        }
        for (kind, name), value in pairs.items():
            if named.setdefault((kind, name), value) != value:
                raise ValueError(f"sweeps: two different {kind}s would be named {name!r}")
        if len(str(variant.lineage.last)) > _LONGEST:
            raise ValueError(
                f"sweeps: {str(variant.lineage.last)!r} is too long for a folder's name"
            )


def _combinations(over: dict[str, list[Any]], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of values with a name for it."""
    expanded = [
        [
            (key, label, value)
            for entry in values
            for label, value in labelled(key, entry, f"{where}.over.{key}")
        ]
        for key, values in over.items()
    ]
    for combination in itertools.product(*expanded):
        yield "-".join(c[1] for c in combination), {c[0]: c[2] for c in combination}


def labelled(key: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
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


def _set_key(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    *path, last = key.split(".")
    inner: Any = values
    for part in path:
        if isinstance(inner, list) and part.isdecimal() and int(part) < len(inner):
            inner = inner[int(part)]
        else:
            inner = inner.get(part) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise ValueError(f"{where}.over: {key!r} is no key of the transfer")
    inner[last] = value
