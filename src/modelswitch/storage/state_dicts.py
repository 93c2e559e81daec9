"""Other people's weights, read without running code: what torch.save wrote, and safetensors."""

import argparse
import contextlib
import pickle
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from modelswitch.errors import UserError

# What programs for training put a state dict into, by falling likelihood.
_WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights")
# What they put before the names of tensors.
PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.")
# Of what torch reads without running code.
_HARMLESS = (
    "torch._utils.",
    "torch._tensor.",
    "torch.storage.",
    "collections.OrderedDict",
    "argparse.Namespace",
)
_SHOWN = 6


def read(path: str, entry: str | None = None) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors of a state dict by name, on the processor, and what was said about finding them.

    Args:
        entry: the key of the state dict in the file, where it has several.

    Raises:
        UserError: the file is not there, no file of weights, would run code, or has no state dict.
    """
    start = _start(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < Path(path).stat().st_size:
        found: Any = _safetensors(path)
    else:
        found = _pickled(path)
    return _unwrapped(found, path, entry)


def refuse_code(path: str) -> None:
    """Raise `UserError` if a file is a pickle that asks for more than tensors and plain values.

    What is no pickle is none of this function's business.
    """
    if not Path(path).is_file():
        return
    try:
        _load(path)
    except pickle.UnpicklingError as error:
        if asked := _asks_for(path):
            raise _would_run_code(path, asked) from error
    except Exception:
        return


def _start(path: str) -> bytes:
    """The first bytes; raises `UserError` for what cannot be weights."""
    where = Path(path)
    if where.is_dir():
        raise UserError(f"{path}: is a folder, not a file of weights")
    if not where.is_file():
        raise UserError(f"{path}: no such file")
    with where.open("rb") as stream:
        start = stream.read(512)
    if not start:
        raise UserError(f"{path}: is empty")
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(
            f"{path}: is a web page and no file of weights, as of a download that failed"
        )
    if text.startswith(b"version https://git-lfs"):
        raise UserError(f"{path}: is a pointer of Git LFS; `git lfs pull` brings the file itself")
    return start


def _safetensors(path: str) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path}: cut short or not a safetensors file ({error})") from error
    return tensors


def _load(path: str) -> Any:
    # Programs for training often keep their arguments beside the weights, which are plain values.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _pickled(path: str) -> Any:
    try:
        return _load(path)
    except Exception as error:
        asked = _asks_for(path) if isinstance(error, pickle.UnpicklingError) else []
        if asked:
            raise _would_run_code(path, asked) from error
        raise UserError(
            f"{path}: cut short, or no safetensors file and none of torch.save"
        ) from error


def _asks_for(path: str) -> list[str]:
    """What a pickle, or the one in an archive of torch.save, would call and tensors do not need."""
    if zipfile.is_zipfile(path):
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    found: set[str] = set()
    # Several, one after the other: torch.save wrote them so before it wrote archives.
    with Path(path).open("rb") as stream, contextlib.suppress(Exception):
        while True:
            texts: list[str] = []
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST"):
                    found.add(str(argument).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    found.add(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
    return sorted(n for n in found if not n.startswith(_HARMLESS) and not n.endswith("Storage"))


def _would_run_code(path: str, asked: list[str]) -> UserError:
    return UserError(
        f"{path}: refused, for reading it would run code (it asks for "
        f"{', '.join(asked[:_SHOWN])}); save model.state_dict() alone, or as safetensors"
    )


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(v, torch.Tensor) and isinstance(k, str) for k, v in value.items())
    )


def _unwrapped(
    found: Any, path: str, entry: str | None
) -> tuple[dict[str, torch.Tensor], list[str]]:
    said: list[str] = []
    if entry is not None:
        if not isinstance(found, Mapping) or not _is_state(found.get(entry)):
            raise UserError(f"{path}: has no state dict {entry!r}; {_holds(found)}")
        return dict(found[entry]), [f"took {entry!r} of {path}"]
    while not _is_state(found):
        inner = [key for key in _WRAPPINGS if isinstance(found, Mapping) and _inside(found, key)]
        if not inner:
            raise UserError(f"{path}: holds no state dict; {_holds(found)}")
        others = [str(key) for key in found if key != inner[0] and _is_state(found[key])]
        if [key for key in others if key in _WRAPPINGS]:
            raise UserError(
                f"{path}: has several state dicts, {', '.join([inner[0], *others])}; "
                "weights.entry says which"
            )
        aside = f", and left {', '.join(others)}" if others else ""
        said.append(f"took {inner[0]!r} of {path}{aside}")
        found = found[inner[0]]
    return dict(found), said


def _inside(found: Mapping, key: str) -> bool:
    return isinstance(found.get(key), Mapping) and bool(found[key])


def _holds(found: Any) -> str:
    if not isinstance(found, Mapping):
        return f"it holds {type(found).__name__}"
    names = [f"{key} ({type(value).__name__})" for key, value in found.items()]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it holds {', '.join(names[:_SHOWN])}{more}" if names else "it holds nothing"
