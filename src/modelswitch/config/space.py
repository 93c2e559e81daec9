"""What a search chooses from, spelled out: every choice with its values, every model, every switch.

A space is finite, so that everything in it has a name from the start: trials are lineages like any
others, and those that begin alike share folders and trainings.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelswitch.config.base import check_known, numbers
from modelswitch.config.models import ModelSpec
from modelswitch.config.origin import EnsembleModel
from modelswitch.config.search import PrunedStudents, Space, Students
from modelswitch.config.sweeps import changed_transfer, labelled
from modelswitch.config.transfer import Transfer
from modelswitch.config.weighting import MatchedWeighting
from modelswitch.lineage import Lineage, Step

# So many models or switches are more than any search tries, and would be slow to plan.
_MOST = 20_000
_DIRECT = "direct"

Values = Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """One thing that a search chooses.

    Attributes:
        name: as tables and figures have it.
        values: all of them, as texts.
        ordered: whether they are numbers, of which neighbours are alike.
        when: another choice and its value, where this one is made for that value alone.
    """

    name: str
    values: tuple[str, ...]
    ordered: bool = False
    when: tuple[str, str] | None = None


class Choices:
    """The choices of a search, and what comes of them.

    Args:
        space: what the configuration says.
        models, transfers: of the configuration, by name.

    Raises:
        ValueError: names that are not there, or a space in which two things have one name.
    """

    def __init__(
        self, space: Space, models: Mapping[str, ModelSpec], transfers: Mapping[str, Transfer]
    ) -> None:
        self._space, self._given = space, models
        for name in space.teachers:
            check_known("search.space.teachers", name, models, "model")
        for name in space.transfers:
            check_known("search.space.transfers", name, transfers, "transfer")
        self.paths = dict(self._paths(transfers))
        # By their part of the names, the families and what of them is varied.
        self.families: dict[str, Students] = {}
        for family in space.students:
            key = _family_key(family)
            if key in self.families:
                raise ValueError(f"search.space.students: two entries are {key!r}; join them")
            self.families[key] = family
        self.students = {
            name: model for key in self.families for name, model in self._models(key).items()
        }
        for name in self.students:
            if name in models:
                raise ValueError(f"models.{name}: a student of search.space has this name")
        where = "search.space"
        self._over = {
            key: [pair for entry in values for pair in labelled(key, entry, f"{where}.over.{key}")]
            for key, values in numbers(space.over, transfers).items()
        }
        for key, pairs in self._over.items():
            texts = [text for text, _ in pairs]
            if repeated := next((t for t in texts if texts.count(t) > 1), None):
                raise ValueError(f"{where}.over.{key}: {repeated!r} is there more than once")
        self.transfers = dict(self._transfers(transfers))
        self.all = tuple(self._choices())

    def _paths(self, transfers: Mapping[str, Transfer]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The assistants of every way from teacher to student, by its name."""
        between = self._space.assistants
        if between is None:
            yield _DIRECT, ()
            return
        where = "search.space.assistants"
        for name in between.models:
            check_known(f"{where}.models", name, self._given, "model")
        check_known(f"{where}.transfer", between.transfer, transfers, "transfer")
        if max(between.count) > len(between.models):
            raise ValueError(
                f"{where}.count: found {max(between.count)}, but {len(between.models)} models"
            )
        for count in sorted(set(between.count)):
            for names in itertools.combinations(between.models, count):
                yield "+".join(names) or _DIRECT, names

    def _models(self, key: str) -> dict[str, ModelSpec]:
        family = self.families[key]
        if isinstance(family, PrunedStudents):
            return {f"{key}-{keep:g}": family.model(keep) for keep in family.keep}
        return {
            f"{key}-w{width}-d{depth}": family.model(width, depth)
            for width in family.width
            for depth in family.depth
        }

    def _transfers(self, given: Mapping[str, Transfer]) -> Iterator[tuple[str, Transfer]]:
        count = len(self._space.transfers)
        for pairs in self._over.values():
            count *= len(pairs)
        if max(count, len(self.students)) > _MOST:
            raise ValueError(
                f"search.space: has {count:,} switches and {len(self.students):,} students; "
                f"at most {_MOST:,}"
            )
        for base in self._space.transfers:
            for chosen in itertools.product(*self._over.values()):
                texts = [text for text, _ in chosen]
                changes = {key: value for key, (_, value) in zip(self._over, chosen, strict=True)}
                name = "-".join([base, *texts])
                found = changed_transfer(given[base], changes, "search.space", name)
                if isinstance(found.weighting, MatchedWeighting):
                    raise ValueError(
                        f"search.space: the rule 'matched' of {name!r} needs the mean weights of "
                        "another whole training; allowed: other rules"
                    )
                yield name, found

    def check_names(self, transfers: Mapping[str, Transfer]) -> None:
        """Raise ValueError where a switch has the name of another one of the configuration."""
        for name, transfer in self.transfers.items():
            if transfers[name] != transfer:
                raise ValueError(f"transfers: two different ones would be named {name!r}")

    def _choices(self) -> Iterator[Choice]:
        yield Choice("teacher", tuple(self._space.teachers))
        yield Choice("path", tuple(self.paths))
        yield Choice("student", tuple(self.families))
        for key, family in self.families.items():
            when = ("student", key)
            if isinstance(family, PrunedStudents):
                yield Choice(f"{key}.keep", _sorted(family.keep), True, when)
                continue
            yield Choice(f"{key}.width", _sorted(family.width), True, when)
            yield Choice(f"{key}.depth", _sorted(family.depth), True, when)
        yield Choice("transfer", tuple(self._space.transfers))
        for key, pairs in self._over.items():
            is_number = all(_is_number(value) for _, value in pairs)
            if is_number:
                pairs = sorted(pairs, key=lambda pair: pair[1])
            yield Choice(key, tuple(text for text, _ in pairs), is_number)

    def asked(self, values: Values) -> Iterator[Choice]:
        """The choices that are made, given the values of those before them. `values` may grow
        meanwhile."""
        for choice in self.all:
            if choice.when is None or values[choice.when[0]] == choice.when[1]:
                yield choice

    def student(self, values: Values) -> str:
        """The name of the student that values of all choices stand for."""
        key = values["student"]
        if isinstance(self.families[key], PrunedStudents):
            return f"{key}-{values[f'{key}.keep']}"
        return f"{key}-w{values[f'{key}.width']}-d{values[f'{key}.depth']}"

    def lineage(self, values: Values) -> Lineage:
        """The chain that values of all choices stand for."""
        above = [Step(values["teacher"])]
        for name in self.paths[values["path"]]:
            assert self._space.assistants is not None
            above.append(Step(name, self._space.assistants.transfer))
        transfer = "-".join([values["transfer"], *(values[key] for key in self._over)])
        return Lineage((*above, Step(self.student(values), transfer)))

    def designs(self) -> Iterator[tuple[Lineage, str]]:
        """A chain for everything that the size of a student depends on, with the student: its
        name, or of one that is pruned the way to it as well."""
        transfer = next(iter(self.transfers))
        for teacher, path in itertools.product(self._space.teachers, self.paths.values()):
            above = [Step(teacher)]
            for name in path:
                assert self._space.assistants is not None
                above.append(Step(name, self._space.assistants.transfer))
            for student in self.students:
                yield Lineage((*above, Step(student, transfer))), student

    def samples(self) -> Iterator[Lineage]:
        """Chains in which everything of the space is found that can be wrong with a chain."""
        last: Lineage | None = None
        for last, _ in self.designs():
            if isinstance(self._given[last.steps[-2].model], EnsembleModel) and any(
                isinstance(family, PrunedStudents) for family in self.families.values()
            ):
                raise ValueError(
                    f"search.space.students: pruned, but {last.steps[-2].model!r} is an ensemble, "
                    "of which nothing can be pruned"
                )
            yield last
        assert last is not None
        for transfer in self.transfers:
            yield last.sibling(transfer)

    @property
    def size(self) -> int:
        """How many different trials there are."""
        return (
            len(self._space.teachers) * len(self.paths) * len(self.students) * len(self.transfers)
        )


def _family_key(family: Students) -> str:
    """How names of a family's students begin."""
    if isinstance(family, PrunedStudents):
        return family.family
    expansion = getattr(family, "expansion", 4)
    return f"{family.family}{family.stages}" + (f"x{expansion}" if expansion != 4 else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sorted(values: list[Any]) -> tuple[str, ...]:
    return tuple(
        f"{value:g}" if isinstance(value, float) else str(value) for value in sorted(values)
    )
