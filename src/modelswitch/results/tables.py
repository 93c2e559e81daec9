"""Writing tidy tables, and reading them as they were written, only what may be pooled."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modelswitch.errors import UserError
from modelswitch.results import findings, pooling, repeats
from modelswitch.results.pooling import Apart
from modelswitch.results.schema import SCHEMAS, Schema
from modelswitch.results.selector_schemas import OF_SELECTORS
from modelswitch.storage import atomic

if TYPE_CHECKING:
    import pandas as pd

# What stands for nothing in a column of numbers; in one of text only nothing does.
NOTHING = ("", "nan", "NaN", "NA", "N/A", "None", "null")


class Tables:
    """The tidy tables of one folder, each read when first asked for; `None` where it is missing.

    Seeds that differ in more than the seed are left out of all of them; `remarks` says which. Of a
    model that was trained several times for a seed there is the mean, so that seeds are counted and
    not repeats; `every` has the trainings themselves. With `dataset`, only that data set's rows;
    with `lineages`, of tables of models only theirs.
    """

    def __init__(
        self,
        folder: str | Path,
        dataset: str | None = None,
        lineages: Collection[str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.dataset = dataset
        self._lineages = lineages
        self._parts: dict[str, Tables] = {}
        self._whole = self
        self._read: dict[str, pd.DataFrame | None] = {}  # as they are in the files
        self._kept: dict[str, pd.DataFrame | None] = {}  # what of it may be pooled
        self._means: dict[str, pd.DataFrame | None] = {}  # of repeats

    def of(self, dataset: str) -> Tables:
        """The rows of one data set; what was read already is not read again."""
        if dataset not in self._parts:
            part = self._parts[dataset] = Tables(self.folder, dataset, self._lineages)
            part._read = {name: part._own(name, table) for name, table in self._read.items()}
            part._models_apart = [apart for apart in self._models_apart if apart.dataset == dataset]
        return self._parts[dataset]

    def only(self, lineages: Collection[str]) -> Tables:
        """The rows of some models, and what is not about models; `whole` has all of them."""
        part = Tables(self.folder, self.dataset, set(lineages))
        part._whole = self
        part._read = {name: part._own(name, table) for name, table in self._read.items()}
        return part

    @property
    def whole(self) -> Tables:
        """The tables that these are some models of; themselves if that is all of them."""
        return self._whole

    def _own(self, name: str, table: pd.DataFrame | None) -> pd.DataFrame | None:
        """The rows of a table that belong here."""
        if table is None:
            return None
        if self.dataset is not None and "dataset" in table.columns:
            table = table[table["dataset"] == self.dataset]
        of_models = "lineage" in table.columns and name not in OF_SELECTORS
        if self._lineages is not None and of_models:
            table = table[table["lineage"].isin(self._lineages)]
        return table

    @property
    def models(self) -> pd.DataFrame:
        return self._there(self._get("models"))

    @property
    def trainings(self) -> pd.DataFrame:
        """`models` with a row for every training, repeats of a seed included."""
        return self._there(self.every("models"))

    def _there(self, models: pd.DataFrame | None) -> pd.DataFrame:
        if models is None:
            raise UserError(
                f"{self.folder}: no {SCHEMAS['models'].file} with results here; "
                "give the folder `tables` of a run in which a training has finished"
            )
        return models

    @property
    def history(self) -> pd.DataFrame | None:
        return self._get("history")

    @property
    def reading(self) -> pd.DataFrame | None:
        return self._get("reading")

    @property
    def data_classes(self) -> pd.DataFrame | None:
        return self._get("data_classes")

    @property
    def exports(self) -> pd.DataFrame | None:
        return self._get("exports")

    @property
    def latency(self) -> pd.DataFrame | None:
        return self._get("latency")

    @property
    def selector_exports(self) -> pd.DataFrame | None:
        return self._get("selector_exports")

    @property
    def selector_latency(self) -> pd.DataFrame | None:
        return self._get("selector_latency")

    @property
    def predictions(self) -> pd.DataFrame | None:
        return self._get("predictions")

    def has(self, name: str) -> bool:
        """Whether a table is there and has rows; the long one is not read for that."""
        path = self.folder / SCHEMAS[name].file
        if path.suffix != ".parquet" or name in self._read or not path.exists():
            return self._get(name) is not None
        import pyarrow.parquet

        try:
            return pyarrow.parquet.read_metadata(path).num_rows > 0
        except pyarrow.ArrowException as error:
            raise UserError(f"{path}: not a readable table ({error})") from error

    def answers(self, lineages: Collection[str], split: str) -> pd.DataFrame | None:
        """The rows of `predictions` of some models on one split, as far as they may be pooled;
        `None` for none. Of thousands of models all rows are more than fit into memory."""
        if "predictions" in self._read:
            table = self._stored("predictions")
        else:
            only = [("lineage", "in", list(lineages)), ("split", "==", split)]
            table = self._own("predictions", read_table(self.folder, "predictions", only))
        if table is None:
            return None
        table = table[table["lineage"].isin(lineages) & (table["split"] == split)]
        table = pooling.without(table, self._models_apart, "lineage")
        return None if table.empty else table

    @property
    def per_class(self) -> pd.DataFrame | None:
        return self._get("per_class")

    @property
    def class_confusions(self) -> pd.DataFrame | None:
        return self._get("class_confusions")

    @property
    def weights(self) -> pd.DataFrame | None:
        return self._get("weights")

    @property
    def responses(self) -> pd.DataFrame | None:
        return self._get("responses")

    @property
    def selection(self) -> pd.DataFrame | None:
        return self._get("selection")

    @property
    def abstaining(self) -> pd.DataFrame | None:
        return self._get("abstaining")

    @property
    def risk_coverage(self) -> pd.DataFrame | None:
        return self._get("risk_coverage")

    @property
    def verification(self) -> pd.DataFrame | None:
        return self._get("verification")

    @property
    def det(self) -> pd.DataFrame | None:
        return self._get("det")

    @property
    def claims(self) -> pd.DataFrame | None:
        return self._get("claims")

    @property
    def remarks(self) -> list[str]:
        """What a reader has to know about how models may be pooled, and about trainings that went
        otherwise than meant."""
        lines = [apart.line for apart in self._models_apart]
        models = self.every("models")
        differ = "" if models is None else pooling.surroundings(models)
        if differ:
            lines.append(
                f"Trained under different circumstances ({differ}): the bits of equal trainings "
                "can differ."
            )
        return lines if models is None else lines + findings.of_models(models)

    @property
    def remarks_on_selectors(self) -> list[str]:
        """The same about selectors."""
        selection = self._get("selection")
        lines = [apart.line for apart in self._selectors_apart]
        return lines if selection is None else lines + findings.of_selectors(selection)

    def left_out(self, name: str) -> list[str]:
        """Of a lineage or a selector, the seeds that are not pooled with the others, and why."""
        every = (*self._models_apart, *self._selectors_apart)
        return [apart.line for apart in every if apart.name == name]

    def _get(self, name: str) -> pd.DataFrame | None:
        if name not in self._means:
            table = self.every(name)
            self._means[name] = None if table is None else repeats.by_seed(table, SCHEMAS[name])
        return self._means[name]

    def firsts(self, name: str) -> pd.DataFrame | None:
        """A table with the rows of the first repeat of every seed alone: of the model that others
        are switched from, and that is exported."""
        table = self.every(name)
        if table is None or repeats.REPEAT not in table.columns:
            return table
        return table[table[repeats.REPEAT] == 0]

    def every(self, name: str) -> pd.DataFrame | None:
        """A table with the rows of every repeat of a seed, as far as they may be pooled."""
        if name not in self._kept:
            table = self._stored(name)
            if table is not None and name in OF_SELECTORS:
                table = pooling.without(table, self._selectors_apart, "selector")
            elif table is not None and "lineage" in table.columns:
                table = pooling.without(table, self._models_apart, "lineage")
            self._kept[name] = table
        return self._kept[name]

    def _stored(self, name: str) -> pd.DataFrame | None:
        if name not in self._read:
            self._read[name] = self._own(name, read_table(self.folder, name))
        return self._read[name]

    @functools.cached_property
    def _models_apart(self) -> list[Apart]:
        models = self._stored("models")
        return [] if models is None else pooling.models_apart(models)

    @functools.cached_property
    def _selectors_apart(self) -> list[Apart]:
        selection = self._stored("selection")
        if selection is None:
            return []
        # All modalities, whichever data set is asked for: a selector listens to each of them.
        whole = Tables(self.folder) if self.dataset else self
        return pooling.selectors_apart(selection, whole._models_apart)


def read_table(
    folder: str | Path, name: str, only: Sequence[tuple[str, str, object]] | None = None
) -> pd.DataFrame | None:
    """Table `name` of `folder` as a data frame with all columns of its schema, or `None`.

    Of a Parquet file, rows for which one of `only` (as pyarrow has its filters) does not hold are
    not read.

    Text columns hold '' for nothing, the others NaN. Names are what they were when written: one
    called `NA`, `None` or `1e5` is no missing value and no number.

    Raises:
        UserError: a file that cannot be read, lacks a required column, or says one thing twice.
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
    try:
        table = (
            pd.read_parquet(path, filters=only)
            if path.suffix == ".parquet"
            else read_csv(path, schema)
        )
    except pd.errors.EmptyDataError:
        return None  # a table without a single row has not even a header
    except Exception as error:
        raise UserError(f"{path}: not a readable table ({error})") from error
    if table.empty:
        return None
    _check(path, table, schema)
    for column in schema.columns:
        if column.name not in table.columns:
            table[column.name] = "" if column.kind == "text" else column.absent
        elif column.kind == "text":
            table[column.name] = table[column.name].astype(object).fillna("").astype(str)
        else:
            try:
                table[column.name] = pd.to_numeric(table[column.name])
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}: column {column.name!r} holds more than numbers ({error})"
                ) from error
        if not math.isnan(column.absent):
            table[column.name] = table[column.name].fillna(column.absent).astype(int)
    _check_key(path, table, schema)
    return table


