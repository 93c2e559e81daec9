"""A configuration as a person would write it: what is not said by default."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel


def short(section: BaseModel) -> dict[str, Any]:
    """What differs from the defaults, and what says which kind a section is, ready for YAML.

    Read again it is the same section.
    """
    return _with_kinds(section, section.model_dump(mode="json", exclude_defaults=True))


def _with_kinds(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        parts = {key: _with_kinds(getattr(value, key), part) for key, part in dumped.items()}
        return {key: getattr(value, key) for key in _kinds(type(value))} | parts
    if isinstance(value, dict) and isinstance(dumped, dict):
        return {
            name: _with_kinds(own, part)
            for own, (name, part) in zip(value.values(), dumped.items(), strict=True)
        }
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_with_kinds(own, part) for own, part in zip(value, dumped, strict=True)]
    return dumped


def _kinds(model: type[BaseModel]) -> list[str]:
    """Fields that can have one value, by which a section is told from others in its place."""
    return [
        name
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    ]
