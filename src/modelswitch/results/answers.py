"""What models answered, read one model at a time: thousands are too much to be held at once."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from modelswitch.graph import Graph
from modelswitch.lineage import ModelFolder
from modelswitch.results import scores
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import write_table
from modelswitch.storage import artifacts, atomic
from modelswitch.transfer.distillation import WEIGHT_BINS

# Predictions that are written together: the more, the smaller the file.
ROWS_WRITTEN = 100_000
# Answers of that many teachers are held at a time.
TEACHERS_HELD = 64


def key_of(place: ModelFolder) -> dict[str, str | int]:
    """What tells a model of a seed from all others."""
    return {
        "experiment": place.experiment,
        "dataset": place.dataset,
        "seed": place.branch.seed,
        "lineage": str(place.lineage),
    }


def training_of(place: ModelFolder) -> dict[str, str | int]:
    """What tells a training from all others: of one model and seed, which time it is."""
    return key_of(place) | {"repeat": place.branch.repeat}


class Rows:
    """Rows of many models as columns: each model's arrays, and how many rows its key stands for."""

    def __init__(self) -> None:
        self._keys: list[Mapping[str, object]] = []
        self._counts: list[int] = []
        self._columns: dict[str, list[NDArray]] = {}

    def add(self, key: Mapping[str, object], columns: Mapping[str, NDArray]) -> None:
        self._keys.append(key)
        self._counts.append(len(next(iter(columns.values()))))
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)

    def frame(self) -> pd.DataFrame:
        if not self._keys:
            return pd.DataFrame()
        keys = pd.DataFrame(self._keys)
        owner = np.repeat(np.arange(len(keys)), self._counts)
        of_keys = {name: keys[name].to_numpy()[owner] for name in keys}
        return pd.DataFrame(
            of_keys | {name: np.concatenate(values) for name, values in self._columns.items()}
        )


@dataclasses.dataclass
class Counted:
    """What is counted in the answers of all models: their metrics by split, and rows of tables."""

    measured: dict[ModelFolder, dict[str, dict[str, float]]]
    per_class: Rows
    confusions: Rows
    weights: list[dict[str, object]]


class Answers:
    """The stored answers of models.

    Args:
        graph: of their experiment.
        results: the folder of all results.
        passports: of the outputs of every model.
        splits: whose answers may be seen.
    """

    def __init__(
        self,
        graph: Graph,
        results: Path,
        passports: Mapping[ModelFolder, Mapping[str, Any]],
        splits: Sequence[str],
    ) -> None:
        self._graph, self._results = graph, results
        self._passports, self._splits = passports, splits
        self._teachers: dict[ModelFolder, dict[str, torch.Tensor]] = {}
        self._counted: Counted | None = None

    def tensors(self, place: ModelFolder) -> dict[str, torch.Tensor]:
        """What a model answered. Of thousands of models it is too much to be held at once."""
        return artifacts.load(self._results / place.file("outputs.safetensors"))[0]

    def _teachers_logits(self, place: ModelFolder, split: str) -> torch.Tensor | None:
        """What the model answered that a model learned from; held, for many learn from one."""
        if not place.lineage.parent:
            return None
        parent = self._graph.parent(place)
        if parent not in self._passports:
            return None
        if parent not in self._teachers:
            # Students of one teacher stand together; of chains there are few teachers at a time.
            while len(self._teachers) >= TEACHERS_HELD:
                self._teachers.pop(next(iter(self._teachers)))
            self._teachers[parent] = self.tensors(parent)
        return self._teachers[parent][f"{split}.logits"]

    @property
    def counted(self) -> Counted:
        """What the answers of all models come to, by one reading of their files."""
        if self._counted is None:
            collections.deque(self._gone_through(), maxlen=0)
        assert self._counted is not None
        return self._counted

    def predictions(self) -> pd.DataFrame:
        """One row for each model, seed and image: what was predicted, and how surely."""
        rows = list(self._gone_through())
        return pa.concat_tables(rows).to_pandas() if rows else pd.DataFrame()

    def write_predictions(self, folder: Path) -> None:
        """`predictions` as its file, of one model at a time: all of them are many."""
        tables = self._gone_through()
        waiting = list(itertools.islice(tables, 1))
        if not waiting:
            write_table(folder, "predictions", pd.DataFrame())
            return
        path, schema = folder / SCHEMAS["predictions"].file, waiting[0].schema
        with (
            atomic.replacing(path) as part,
            pq.ParquetWriter(part, schema, compression="zstd") as file,
        ):
            for table in tables:
                if sum(map(len, waiting)) >= ROWS_WRITTEN:
                    file.write_table(pa.concat_tables(waiting))
                    waiting = []
                waiting.append(table)
            file.write_table(pa.concat_tables(waiting))

    def _gone_through(self) -> Iterator[pa.Table]:
        """The rows of predictions of one model and split after the other, and on the way all that
        is counted: every file is read once for both.

        First repeats alone have rows, for they are many, and what is made of them counts seeds.
        """
        found = Counted({}, Rows(), Rows(), [])
        for place in self._passports:
            tensors, names = self.tensors(place), self._passports[place]["classes"]
            found.measured[place] = {}
            for split in self._splits:
                if f"{split}.logits" not in tensors:
                    continue
                answers = tensors[f"{split}.logits"], tensors[f"{split}.labels"]
                teacher = self._teachers_logits(place, split)
                measured = {"images": len(answers[1])} | scores.scores(*answers, teacher)
                found.measured[place][split] = measured
                key = training_of(place) | {"split": split}
                found.per_class.add(key, scores.by_class(*answers, names))
                found.confusions.add(key, scores.confusions(*answers, names))
                if not place.branch.repeat:
                    yield self._on(place, split, tensors)
            if "weight_counts" in tensors:
                found.weights += _weights(place, tensors["weight_counts"])
        self._counted = found

    def _on(self, place: ModelFolder, split: str, tensors: dict[str, torch.Tensor]) -> pa.Table:
        names = self._passports[place]["classes"]
        labels = tensors[f"{split}.labels"]
        probabilities = tensors[f"{split}.logits"].double().softmax(1)
        confidence, predicted = probabilities.max(1)
        count, named = len(labels), np.array(names, dtype=object)
        key = key_of(place) | {"split": split}
        columns = {name: pa.repeat(pa.scalar(value), count) for name, value in key.items()}
        columns |= {
            "index": pa.array(np.arange(count)),
            "label": pa.array(labels.int().numpy()),
            "label_name": pa.array(named[labels.numpy()], pa.string()),
            "predicted": pa.array(predicted.int().numpy()),
            "predicted_name": pa.array(named[predicted.numpy()], pa.string()),
            "confidence": pa.array(confidence.float().numpy()),
            "probability_true": pa.array(
                probabilities.gather(1, labels[:, None])[:, 0].float().numpy()
            ),
        }
        return pa.table(columns)


def _weights(place: ModelFolder, counts: torch.Tensor) -> list[dict[str, object]]:
    return [
        training_of(place)
        | {"bin_left": index / WEIGHT_BINS, "bin_right": (index + 1) / WEIGHT_BINS}
        | {"count_right": right, "count_wrong": wrong}
        for index, (right, wrong) in enumerate(counts.T.long().tolist())
    ]