def write_table(folder: str | Path, name: str, rows: pd.DataFrame) -> None:
    """Write table `name` into `folder`, so that `read_table` gives the same names and numbers."""
    path = Path(folder) / SCHEMAS[name].file
    with atomic.replacing(path) as part:
        if path.suffix == ".parquet":
            rows.to_parquet(part, index=False, compression="zstd")
        else:
            # Numbers with all their digits: two differences that are equal have to stay equal.
            rows.to_csv(part, index=False, encoding="utf-8", quoting=_quoting(rows))


def _quoting(rows: pd.DataFrame) -> Literal[0, 2]:
    """Quotes where they are needed; a carriage return needs them, which the writer does not see."""
    texts = rows.select_dtypes(["object", "string"])
    returns = texts.map(lambda cell: isinstance(cell, str) and "\r" in cell)
    return csv.QUOTE_NONNUMERIC if returns.to_numpy().any() else csv.QUOTE_MINIMAL


def read_csv(
    path: str | Path | io.StringIO, schema: Schema, text: Iterable[str] = ()
) -> pd.DataFrame:
    """A CSV file in which text is what was written: `NA` is a name, and so is `1e5`.

    The text columns are those of the schema and `text`; all others hold numbers or nothing.
    """
    import pandas as pd

    header = pd.read_csv(path, nrows=0, encoding="utf-8").columns
    if isinstance(path, io.StringIO):
        path.seek(0)
    text = {*text, *(column.name for column in schema.columns if column.kind == "text")}
    return pd.read_csv(
        path,
        encoding="utf-8",
        dtype=dict.fromkeys(text, str),
        keep_default_na=False,
        na_values={column: list(NOTHING) for column in header if column not in text},
    )


