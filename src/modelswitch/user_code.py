"""Objects of the user's own modules, by `package.module:name`."""

import importlib
import inspect
from typing import Any

from modelswitch.errors import UserError


def import_object(path: str) -> Any:
    """The object at ``package.module:name``; raises `UserError` where there is none."""
    module_name, name = path.split(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"{path}: cannot import {module_name} ({error})") from error
    if not hasattr(module, name):
        public = [n for n, _ in inspect.getmembers(module, callable) if not n.startswith("_")]
        raise UserError(f"{path}: {module_name} has no {name!r}; it has {', '.join(public)}")
    return getattr(module, name)
