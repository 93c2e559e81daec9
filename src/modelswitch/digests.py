"""Digests of the code that a script really runs, so that Snakemake reruns what a change affects."""

import functools
import hashlib
import io
import json
import modulefinder
import sys
import tokenize
from pathlib import Path

import modelswitch
from modelswitch import remembered

PACKAGE = Path(modelswitch.__file__).parent
_WITHOUT_EFFECT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}


@functools.cache
def _module_digest(path: Path) -> bytes:
    """SHA-256 of a module's tokens: comments and blank lines do not count."""
    tokens = tokenize.tokenize(io.BytesIO(path.read_bytes()).readline)
    text = "\n".join(token.string for token in tokens if token.type not in _WITHOUT_EFFECT)
    return hashlib.sha256(text.encode()).digest()


def modules(script: Path) -> list[Path]:
    """The modules of this package that ``script`` imports, directly or not, and itself."""
    finder = modulefinder.ModuleFinder(path=[str(PACKAGE.parent)])
    finder.run_script(str(script))
    own = {Path(m.__file__) for m in finder.modules.values() if m.__file__}
    # The version must not count: a release that changes no training code reruns none.
    return sorted({*own, script} - {PACKAGE / "__init__.py"})


@functools.cache
def code_digest(script: Path) -> str:
    """16 hexadecimal digits for the code of ``script`` and of what it imports from the package.

    Following imports takes a tenth of a second, which every job and every parsing of the workflow
    would spend anew: the digest is remembered with date and size of every file that it is about.
    """
    # This module makes the digest, and Python's version decides how text falls into tokens.
    maker = f"{script} {sys.version} {_states([Path(__file__)])}"
    note = remembered.FOLDER / f"code-{hashlib.sha256(maker.encode()).hexdigest()[:16]}.json"
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
    if remembered.FOLDER.is_dir():
        remembered.write(note, json.dumps(known))
    return known["digest"]


def _states(paths: list[Path]) -> dict[str, list[int]]:
    """Date in nanoseconds and size in bytes of every file."""
    stats = {str(path): path.stat() for path in paths}
    return {name: [stat.st_mtime_ns, stat.st_size] for name, stat in stats.items()}
