"""Digests of the code that a script really runs, so that Snakemake reruns what a change affects."""

import ast
import functools
import hashlib
import io
import json
import sys
import tokenize
from pathlib import Path

import modelswitch
from modelswitch.storage import cache_folder

PACKAGE = Path(modelswitch.__file__).parent
_WITHOUT_EFFECT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}


@functools.cache
def _module_digest(path: Path) -> bytes:
    """SHA-256 of a module's tokens: comments and blank lines do not count."""
    tokens = tokenize.tokenize(io.BytesIO(path.read_bytes()).readline)
    text = "\n".join(token.string for token in tokens if token.type not in _WITHOUT_EFFECT)
    return hashlib.sha256(text.encode()).digest()


@functools.cache
def _imports(path: Path) -> list[Path]:
    """The modules of this package that a file imports anywhere in it, functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = [node.module] if node.module else []
            if node.level:
                origin = [*path.relative_to(PACKAGE.parent).parts[: -node.level], *origin]
            module = ".".join(origin)
            # What is imported from a module can be a module itself.
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    found = []
    for name in names:
        first, *parts = name.split(".")
        if first != PACKAGE.name:
            continue
        for depth in range(1, len(parts) + 1):
            place = PACKAGE.joinpath(*parts[:depth])
            found += [place.with_suffix(".py"), place / "__init__.py"]
    return [path for path in found if path.is_file()]


def modules(script: Path) -> list[Path]:
    """The modules of this package that ``script`` imports, directly or not, and itself.

    Python's own modulefinder does the same, but follows the imports of every script anew. The
    package's ``__init__`` is left out: a release that changes no training code reruns none.
    """
    found, left = {script}, [script]
    while left:
        new = set(_imports(left.pop())) - found
        found |= new
        left += new
    return sorted(found)


@functools.cache
def code_digest(script: Path) -> str:
    """16 hexadecimal digits for the code of ``script`` and of what it imports from the package.

    Following imports takes a tenth of a second, which every job and every parsing of the workflow
    would spend anew: the digest is remembered with date and size of every file that it is about.
    """
    # This module makes the digest, and Python's version decides how text falls into tokens.
    maker = f"{script} {sys.version} {_states([Path(__file__)])}"
    note = cache_folder.FOLDER / f"code-{hashlib.sha256(maker.encode()).hexdigest()[:16]}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["files"] == _states([Path(name) for name in known["files"]]):
            return known["digest"]
    except (OSError, ValueError):
        # Not there yet, or a file is gone: as if it were new.
        pass
    own = modules(script)
    states, total = _states(own), hashlib.sha256()
    for path in own:
        total.update(path.name.encode() + _module_digest(path))
    known = {"digest": total.hexdigest()[:16], "files": states}
    # Only beside a Snakemake: a script called by hand leaves no folder behind.
    if cache_folder.FOLDER.is_dir():
        cache_folder.write(note, json.dumps(known))
    return known["digest"]


def _states(paths: list[Path]) -> dict[str, list[int]]:
    """Date in nanoseconds and size in bytes of every file."""
    stats = {str(path): path.stat() for path in paths}
    return {name: [stat.st_mtime_ns, stat.st_size] for name, stat in stats.items()}
