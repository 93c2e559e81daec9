"""Objects of the user's own modules, by `package.module:name`."""

import importlib
import inspect
import sys
from pathlib import Path
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


def find_source(module: str) -> Path | None:
    """The file of a module, found as Python would find it, without running anything of it.

    None where there is no such module, or no file of it.
    """
    importlib.invalidate_caches()
    folders, spec = None, None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        specs = (finder.find_spec(name, folders) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return None
        folders = spec.submodule_search_locations
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return Path(spec.origin).absolute()
