"""Digests of the code that a script really runs, so that Snakemake reruns what a change affects.

They depend on what the code does alone: not on comments, docstrings and messages, nor on where it
is installed.
"""

import ast
import functools
import hashlib
import json
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

import modelswitch
from modelswitch.storage import cache_folder, syntax
from modelswitch.storage.contents import file_digests
from modelswitch.user_code import find_source

PACKAGE = Path(modelswitch.__file__).parent
_STANDARD = Path(sysconfig.get_path("stdlib"))
_OWN_PACKAGE: dict[Path, Collection[str]] = {PACKAGE.parent: {PACKAGE.name}}
_FILE_NAME = re.compile(r"[^\0\n*?]{1,200}\.[A-Za-z]\w{0,9}")
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)


class _Module(NamedTuple):
    """What a file is for a digest: SHA-256 of what it does, and the imports anywhere in it,
    functions included: (folder, name) of modules or of their contents. The folder is that of an
    import relative to the file; None for others. ``names`` are texts in it that may name files."""

    digest: bytes
    imports: frozenset[tuple[Path | None, str]]
    names: frozenset[str] = frozenset()


def _module(path: Path) -> _Module:
    return _module_as_of(path, *_state(path))


@functools.lru_cache(maxsize=10_000)
def _module_as_of(path: Path, date: int, size: int) -> _Module:
    content = path.read_bytes()
    if path.suffix != ".py":
        return _Module(hashlib.sha256(content).digest(), frozenset())
    try:
        tree = ast.parse(content, str(path))
    except (SyntaxError, ValueError):
        # A user's own: whoever imports it is told. Until it is mended, any change of it counts.
        return _Module(hashlib.sha256(content).digest(), frozenset())
    imports: set[tuple[Path | None, str]] = set()
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        if isinstance(node, ast.Import):
            imports |= {(None, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else None
            # What is imported from a module can be a module itself.
            names = [alias.name for alias in node.names]
            if node.module:
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            imports |= {(folder, name) for name in names}
    digest = hashlib.sha256(syntax.running_text(tree).encode()).digest()
    return _Module(digest, frozenset(imports), frozenset(filter(_FILE_NAME.fullmatch, texts)))


def _files(name: str, folder: Path) -> list[Path]:
    """The files in ``folder`` that Python runs for an import: of every package on the way too."""
    found = []
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:depth])
        found += [place / "__init__.py", *(place.with_name(place.name + s) for s in _SUFFIXES)]
    return [path for path in found if path.is_file()]


def _closure(start: Iterable[Path], folders: Mapping[Path, Collection[str]]) -> set[Path]:
    """``start`` and what it imports, directly or not, from ``folders``.

    Args:
        folders: each with the modules and packages in it that are followed; empty for all.
    """
    # What the package imports for programs that use it, no script runs; and a release that changes
    # nothing but its number reruns nothing.
    left_out = {PACKAGE / "__init__.py"}
    found = set(start)
    left = list(found)
    while left:
        for relative_to, name in _module(left.pop()).imports:
            first = name.partition(".")[0]
            places = [f for f, followed in folders.items() if not followed or first in followed]
            for place in places if relative_to is None else [relative_to]:
                new = set(_files(name, place)) - found - left_out
                found |= new
                left += new
    return found


def modules(script: Path) -> list[Path]:
    """The modules of this package that ``script`` imports, directly or not, and itself.

    Python's own modulefinder does the same, but follows the imports of every script anew.
    """
    return sorted(_closure([script], _OWN_PACKAGE))


@functools.cache
def code_digest(script: Path) -> str:
    """16 hexadecimal digits for the code of ``script`` and of what it imports from the package."""

    def compute() -> tuple[str, list[Path]]:
        own = modules(script)
        return _digest(own, [PACKAGE.parent, script.parent]), own

    return _remembered(str(script), compute)


def own_digest(path: str) -> str:
    """16 hexadecimal digits for the user's own code behind ``package.module:name``.

    That is the module and whatever it imports from the folder that it was found in (from its own
    package, where that is the folder of installed packages) and from this package, and the files
    that texts in the own modules name, beside them or from where the workflow runs: what they read.
    Empty where there is no such module. Nothing of it is run.
    """
    module = path.partition(":")[0]
    source = find_source(module)
    if source is None:
        return ""
    depth = module.count(".") + (source.stem == "__init__")
    folder = source.parents[depth]
    installed = folder.name in ("site-packages", "dist-packages") or folder == _STANDARD
    followed = {module.partition(".")[0], PACKAGE.name} if installed else set()
    folders = _OWN_PACKAGE | {folder: followed}

    def compute() -> tuple[str, list[Path]]:
        own = _closure([source, *_files(module, folder)], folders)
        names = {
            (str(path.parent), text)
            for path in own
            if not path.is_relative_to(PACKAGE)
            for text in _module(path).names
        }
        # A file that is put into one of their folders can take the place of another.
        about = [*own, *{path.parent for path in own} | {folder}]
        return json.dumps([_digest(own, folders), sorted(names)]), about

    digest, names = json.loads(_remembered(f"own {module} {source}", compute))
    read = []
    for beside, text in names:
        places = (os.path.join(beside, text), text)  # noqa: PTH118
        # Not Path.is_file, which raises for texts that no file can have as its name.
        read += [(text, Path(p)) for p in places if os.path.isfile(p)][:1]  # noqa: PTH113
    held = file_digests([path for _, path in read], module)
    return with_own(digest, {f"{t} {own}": "" for (t, _), own in zip(read, held, strict=True)})


def with_own(code: str, own: Mapping[str, str]) -> str:
    """The digest of a script's code, and of the user's own that it runs, by path, if any."""
    return _short(f"{code} {json.dumps(dict(own), sort_keys=True)}") if own else code


def _digest(paths: Iterable[Path], folders: Iterable[Path]) -> str:
    """A digest of modules under the names that they have in ``folders``, wherever these are."""
    named = {}
    for path in paths:
        # The nearest: the package may lie somewhere inside the user's own folder.
        names = [path.relative_to(f).as_posix() for f in folders if path.is_relative_to(f)]
        named[min(names, key=len)] = _module(path).digest.hex()
    return _short(json.dumps(named, sort_keys=True))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _remembered(name: str, compute: Callable[[], tuple[str, list[Path]]]) -> str:
    """The digest called ``name``, from a note if no file has changed since it was computed.

    Following imports takes a tenth of a second, which every job and every parsing of the workflow
    would spend anew: the digest is remembered with date and size of every file that it is about.

    Args:
        compute: returns the digest, and all files and folders that it depends on.
    """
    # These modules make the digest, and Python's version decides how text becomes a tree.
    makers = _states([Path(__file__), Path(syntax.__file__)])
    note = cache_folder.FOLDER / f"code-{_short(f'{name} {sys.version} {makers}')}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["files"] == _states([Path(name) for name in known["files"]]):
            return known["digest"]
    except (OSError, ValueError):
        # Not there yet, or a file is gone: as if it were new.
        pass
    digest, paths = compute()
    # Only beside a Snakemake: a script called by hand leaves no folder behind.
    if cache_folder.FOLDER.is_dir():
        cache_folder.write(note, json.dumps({"digest": digest, "files": _states(paths)}))
    return digest


def _state(path: Path) -> tuple[int, int]:
    """Date in nanoseconds and size in bytes."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _states(paths: Iterable[Path]) -> dict[str, list[int]]:
    return {str(path): list(_state(path)) for path in paths}
