"""What may be pooled: seeds of one thing that differ in nothing but the seed.

Between two trainings the code, the data or a setting may have changed. Their mean would be that of
two different things, so such seeds are kept apart, and what differs is said.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelswitch.results import tree

if TYPE_CHECKING:
    import pandas as pd

# Columns of models.csv and selection.csv that seeds of one thing agree in, and what each holds.
IDENTITY = {
    "settings": "settings",
    "epochs": "epochs",
    "code": "code",
    "data": "data",
    "shapes": "shapes of the weights",
    "recognisers": "recognisers",
}
# What a seed that is set aside is said to differ in, at most.
MOST_NAMED = 3
Known = Mapping[str, Any]  # name of what is known to its value; what is unknown is not in it
Training = tuple[int, int]  # a seed, and which of its repeats


def called(training: Training) -> str:
    """`3`, or `3 (repeat 1)` for another than a seed's first."""
    seed, repeat = training
    return f"{seed} (repeat {repeat})" if repeat else str(seed)


@dataclass(frozen=True)
class Apart:
    """A seed that is not pooled with the others of its kind."""

    dataset: str
    name: str  # lineage or selector
    seed: int
    line: str  # for a person
    differs: str  # from which seeds and in what
    repeat: int = 0  # of the seed

    @property
    def which(self) -> str:
        return called((self.seed, self.repeat))


def models_apart(models: pd.DataFrame) -> list[Apart]:
    """Rows of models.csv that cannot be pooled with the others of their lineage.

    What a model was switched from belongs to it: seeds whose teachers differ are not alike.
    """
    known: dict[tuple[str, str], dict[Training, Known]] = {}
    key = ["dataset", "seed", "repeat", "lineage"]
    own = {
        tuple(row[column] for column in key): _known(row)
        for row in models.drop_duplicates(key).to_dict("records")
    }
    for dataset, seed, repeat, lineage in own:
        steps = lineage.split("/")
        above = ["/".join(steps[:end]) for end in range(1, len(steps) + 1)]
        known.setdefault((dataset, lineage), {})[seed, repeat] = {
            f"{name}{'' if place == lineage else f' of {place}'}": value
            for place in above
            # All repeats of a seed were switched from the first of what is above them.
            for name, value in own.get(
                (dataset, seed, repeat if place == lineage else 0, place), {}
            ).items()
        }
    return _apart(known)


def selectors_apart(selection: pd.DataFrame, models: Iterable[Apart]) -> list[Apart]:
    """Seeds of selection.csv that cannot be pooled, also for what was set aside of the `models`
    that they listen to."""
    known: dict[tuple[str, str], dict[Training, Known]] = {}
    lines: dict[tuple[str, int], str] = {}
    # Selectors listen to the first of a seed's repeats.
    gone = {
        (apart.dataset, apart.name, apart.seed): apart.line for apart in models if not apart.repeat
    }
    first = selection.drop_duplicates(["selector", "seed"])
    for row in first.to_dict("records"):
        known.setdefault(("", row["selector"]), {})[row["seed"], 0] = _known(row)
        for modality, lineage in json.loads(row["recognisers"] or "{}").items():
            line = gone.get((modality, lineage, row["seed"]))
            if line is not None:
                lines[row["selector"], row["seed"]] = line
    found = [apart for apart in _apart(known) if (apart.name, apart.seed) not in lines]
    return found + [
        Apart("", name, seed, f"selector {name}, seed {seed}: {line}", f"listens to what {line}")
        for (name, seed), line in lines.items()
    ]