def joined_csv(
    files: Sequence[tuple[Mapping[str, str | int], Path]], schema: Schema
) -> pd.DataFrame:
    """The rows of many small CSV files in their order, each after the columns that tell whose it
    is.

    Files with one header are parsed together: pandas takes longer to begin than to read them.
    """
    import numpy as np
    import pandas as pd

    alike: dict[str, list[tuple[int, str, int]]] = {}  # header: (place in the order, rows, count)
    for position, (_, path) in enumerate(files):
        header, *lines = path.read_text(encoding="utf-8").split("\n")
        lines = [line for line in lines if line]
        if lines:
            alike.setdefault(header, []).append((position, "\n".join(lines), len(lines)))
    frames = []
    for header, parts in alike.items():
        positions, rows, counts = zip(*parts, strict=True)
        frame = read_csv(io.StringIO("\n".join([header, *rows])), schema)
        if len(frame) != sum(counts):
            # A cell with a line break in it; of what a training writes there is none.
            raise UserError(f"{files[positions[0]][1]}: not a table with one row on each line")
        keys = pd.DataFrame([files[position][0] for position in positions])
        owners = keys.loc[np.repeat(np.arange(len(keys)), counts)].set_index(
            np.repeat(positions, counts)
        )
        frames.append(pd.concat([owners, frame.set_index(owners.index)], axis=1))
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)


def _check(path: Path, table: pd.DataFrame, schema: Schema) -> None:
    missing = [c.name for c in schema.columns if c.required and c.name not in table.columns]
    if missing:
        raise UserError(
            f"{path}: column {missing[0]!r} is missing; found {', '.join(map(str, table.columns))}"
        )


def _check_key(path: Path, table: pd.DataFrame, schema: Schema) -> None:
    """Raise `UserError` for two rows about one thing: a mean would count it twice."""
    if what := said_twice(table, schema):
        raise UserError(f"{path}: two rows for {what}; leave one")


def said_twice(table: pd.DataFrame, schema: Schema) -> str:
    """The first thing that two rows are about, by the columns that tell rows apart; '' for none."""
    twice = table.duplicated(list(schema.key), keep="first")
    if not twice.any():
        return ""
    row = table[twice].iloc[0]
    # Where nothing is repeated nobody has heard of it.
    told = [column for column in schema.key if column != repeats.REPEAT or row[column]]
    return ", ".join(f"{column} {row[column]}" for column in told)
