"""Reading the tidy tables of a folder."""

from __future__ import annotations

from pathlib import Path

from modelswitch.errors import UserError
from modelswitch.results.schema import SCHEMAS


class Tables:
    """The tidy tables of one folder, each read when first asked for; `None` where it is missing.

    With `dataset`, only that data set's rows.
    """

    def __init__(self, folder: Path, dataset: str | None = None) -> None:
        self.folder = Path(folder)
        self.dataset = dataset
        self._read: dict = {}

    def of(self, dataset: str) -> Tables:
        """The rows of one data set; what was read already is not read again."""
        part = Tables(self.folder, dataset)
        part._read = {name: self._one_dataset(table, dataset) for name, table in self._read.items()}
        return part

    @property
    def models(self):
        table = self._get("models")
        if table is None:
            raise UserError(
                f"{self.folder}: no {SCHEMAS['models'].file} with results here; "
                "give the folder `tables` of a run in which a training has finished"
            )
        return table

    history = property(lambda self: self._get("history"))
    reading = property(lambda self: self._get("reading"))
    data_classes = property(lambda self: self._get("data_classes"))
    predictions = property(lambda self: self._get("predictions"))
    per_class = property(lambda self: self._get("per_class"))
    class_confusions = property(lambda self: self._get("class_confusions"))
    weights = property(lambda self: self._get("weights"))
    responses = property(lambda self: self._get("responses"))
    exports = property(lambda self: self._get("exports"))
    latency = property(lambda self: self._get("latency"))
    selection = property(lambda self: self._get("selection"))
    claims = property(lambda self: self._get("claims"))

    def _get(self, name: str):
        if name not in self._read:
            self._read[name] = self._one_dataset(read_table(self.folder, name), self.dataset)
        return self._read[name]

    @staticmethod
    def _one_dataset(table, dataset: str | None):
        if table is None or dataset is None or "dataset" not in table.columns:
            return table
        return table[table["dataset"] == dataset]


def read_table(folder: Path, name: str):
    """Table `name` of `folder` as a data frame with all columns of its schema, or `None`.

    Text columns hold '' for nothing, the others NaN. Raises `UserError` for a file that cannot be
    read or lacks a required column.
    """
    import pandas as pd

    schema = SCHEMAS[name]
    path = Path(folder) / schema.file
    if not path.exists() and path.suffix == ".parquet":
        path = path.with_suffix(".csv")  # a reader may bring their own table as text
    if not path.exists():
        path = path.with_name(f"{path.name}.gz")  # as long tables are committed
    if not path.exists():
        return None
    text = {column.name: str for column in schema.columns if column.kind == "text"}
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            # By column, for a class may be called NA.
            columns = pd.read_csv(path, nrows=0).columns
            empty = {name: ["", "nan", "NaN"] for name in columns if name not in text}
            table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=empty)
    except pd.errors.EmptyDataError:
        return None  # a table without a single row has not even a header
    except Exception as error:
        raise UserError(f"{path}: not a readable table ({error})") from error
    if table.empty:
        return None
    missing = [c.name for c in schema.columns if c.required and c.name not in table.columns]
    if missing:
        raise UserError(
            f"{path}: column {missing[0]!r} is missing; found {', '.join(map(str, table.columns))}"
        )
    for column in schema.columns:
        if column.name not in table.columns:
            table[column.name] = "" if column.kind == "text" else float("nan")
        elif column.kind == "text":
            table[column.name] = table[column.name].astype(object).fillna("").astype(str)
        else:
            table[column.name] = pd.to_numeric(table[column.name])
    return table
