"""Named random streams: a seed from what names it."""

import contextlib
import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from what names a random stream, e.g. ``(seed, lineage, "epoch", 3)``.

    Streams depend on their names alone, so a result does not depend on what else ran.
    """
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def seed_global_streams(seed: int) -> None:
    """Seed the generators that code draws from which names none: Python's, NumPy's, PyTorch's."""
    # In here: whoever only plans does not wait for them.
    import numpy
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


@contextlib.contextmanager
def streams_kept(devices: Sequence[Any] | None = None) -> Iterator[None]:
    """Random numbers that are drawn inside are drawn again afterwards, from all global streams.

    Args:
        devices: the GPUs whose streams that is meant for; all of them if not given.
    """
    import numpy
    import torch

    if devices is None:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    python, numpys = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(numpys)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global streams begin at ``seed`` inside, and go on afterwards where they were."""
    with streams_kept():
        seed_global_streams(seed)
        yield


def global_streams() -> dict[str, list]:
    """Where Python's and NumPy's global generators are, as JSON holds it."""
    import numpy

    version, words, gauss = random.getstate()
    kind, keys, *rest = numpy.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, numpy.asarray(keys).tolist(), *rest],
    }


def set_global_streams(streams: dict[str, list]) -> None:
    """Put Python's and NumPy's global generators where `global_streams` found them."""
    import numpy

    version, words, gauss = streams["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = streams["numpy"]
    numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))
