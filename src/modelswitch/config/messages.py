"""What is wrong with a configuration, in one line."""

from typing import Any

from pydantic import ValidationError


def describe(error: ValidationError) -> str:
    """The first problem of a validation as one line: key, what was found, what is allowed."""
    problem = error.errors(include_url=False)[0]
    tags = {"plain", "resnet", "timm", "torchvision", "import"}
    location = [str(part) for part in problem["loc"]]
    # Tags of discriminated unions are in pydantic's locations but not in the YAML.
    kept = [p for i, p in enumerate(location) if not (i and p in tags | _UNION_TAGS)]
    where = ".".join(kept)
    message = problem["msg"].removeprefix("Value error, ")
    found = problem.get("input")
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: found {_shown(found)}; {message[0].lower()}{message[1:]}"


_UNION_TAGS = {
    *(
        "digits",
        "npz",
        "folder",
        "eyes",
        "paired",
        "fixed",
        "correctness",
        "hard_switch",
        "confidence",
        "wsl",
    ),
    *("adjusted", "dkd", "standardised", "shuffled", "matched", "[key]"),
}


def _shown(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
