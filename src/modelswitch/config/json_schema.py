"""config/schema.json, by which editors complete keys and mark mistakes: ``make docs``.

It knows what each key may hold and not how keys go together; that is checked when a run begins.
"""

import json
from typing import Any

from modelswitch.config.experiment import Experiment

# Unions of sections of which one may be told by its name alone: `loss: dkd`, `weighting: wsl`.
_TOLD_BY_NAME = ("name", "rule")
_EMPTY = {"type": "null"}


def document() -> str:
    """The whole file."""
    schema = Experiment.model_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        for key, value in section.get("properties", {}).items():
            section["properties"][key] = _with_short_forms(key, value)
    sections = schema["$defs"]
    sections["Weights"]["properties"]["size"]["anyOf"].append({"type": "integer"})
    for key in ("size", "colour", "range", "background", "layout"):
        # One for all modalities.
        forms = sections["PairedData"]["properties"][key]["anyOf"]
        forms += forms[0]["patternProperties"].values()
    # Where results go is Snakemake's to read.
    schema["properties"]["pathvars"] = {"type": "object"}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _with_short_forms(key: str, value: dict[str, Any]) -> dict[str, Any]:
    """What a key may hold, with the shorter forms in which people may write it."""
    value = _by_name(value)
    apart = {name: value.pop(name) for name in ("default", "description", "title") if name in value}
    more: list[dict[str, Any]] = []
    if key == "weights":
        more = [{"type": "string"}]
    if key == "splits":
        more = [{"const": "none"}]
    if isinstance(apart.get("default"), dict) or value.get("type") == "object":
        # A section without content is as good as none.
        more = [_EMPTY]
    if more or key in ("size", "colour", "range", "background", "layout"):
        value = {"anyOf": [*(value.get("anyOf") or [value]), *more]}
    return value | apart


def _by_name(value: Any) -> Any:
    """The same, with names beside every section that may be told by its name alone."""
    if isinstance(value, list):
        return [_by_name(part) for part in value]
    if not isinstance(value, dict):
        return value
    value = {key: _by_name(part) for key, part in value.items()}
    told = value.get("discriminator")
    if not told or told["propertyName"] not in _TOLD_BY_NAME:
        return value
    names = [name for name in told["mapping"] if name != "import"]
    union = {key: value.pop(key) for key in ("discriminator", "oneOf")}
    return value | {"anyOf": [{"enum": names}, union]}


if __name__ == "__main__":
    print(document(), end="")