def _known(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """What a row says about how it came to be."""
    found: dict[str, Any] = {}
    for column, name in IDENTITY.items():
        value = row.get(column, "")
        if column == "settings" and value.startswith("{"):
            found |= {f"{name}: {key}": part for key, part in _leaves(value).items()}
        elif column == "code" and value.startswith("{"):
            found |= {f"code of {key}": part for key, part in json.loads(value).items()}
        elif value == value and value != "":
            found[name] = value
    if found.get("settings: training.stop.patience"):
        # Then each seed has as many as it needs.
        found.pop("epochs", None)
    return found


# Seeds have the same settings, and these are read for each table.
@functools.lru_cache(maxsize=8192)
def _leaves(text: str) -> dict[str, Any]:
    return flat(json.loads(text))


def flat(values: Any, above: str = "") -> dict[str, Any]:
    """The leaves of nested JSON by their path: {"a": {"b": 1}} is {"a.b": 1}."""
    parts: Iterable[tuple[Any, Any]]
    if isinstance(values, dict) and values:
        parts = values.items()
    elif isinstance(values, list) and values:
        parts = enumerate(values)
    else:
        return {above: values}
    return {
        key: leaf
        for name, value in parts
        for key, leaf in flat(value, f"{above}.{name}" if above else str(name)).items()
    }


def differing(first: Known, second: Known, everything: bool = False) -> dict[str, tuple[Any, Any]]:
    """What both know and know differently: name to both values.

    With `everything` also what only one of them knows, `None` for the other.
    """
    names = dict.fromkeys([*first, *second]) if everything else [n for n in first if n in second]
    return {
        name: (first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    }


def _apart(known: Mapping[tuple[str, str], Mapping[Training, Known]]) -> list[Apart]:
    """All but the largest group of seeds that agree; of equally large ones that of the lowest."""
    result = []
    for (dataset, name), seeds in known.items():
        groups: list[list[Training]] = []
        for seed in sorted(seeds):
            alike = (g for g in groups if not any(differing(seeds[s], seeds[seed]) for s in g))
            group = next(alike, None)
            if group is None:
                groups.append([seed])
            else:
                group.append(seed)
        # Repeats of a seed make it no larger.
        kept = max(groups, key=lambda group: (len({seed for seed, _ in group}), len(group)))
        for seed in sorted(set(seeds) - set(kept)):
            against = next(s for s in kept if differing(seeds[s], seeds[seed]))
            what = named(differing(seeds[against], seeds[seed]))
            where = f"{name} on {dataset}" if dataset else f"selector {name}"
            others = ", ".join(map(called, kept))
            differs = f"differs from seed {others} in {what}"
            line = f"{where}: seed {called(seed)} is left out, for it {differs}."
            result.append(Apart(dataset, name, seed[0], line, differs, seed[1]))
    return result


def named(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """`settings: training.epochs (30, 60), code of train (a1, b2)`, the first few of them."""
    parts = [f"{name} ({_short(a)}, {_short(b)})" for name, (a, b) in differences.items()]
    more = len(parts) - MOST_NAMED
    return ", ".join(parts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 16 else f"{text[:15]}…"


Made = Mapping[str, Iterable[tuple[str, str]]]  # by lineage


def made(models: pd.DataFrame) -> Made:
    """By which code, as JSON, and from which data the lineages of one data set were made."""
    found: dict[str, set[tuple[str, str]]] = {}
    first = models.drop_duplicates(["seed", "lineage"])
    for lineage, code, data in zip(first["lineage"], first["code"], first["data"], strict=True):
        found.setdefault(lineage, set()).add((code, data))
    return found


def unlike(made: Made, first: str, second: str) -> str:
    """Why two lineages of one data set must not be compared; '' if nothing is known against it.

    They differ in their settings, that is what is compared. But both have to have seen the same
    data, and what code both ran, in whatever step of theirs, has to be the same.
    """
    found: dict[str, set[str]] = {}
    places = tree.with_those_above((first, second))
    for code, data in (pair for place in places for pair in made.get(place, ())):
        if data:
            found.setdefault("data", set()).add(data)
        for key, digest in (json.loads(code) if code.startswith("{") else {}).items():
            found.setdefault(f"code of {key}", set()).add(digest)
    several = ((name, sorted(values)) for name, values in found.items() if len(values) > 1)
    return named({name: (one, other) for name, (one, other, *_) in several})


def surroundings(models: pd.DataFrame) -> str:
    """In what the machines differed on which the models were trained; '' for nothing.

    Such seeds are pooled: bits depend on it, meanings do not.
    """
    found: dict[str, set[str]] = {}
    for text in models["surroundings"].unique():
        for key, value in flat(json.loads(text)).items() if text else ():
            found.setdefault(key, set()).add(_short(value))
    return "; ".join(
        f"{key}: {', '.join(sorted(values))}" for key, values in found.items() if len(values) > 1
    )


def without(table: pd.DataFrame, apart: Sequence[Apart], name: str) -> pd.DataFrame:
    """The rows of a table that are not set aside; column `name` says of what they are."""
    if not apart:
        return table
    gone = {(a.dataset, a.name, a.seed, a.repeat) for a in apart}
    datasets = table["dataset"] if "dataset" in table.columns else [""] * len(table)
    repeats = table["repeat"] if "repeat" in table.columns else [0] * len(table)
    keys = zip(datasets, table[name], table["seed"], repeats, strict=True)
    return table[[key not in gone for key in keys]]
