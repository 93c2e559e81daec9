"""One study from parts of it: its seeds, trained on several machines or on several days.

A part is the folder of tables that a run has left, its `configuration.yaml` included. Parts are
joined only where they are the same study: all but the seeds has to agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelswitch.config.experiment import Experiment, load
from modelswitch.config.file import read_yaml
from modelswitch.errors import UserError
from modelswitch.lineage import TABLES_FOLDER
from modelswitch.results import pooling
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.selector_schemas import OF_SELECTORS
from modelswitch.results.table_files import read_table, said_twice, stored_at

if TYPE_CHECKING:
    import pandas as pd

CONFIGURATION = "configuration.yaml"  # beside the tables, so that they say what they are of
# What a machine decides and not the study, where its results went, or what is about its plan.
_OF_A_MACHINE = {"name", "seeds", "resources", "power"}
# What is measured of one seed's files, for it is the same for all.
_OF_ONE_SEED = ("latency", "selector_latency")
_PLACE_OF_DATA = re.compile(r"data(\.\w+)*\.path")

# What parts have to agree in; what none of them says they cannot.
TOLD = ("settings", "code", "data")


@dataclass(frozen=True)
class Part:
    """Some seeds of a study.

    Attributes:
        folder: where its tables are.
        tables: by name, those that it has.
    """

    folder: Path
    experiment: Experiment
    tables: Mapping[str, pd.DataFrame]

    @property
    def seeds(self) -> set[int]:
        return set(self.tables["models"]["seed"])

    def tells(self, column: str) -> bool:
        """Whether something stands in this column for any model."""
        return bool((self.tables["models"][column] != "").any())

    @property
    def versions(self) -> dict[str, str]:
        """What computed it, as far as every training of it had the same."""
        found: dict[str, set[str]] = {}
        for text in self.tables["models"]["surroundings"].unique():
            known = json.loads(text) if text else {}
            for name, value in pooling.flat(known.get("versions", {})).items():
                found.setdefault(name, set()).add(str(value))
        return {name: ", ".join(sorted(values)) for name, values in found.items() if name}


def read_part(path: str | Path) -> Part:
    """The part in a folder of tables, or of results with such a folder in it.

    Raises:
        UserError: no tables, no configuration beside them, or one that is not of these tables.
    """
    folder = Path(path)
    inside = folder / Path(TABLES_FOLDER).name
    if inside.is_dir():
        folder = inside
    written = folder / CONFIGURATION
    if not written.exists():
        raise UserError(
            f"{path}: has no {CONFIGURATION}, so nothing says what its tables are of; give the "
            "folder of results, or `tables` in it, of a run that has made its tables"
        )
    experiment = read_plan(written)
    read = {
        name: table
        for name in SCHEMAS
        if _is_of_a_part(name) and (table := read_table(folder, name)) is not None
    }
    if "models" not in read:
        raise UserError(f"{folder}: no {SCHEMAS['models'].file} with results here")
    part = Part(folder, experiment, read)
    for name, table in read.items():
        strange = set(table["seed"]) - set(experiment.seeds) if "seed" in table else set()
        if strange:
            raise UserError(
                f"{folder}: {SCHEMAS[name].file} has seed {min(strange)}, which is none of seeds "
                f"in its {CONFIGURATION}"
            )
    return part


def read_plan(path: str | Path) -> Experiment:
    """The experiment of a configuration file; raises `UserError` where it holds none."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise UserError(f"{path}: holds {found}, and not the sections of a configuration")
    return load(values, str(path))


def join(
    parts: Sequence[Part], versions_may_differ: bool = False, plan: Experiment | None = None
) -> Part:
    """All seeds of the parts as one, by the name of the first; what it is made of is checked first.

    Args:
        plan: the same study with all of its seeds, in their order.
    Raises:
        UserError: a seed is in two parts or not planned, or they differ in more than the seed, in
            one line that names what: settings, data, code, models' shapes, versions of libraries;
            or when to look depends on seeds that nobody says.
    """
    first = parts[0]
    seeds = _planned(parts, plan)
    for place, part in enumerate(parts[1:], 1):
        told = first.tells("data") and part.tells("data")
        settings = _differing_settings(first.experiment, part.experiment, told)
        _refuse(first.folder, part, settings, "configuration")
        for column in TOLD:
            if first.tells(column) != part.tells(column):
                silent, other = (part, first) if first.tells(column) else (first, part)
                raise UserError(
                    f"{silent.folder}: {SCHEMAS['models'].file} does not say `{column}`, and that "
                    f"of {other.folder} does: nobody knows whether they agree"
                )
        if not versions_may_differ:
            _refuse(
                first.folder, part, pooling.differing(first.versions, part.versions), "versions"
            )
        for other in parts[:place]:
            both = other.seeds & part.seeds
            if both:
                raise UserError(
                    f"{part.folder}: has seed {min(both)}, and {other.folder} has it, too; "
                    "a seed counts once"
                )
    tables = {name: _joined(parts, name) for part in parts for name in part.tables}
    apart = pooling.models_apart(tables["models"])
    if "selection" in tables:
        apart += pooling.selectors_apart(tables["selection"], apart)
    if apart:
        [owner] = [part for part in parts if apart[0].seed in part.seeds]
        one = apart[0]
        where = f"{one.name} of seed {one.which}"
        raise UserError(f"{owner.folder}: is not of the same study: {where} {one.differs}")
    return Part(first.folder, first.experiment.model_copy(update={"seeds": seeds}), tables)


