"""What every section of a configuration shares: strictness, names, canonical text, digests."""

import difflib
import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Collection, Container, Iterable, Iterator
from typing import Annotated, Any, ClassVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from modelswitch.lineage import NAME

Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=80)]
Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=65536)]
_ENDLESS = 20
_LONGEST_PATH = 3000
# A number to YAML 1.2 and to people, text to the YAML 1.1 that Snakemake reads: 1e-3.
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")


class Strict(BaseModel):
    """A configuration section: unknown keys are errors that list the known ones.

    A section without content, `transfers:` say, is one that is not there. Truth values are no
    numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return value
        given = {}
        for key, item in value.items():
            field = cls.model_fields.get(key)
            if field is None:
                allowed = ", ".join(cls.model_fields)
                hint = near(key, cls.model_fields)
                raise ValueError(f"unknown key {key!r}{hint}; allowed: {allowed}")
            if item is None and isinstance(field.default, BaseModel | dict):
                continue
            if _holds_truth(item) and key in _numbers(cls):
                # Under the name of the key, which the error of a whole section does not have.
                raise PydanticCustomError(
                    "truth", "not a number; YAML reads yes, no, on and off so too", {"key": key}
                )
            given[key] = item
        return given

    def canonical(self) -> str:
        """One JSON string for this value, the same whatever the order of keys was."""
        return canonical(self.model_dump(mode="json"))


class Extended(Strict):
    """A section with keys that are younger than stored results.

    Those in `later` are left out of what is stored and hashed while they have their defaults, so
    that results from before are still known to be of the same configuration.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = handler(self)
        fields = type(self).model_fields
        for name in self.later:
            if name in fields and getattr(self, name) == fields[name].default:
                values.pop(name, None)
        return values


@functools.cache
def _numbers(section: type[BaseModel]) -> frozenset[str]:
    """The keys whose values are made of numbers, with nothing that a truth value could be."""
    return frozenset(
        name
        for name, field in section.model_fields.items()
        if (kinds := _leaves(field.annotation)) & {int, float} and not kinds & {bool, Any, Strict}
    )


def _leaves(annotation: Any) -> set[Any]:
    """The types that an annotation is made of; every section counts as `Strict`."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return {Strict}
    return {annotation}.union(*map(_leaves, get_args(annotation)))


def _holds_truth(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_truth, value))
    return isinstance(value, bool)


def numbers(value: Any, names: Container[str] = ()) -> Any:
    """``value`` with texts such as 1e-3 as the numbers that they are meant to be, but for `names`,
    at any depth."""
    if isinstance(value, list):
        return [numbers(entry, names) for entry in value]
    if isinstance(value, dict):
        return {key: numbers(entry, names) for key, entry in value.items()}
    if isinstance(value, str) and value not in names and _EXPONENT.fullmatch(value):
        return float(value)
    return value


def _checked(value: Any) -> Any:
    """``value``; raises ValueError for what JSON cannot carry to the scripts: dates, nan, keys that
    are no text."""
    if isinstance(value, list):
        for entry in value:
            _checked(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is no text; put it in quotes")
            _checked(entry)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"found {value}; numbers have to be finite")
    elif not isinstance(value, str | bool | int | float | None):
        raise ValueError(f"found {value!r}, which is no text to YAML; put it in quotes")
    return value


Anything = Annotated[Any, AfterValidator(_checked)]
Argument = Annotated[Any, AfterValidator(_checked), AfterValidator(numbers)]


class Imported(Strict):
    """A function of the user's own."""

    path: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] = Field(
        description="package.module:function"
    )
    arguments: dict[str, Argument] = Field(default={}, description="further keyword arguments")


def imports(section: BaseModel) -> set[str]:
    """The paths of all functions of the user's own in a section, at any depth."""
    return {part.path for part in _sections(section) if isinstance(part, Imported)}


def argument_texts(section: BaseModel) -> set[str]:
    """All texts in a section, at any depth, that are or may be names of files: those among
    `arguments`, and those that sections call their `named_files`."""
    parts = list(_sections(section))
    given = [getattr(part, "arguments", {}) for part in parts]
    given += [list(getattr(part, "named_files", ())) for part in parts]
    return {text for arguments in given for text in _texts(arguments)}


def _sections(section: BaseModel) -> Iterator[BaseModel]:
    """A section and all those in it."""
    yield section
    for name in type(section).model_fields:
        value = getattr(section, name)
        values = value.values() if isinstance(value, dict) else value
        for inner in values if isinstance(value, dict | list) else [value]:
            if isinstance(inner, BaseModel):
                yield from _sections(inner)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def refuse_all_zero(section: BaseModel, names: Collection[str]) -> None:
    """Raise ValueError if all of these weights of a section are 0."""
    if names and not any(getattr(section, name) for name in names):
        raise ValueError(
            f"{' and '.join(names)} are 0, so that nothing is learned; "
            "allowed: one of them at least above 0"
        )


def check_known(where: str, name: str, allowed: Collection[str], kind: str) -> None:
    """Raise ValueError if `name` is none of `allowed`."""
    if name not in allowed:
        names = ", ".join(allowed) or "none is defined"
        raise ValueError(f"{where}: unknown {kind} {name!r}{near(name, allowed)}; allowed: {names}")


def unfilled(path: str) -> bool:
    """Whether a path that is not there holds what a shell would have filled in, and nobody here
    does: a variable, or a home of nobody. A folder of that name is not what is meant."""
    return not os.path.exists(path) and re.match(r"~|[^$]*\$[\w{]", path) is not None  # noqa: PTH110


def near(name: object, allowed: Iterable[str]) -> str:
    """The question whether the most similar of `allowed` was meant; empty if none is similar."""
    found = difflib.get_close_matches(str(name), allowed, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def check_wildcard(where: str, text: str) -> None:
    """Raise ValueError for a name or lineage that Snakemake refuses as a wildcard.

    It takes what ends with twenty times the same for a rule that calls itself for ever, however
    well the last wildcard of a chain of twenty equal switches is meant. And no path is longer than
    4,096 bytes, those of the working folder among them.
    """
    for length in range(1, len(text) // _ENDLESS + 1):
        end = text[-length:]
        if text.endswith(end * _ENDLESS):
            raise ValueError(
                f"{where}: {end!r} stands {_ENDLESS} times in a row or more at an end, which "
                f"Snakemake refuses; allowed: {_ENDLESS - 1} times, or other names in between"
            )
    if len(text) > _LONGEST_PATH:
        raise ValueError(
            f"{where}: {len(text):,} letters, which become a path; allowed: {_LONGEST_PATH:,}"
        )


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
