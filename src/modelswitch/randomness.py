"""Named random streams: a seed from what names it."""

import hashlib


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from what names a random stream, e.g. ``(seed, lineage, "epoch", 3)``.

    Streams depend on their names alone, so a result does not depend on what else ran.
    """
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
