"""How a process gets its memory from the operating system."""

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_LARGE = 4 * 2**20
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let freed memory be used again instead of going back to the operating system.

    By default glibc gives every large block back when it is freed, and each page of the next one
    costs a fault and is filled with zeros. A training frees and takes the same blocks at every
    step; keeping them makes small networks a fifth to a third faster on a processor. Where the C
    library is another one, nothing changes.
    """
    _told("mallopt", _M_MMAP_MAX, 0)
    _told("mallopt", _M_TRIM_THRESHOLD, _NEVER)


def return_large_blocks() -> None:
    """Let large blocks go back to the operating system when they are freed.

    By default glibc takes blocks of up to 32 MB from the heap once some were freed. Where small
    ones that stay are laid into the gap that a large one left, the next large one does not fit, and
    the heap grows with every block that is read. For jobs that go through more than memory holds.
    Where the C library is another one, nothing changes.
    """
    _told("mallopt", _M_MMAP_THRESHOLD, _LARGE)


def give_back_freed() -> None:
    """Let what is free now go back to the operating system, though later blocks may be kept.

    For before something that takes large blocks of other sizes than what went before, into whose
    gaps they do not fit. Takes a tenth of a second a gigabyte. Where the C library is another one,
    nothing changes.
    """
    _told("malloc_trim", 0)


def _told(function: str, *numbers: int) -> None:
    """Call a function of glibc, where it is the C library."""
    found = getattr(ctypes.CDLL(None), function, None)
    if found is not None:
        found(*numbers)
