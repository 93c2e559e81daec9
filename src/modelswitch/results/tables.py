"""Tidy tables as they were written, only what may be pooled."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from modelswitch.errors import UserError
from modelswitch.results import findings, pooling, repeats
from modelswitch.results.pooling import Apart
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.selector_schemas import OF_SELECTORS
from modelswitch.results.table_files import read_table

if TYPE_CHECKING:
    import pandas as pd


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
