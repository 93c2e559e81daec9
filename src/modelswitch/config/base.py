"""What every section of a configuration shares: strictness, names, canonical text, digests."""

import difflib
import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from modelswitch.lineage import NAME

Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=80)]
Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=65536)]


class Strict(BaseModel):
    """A configuration section: unknown keys are errors that list the known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(
                    f"unknown key {key!r}{hint}; allowed: {', '.join(cls.model_fields)}"
                )
        return value

    def canonical(self) -> str:
        """One JSON string for this value, the same whatever the order of keys was."""
        return canonical(self.model_dump(mode="json"))


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
