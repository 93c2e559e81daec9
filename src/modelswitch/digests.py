"""Digests of the code that a script really runs, so that Snakemake reruns what a change affects."""

import functools
import hashlib
import io
import modulefinder
import tokenize
from pathlib import Path

import modelswitch

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
    """16 hexadecimal digits for the code of ``script`` and of what it imports from the package."""
    total = hashlib.sha256()
    for path in modules(script):
        total.update(path.name.encode() + _module_digest(path))
    return total.hexdigest()[:16]
