"""What is wrong with a configuration, in one line."""

import datetime
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_NAMES = "a name has letters, digits and . _ + -, and begins with a letter or digit"


class _Place(NamedTuple):
    """Where a problem is.

    Args:
        keys: as in the YAML.
        kind: the type of what is expected there, None inside a value of several types.
        choice: how many of the keys lead to a value of several types, if one is on the way.
        is_name: whether the last key itself is what is wrong.
    """

    keys: tuple[str, ...]
    kind: Any
    choice: int | None
    is_name: bool


def describe(error: ValidationError, section: type[BaseModel]) -> str:
    """The first problem of a validation as one line: key, what was found, what is allowed.

    Args:
        section: what was validated, whose keys the line has.
    """
    problems = [(_place(section, p["loc"]), p) for p in error.errors(include_url=False)]
    place = problems[0][0]
    if place.choice is None:
        problems = problems[:1]
    else:
        problems = _of_the_choice_meant(problems, place.keys[: place.choice])
    place, problem = problems[0]
    where = ".".join(place.keys)
    found = problem.get("input")
    message = problem["msg"].removeprefix("Value error, ")
    if place.is_name:
        return f"{'.'.join(place.keys[:-1])}: {_name_trouble(found)}"
    if problem["type"] == "missing":
        # Of a list pydantic names the entry that is not there, of a section the key.
        if isinstance(problem["loc"][-1], int):
            return f"{'.'.join(place.keys[:-1])}: found {_shown(found)}; more values are needed"
        return f"{where}: missing"
    if problem["type"] == "value_error":
        return f"{where}: {message}" if where else message
    if problem["type"] == "truth":
        key = problem["ctx"]["key"]
        return f"{where}{'.' if where else ''}{key}: found {_shown(found[key])}; {message}"
    first, *others = dict.fromkeys(_expected(place.kind, p) for place, p in problems)
    expected = " or ".join([first, *(other.removeprefix("input should be ") for other in others)])
    return f"{where}: found {_shown(found)}; {expected}{_hint(problem)}"


def _place(section: type[BaseModel], location: Sequence[str | int]) -> _Place:
    """The place of a problem from pydantic's location.

    That also has the tag of whichever section was chosen (`plain`), the name of every type that was
    tried (`str`), and `[key]` for a name. None of them is in the YAML, where a model may have that
    name.
    """
    kind: Any = section
    keys: list[str] = []
    choice = None
    is_name = location[-1:] == ("[key]",)
    for part in location[:-1] if is_name else location:
        members = _members(kind)
        if len(members) > 1:
            kind = _tagged(members, part)
            if kind is None:
                choice = len(keys)
            continue
        kind = members[0]
        keys.append(str(part))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = None if field is None else field.annotation
        elif get_origin(kind) in (dict, list, tuple):
            kind = get_args(kind)[1 if get_origin(kind) is dict else 0]
        else:
            kind = None
    return _Place(tuple(keys), kind, choice, is_name)


def _members(kind: Any) -> list[Any]:
    """The types that a value may have, None left out, for pydantic does not name it."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [m for arg in get_args(kind) if arg is not type(None) for m in _members(arg)]
    return [kind]


def _tagged(members: list[Any], tag: object) -> type[BaseModel] | None:
    """The section that a tag names; None where the types are told apart in another way."""
    for member in members:
        if isinstance(member, type) and issubclass(member, BaseModel):
            for field in member.model_fields.values():
                if is_tag(field) and tag in get_args(field.annotation):
                    return member
    return None


def _of_the_choice_meant(
    problems: list[tuple[_Place, ErrorDetails]], keys: tuple[str, ...]
) -> list[tuple[_Place, ErrorDetails]]:
    """The problems with the type that was meant, of all that were tried for the value at `keys`.

    That is the one whose complaint is about something further inside the value; if there is none,
    the one that takes values of this type but not this value; if there is none, all of them.
    """
    tried = [(place, p) for place, p in problems if place.keys[: len(keys)] == keys]
    deepest = max(len(place.keys) for place, _ in tried)
    tried = [(place, p) for place, p in tried if len(place.keys) == deepest]
    return [(place, p) for place, p in tried if not p["type"].endswith("_type")] or tried


def _expected(kind: Any, problem: ErrorDetails) -> str:
    members = _members(kind)
    sections = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
    if problem["type"] in ("model_type", "model_attributes_type") and sections:
        if len(sections) == 1:
            return f"a section is expected, with keys of {', '.join(sections[0].model_fields)}"
        [tag] = _tags(sections)
        return f"a section is expected, with the key {tag} and what belongs to it"
    if problem["type"] == "string_pattern_mismatch":
        return _NAMES if "A-Za-z0-9" in problem["ctx"]["pattern"] else _lower(problem["msg"])
    if problem["type"] == "union_tag_not_found":
        return f"the key {problem['ctx']['discriminator']} is missing"
    message = _lower(problem["msg"]).replace("tuple should have", "list should have")
    return message.replace("valid tuple", "valid list").replace("valid dictionary", "valid section")


def _tags(sections: list[type[BaseModel]]) -> list[str]:
    """The keys that tell sections apart: those that have a single value in each."""
    return [
        name
        for name in sections[0].model_fields
        if all(is_tag(s.model_fields.get(name)) for s in sections)
    ]


def is_tag(field: FieldInfo | None) -> bool:
    """Whether a key has a single value, which tells its section from others."""
    kind = None if field is None else field.annotation
    return get_origin(kind) is Literal and len(get_args(kind)) == 1


def _lower(message: str) -> str:
    return f"{message[0].lower()}{message[1:]}"


def _name_trouble(found: object) -> str:
    if isinstance(found, str):
        return f"found the name {_shown(found)}; {_NAMES}, at most 80 in all"
    return f"found {_shown(found)} where a name is expected; {_quotes(found)}"


def _quotes(found: object) -> str:
    if isinstance(found, bool):
        return "YAML reads yes, no, on and off so too; put it in quotes"
    if found is None:
        return "YAML reads ~, null and nothing at all so too; put it in quotes"
    return "YAML takes it for no text; put it in quotes"


def _hint(problem: ErrorDetails) -> str:
    """What helps where YAML made something else of a text."""
    found = problem.get("input")
    if problem["type"] != "string_type" or not isinstance(
        found, bool | int | float | datetime.date | None
    ):
        return ""
    return f" ({_quotes(found)})"


def _shown(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
