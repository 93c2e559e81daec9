"""Arrow tables with an image file's bytes in each row, as Hugging Face's `datasets` saves them.

The format is described at https://arrow.apache.org/docs/format/Columnar.html.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelswitch.data.folders import normal, shown, some
from modelswitch.data.members import Listed, Member, Row
from modelswitch.errors import UserError


def list_table(path: Path, image: str, label: str, group: str | None) -> Listed:
    """The rows of a file, without reading their images: they are known by where they lie.

    Args:
        image: column of images, bytes or a struct of ``bytes`` and ``path``.
        label: column of labels, whole numbers or text.
        group: column of groups, if there are any.
    """
    try:
        whole = pa.memory_map(str(path)).read_buffer()
        try:
            reader = pa.ipc.open_stream(whole)
            schema, batches = reader.schema, list(reader)
        except pa.ArrowInvalid:
            stored = pa.ipc.open_file(whole)
            schema = stored.schema
            batches = [stored.get_batch(n) for n in range(stored.num_record_batches)]
    except (pa.ArrowException, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{shown(path)}: cut short, or no Arrow file ({reason})") from error
    for key, column in (("image", image), ("label", label), ("group", group)):
        if column is not None and schema.names.count(column) != 1:
            raise UserError(
                f"{shown(path)}: has no column {column!r} (data.{key}); it has {some(schema.names)}"
            )
    rows: list[Row] = []
    for batch in batches:
        begin = len(rows)
        places = _places(path, whole, batch.column(image), image, begin)
        labels = _values(path, batch.column(label), label, begin)
        groups = [None] * len(labels) if group is None else [
            normal(str(value)) for value in _values(path, batch.column(group), group, begin)
        ]  # fmt: skip
        for number, (place, own, of) in enumerate(zip(places, labels, groups, strict=True), begin):
            rows.append(Row(Member(path, f"row {number}", *place), own, of))
    unused = Counter({f"column {n!r}": 1 for n in schema.names if n not in (image, label, group)})
    return Listed(rows, _class_names(path, schema, label), unused)


def _places(
    path: Path, whole: pa.Buffer, column: pa.Array, name: str, begin: int
) -> list[tuple[int, int]]:
    """Where in the file the bytes of each image are, and how many."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        missing = column.is_null()
        column = column.field("bytes")
    else:
        missing = column.is_null()
    wide = pa.types.is_large_binary(column.type)
    if not wide and not pa.types.is_binary(column.type):
        raise UserError(
            f"{shown(path)}: column {name!r} (data.image) is of {column.type}, expected the bytes "
            "of an image file, as features of type Image have"
        )
    lacking = np.flatnonzero(np.asarray(missing) | np.asarray(column.is_null()))
    if len(lacking):
        raise UserError(
            f"{shown(path)}: row {begin + int(lacking[0])} has no image in {name!r}; where only a "
            "path stands, save the data set with its images inside"
        )
    if not len(column):
        return []
    _, starts, data = column.buffers()
    kind = np.int64 if wide else np.int32
    ends = np.frombuffer(starts, kind)[column.offset : column.offset + len(column) + 1]
    offset = data.address - whole.address if data is not None else -1
    if not 0 <= offset <= whole.size - int(ends[-1]):
        raise UserError(
            f"{shown(path)}: its table is compressed, so that no image lies in it as it is; save "
            "it without compression"
        )
    places = (offset + ends[:-1].astype(np.int64)).tolist()
    return list(zip(places, np.diff(ends).tolist(), strict=True))


def _values(path: Path, column: pa.Array, name: str, begin: int) -> list[Any]:
    """Whole numbers or text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    fits = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    if not any(fit(kind) for fit in fits):
        raise UserError(
            f"{shown(path)}: column {name!r} is of {kind}, expected whole numbers or text"
        )
    if column.null_count:
        empty = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise UserError(f"{shown(path)}: row {begin + empty} has nothing in {name!r}")
    return column.to_pylist()


def _class_names(path: Path, schema: pa.Schema, label: str) -> list[str] | None:
    """The names that `datasets` keeps of the numbers in a column, if they are class labels."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if stored is None:
        return None
    try:
        feature = json.loads(stored)["info"]["features"][label]
        names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{shown(path)}: what it says of its features cannot be read ({error!r})"
        ) from error
    return None if names is None else [normal(str(name)) for name in names]
