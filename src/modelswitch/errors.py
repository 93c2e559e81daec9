"""The one kind of error that is meant for a person, and how a script shows it."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

# How torch and CUDA's libraries, each in words of its own, say that a GPU's memory is full.
OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class UserError(Exception):
    """A mistake that a user can mend: one line that names the key or file, what was found
    and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def fail(message: object) -> NoReturn:
    """Print one line and leave with exit status 1."""
    print("error:", *str(message).split(), file=sys.stderr, flush=True)
    raise SystemExit(1)


def run_script(main: Callable[[], None]) -> None:
    """Call a script's ``main``; a `UserError`, full memory or a failing disk becomes one line."""
    # Where a locale lacks a letter, a question mark stands for it. Jobs write UTF-8 in any case.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="replace")
    try:
        main()
    except UserError as error:
        fail(error)
    except MemoryError as error:
        fail(f"not enough memory ({error or 'the system gave no more'})")
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}")


def missing_extra(extra: str, error: ImportError, where: str) -> UserError:
    """What to say where an extra's packages are not installed."""
    return UserError(
        f"{where}: needs the extra {extra!r}: pip install 'modelswitch[{extra}]' ({error})"
    )


@contextlib.contextmanager
def naming(key: str) -> Iterator[None]:
    """Put the configuration's key before what is wrong with it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


@contextlib.contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Tell whatever other people's code raises, a model's or a rule's, as ``what`` and the reason.

    A `UserError` is one line already and goes through as it is; so does full memory, for others
    know what to do then.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        # A KeyError says no more than the key and an AssertionError often nothing.
        said = next((line for line in str(error).splitlines() if line.strip()), "")
        reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise UserError(f"{what} ({reason})") from error
