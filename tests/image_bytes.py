"""Image files that Pillow cannot write, built by hand from their specifications."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def png(array: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a channel; colour types are 0 grey, 2 RGB, 4 grey with alpha, 6 RGBA."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(
    array: np.ndarray,
    photometric: int = 1,
    bits: int | None = None,
    extra: int = 0,
    order: str = "<",
    content: bytes | None = None,
) -> bytes:
    """An uncompressed TIFF of [H, W] or [H, W, C]; ``extra`` of the channels are of no colour.

    Photometric interpretations: 0 white is zero, 1 black is zero, 2 RGB, 8 CIELab.
    """
    height, width = array.shape[:2]
    samples = array.shape[2] if array.ndim == 3 else 1
    bits = bits or array.dtype.itemsize * 8
    if content is None:
        content = array.astype(array.dtype.newbyteorder(order)).tobytes()
    sample_format = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    entries = [
        (256, "H", [width]), (257, "H", [height]), (258, "H", [bits] * samples), (259, "H", [1]),
        (262, "H", [photometric]), (273, "I", [0]), (277, "H", [samples]), (278, "H", [height]),
        (279, "I", [len(content)]), (339, "H", [sample_format] * samples),
    ]  # fmt: skip
    if extra:
        entries.insert(9, (338, "H", [0] * extra))
    place = 8 + 2 + 12 * len(entries) + 4
    long = {tag: 2 * len(values) for tag, _, values in entries if len(values) > 2}
    values_at = dict(zip(long, np.cumsum([place, *long.values()])[:-1].tolist(), strict=True))
    directory = tail = b""
    for tag, kind, values in entries:
        if tag == 273:
            values = [place + sum(long.values())]
        packed = b"".join(struct.pack(order + kind, value) for value in values)
        if tag in long:
            tail += packed
            packed = struct.pack(order + "I", values_at[tag])
        number = {"H": 3, "I": 4}[kind]
        directory += struct.pack(order + "HHI", tag, number, len(values)) + packed.ljust(4, b"\0")
    begin = b"II*\0" if order == "<" else b"MM\0*"
    count = struct.pack(order + "H", len(entries))
    return begin + struct.pack(order + "I", 8) + count + directory + bytes(4) + tail + content


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