def make_room(folder: Path, whole: Part) -> None:
    """Ready a folder for the tables of a joined study, in place of those of fewer parts of it.

    Raises:
        UserError: what is there is of another study, or has seeds that would be lost.
    """
    stored = {name: stored_at(folder, name) for name in SCHEMAS}
    if not any(stored.values()):
        return
    try:
        if not (folder / CONFIGURATION).exists():
            raise UserError(f"{folder}: has tables and no {CONFIGURATION}")
        before = read_plan(folder / CONFIGURATION)
        _refuse(folder, whole, _differing_settings(before, whole.experiment), "configuration")
        models = read_table(folder, "models")
        lost = set() if models is None else set(models["seed"]) - whole.seeds
        if lost:
            raise UserError(f"{folder}: has seed {min(lost)}, which no part has; it would be lost")
    except UserError as error:
        raise UserError(f"--into: {error}; give another folder") from error
    for name, path in stored.items():
        if path and _is_of_a_part(name) and name not in whole.tables:
            path.unlink()


def _is_of_a_part(name: str) -> bool:
    """Whether a table is one of those that others are made from."""
    return SCHEMAS[name].collected or name in OF_SELECTORS


def _planned(parts: Sequence[Part], plan: Experiment | None) -> list[int]:
    """The seeds of the whole study: a look takes the first so many, whichever are there."""
    if plan is None:
        written = {tuple(part.experiment.seeds) for part in parts}
        if len(written) == 1:
            return parts[0].experiment.seeds
        if parts[0].experiment.looks is not None:
            raise UserError(
                "--plan: `looks` take the first seeds of all that were planned, and each part says "
                "only its own; give the configuration with all of them"
            )
        return sorted(set().union(*written))
    for part in parts:
        settings = _differing_settings(plan, part.experiment, part.tells("data"))
        _refuse("the plan", part, settings, "configuration")
        more = part.seeds - set(plan.seeds)
        if more:
            raise UserError(f"{part.folder}: has seed {min(more)}, which is none of the plan's")
    return plan.seeds


def _differing_settings(first: Experiment, second: Experiment, data_told: bool = True) -> dict:
    known, other = (
        pooling.flat(experiment.model_dump(mode="json", exclude=_OF_A_MACHINE))
        for experiment in (first, second)
    )
    found = pooling.differing(known, other, everything=True)
    if not data_told:
        return found
    # Where a machine has its data says nothing of what they are; their checksum does.
    return {key: values for key, values in found.items() if not _PLACE_OF_DATA.fullmatch(key)}


def _refuse(first: Path | str, second: Part, found: Mapping, what: str) -> None:
    if found:
        raise UserError(
            f"{second.folder}: is not of the same study as {first}: "
            f"{what} differs in {pooling.named(found)}"
        )


def _joined(parts: Sequence[Part], name: str) -> pd.DataFrame:
    """A table of all parts. What is not told by seed is of the data and the same in all of them."""
    import pandas as pd

    lacking = [part for part in parts if name not in part.tables]
    by_seed = "seed" in SCHEMAS[name].key
    if lacking and by_seed and name not in _OF_ONE_SEED:
        owner = next(part for part in parts if name in part.tables)
        raise UserError(
            f"{lacking[0].folder}: has no {SCHEMAS[name].file}, and {owner.folder} has one"
        )
    found = pd.concat([p.tables[name] for p in parts if name in p.tables], ignore_index=True)
    if "experiment" in found:
        found["experiment"] = parts[0].experiment.name
    if name in _OF_ONE_SEED:
        # The first part's, on each machine.
        return found.drop_duplicates([c for c in SCHEMAS[name].key if c != "seed"])
    if by_seed:
        return found
    found = found.drop_duplicates(ignore_index=True)
    if what := said_twice(found, SCHEMAS[name]):
        file = SCHEMAS[name].file
        raise UserError(f"{parts[0].folder}: {file} is not the same in all parts ({what})")
    return found
