"""Tidy tables of an experiment, read from the files that trainings left; nothing is trained.

One row of ``models`` is one model of one seed on one split. What each column means is in
docs/tables.md.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from modelswitch.config.architecture import Architecture
from modelswitch.config.base import canonical, digest
from modelswitch.config.deploy import exported_file
from modelswitch.config.experiment import Experiment
from modelswitch.config.metrics import of_models
from modelswitch.config.models import origin_of
from modelswitch.graph import Graph
from modelswitch.lineage import COSTS_FILE, DATA_FILE, Lineage, ModelFolder
from modelswitch.models.build import stored_architecture
from modelswitch.models.cost import Cost, cost
from modelswitch.models.designs import model_costs
from modelswitch.results import findings
from modelswitch.results.answers import Answers, key_of, training_of
from modelswitch.results.devices import selector_files
from modelswitch.results.same_data import refuse_other_data
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import joined_csv, write_table
from modelswitch.results.timings import selector_timings, timings
from modelswitch.storage import artifacts

# Of a job, what says which one it is, not what it does.
ITS_OWN = frozenset({"dataset", "branch", "lineage", "hint", "matched", "origin", "code"})
# Of a passport, what can change the bits of equal trainings and no more.
SURROUNDINGS = ("device", "threads", "precision", "versions")


class StoredResults:
    """The stored results of an experiment, read once each.

    Args:
        experiment: its configuration.
        results: the folder of all results.
    """

    def __init__(self, experiment: Experiment, results: str | Path = "results") -> None:
        self.experiment, self.results = experiment, Path(results)
        self.graph = Graph(experiment)
        # A search must not even have the test set's figures lying beside its own.
        search = experiment.report.split == "validation"
        self.splits = ("validation",) if search else ("validation", "test")
        places = self.graph.models()
        there = {p: self._path(p, "outputs.safetensors").exists() for p in places}
        self.places = [p for p in places if there[p]]
        self.missing = [p for p in places if not there[p]]
        self._passports = {place: self._passport(place) for place in self.places}
        self.answers = Answers(self.graph, self.results, self._passports, self.splits)
        refuse_other_data(experiment, self.results, self._passports)
        self._costs = {
            dataset: self._costs_on(dataset)
            for dataset in dict.fromkeys(place.dataset for place in self.places)
        }
        self._labels: dict[Lineage, list[str]] = {}
        for label, lineage in experiment.lineages.items():
            self._labels.setdefault(lineage, []).append(label)

    def _path(self, place: ModelFolder, name: str) -> Path:
        return self.results / place.file(name)

    def _passport(self, place: ModelFolder) -> dict[str, Any]:
        path = self._path(place, "outputs.safetensors")
        passport = artifacts.read_passport(path)
        expected = {"kind": "outputs", "job_digest": self.graph.train_job(place).digest}
        artifacts.check_passport(path, passport, expected)
        return passport

    def _costs_on(self, dataset: str) -> dict[str, dict]:
        """Sizes of the models; of a run that was stopped before it measured them, all but latency,
        for the images that its models answered.

        That job waits until it has the machine to itself, so a stopped run often lacks it. Results
        from before the images' size was kept with them say nothing.
        """
        path = self.results / COSTS_FILE.format(experiment=self.experiment.name, dataset=dataset)
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        passports = (self._passports[place] for place in self.places if place.dataset == dataset)
        seen = next((p for p in passports if "image_shape" in p), None)
        if seen is None:
            return {}
        height, width, channels = seen["image_shape"]
        shape = (height, width, channels)
        found = {
            design: architecture
            for design, place in self.graph.measured(dataset).items()
            if (architecture := self._architecture(place)) is not None
        }
        costs = model_costs(self.experiment, shape, len(seen["classes"]), found)
        return {name: dataclasses.asdict(cost) for name, cost in costs.items()}

    def models(self) -> pd.DataFrame:
        rows = []
        for place in self.places:
            passport = self._passports[place]
            fixed = training_of(place) | self._origin(place) | self._size(place)
            fixed |= {key: passport[key] for key in ("epochs", "precision")}
            # Results from before one of these was recorded stay readable.
            stored = [metric.name for metric in of_models() if metric.source == "passport"]
            fixed |= {name: passport.get(name) for name in stored}
            fixed |= findings.found(passport)
            rows += [
                fixed | {"split": split} | measured
                for split, measured in self.answers.counted.measured[place].items()
            ]
        return pd.DataFrame(rows)

    def _origin(self, place: ModelFolder) -> dict[str, object]:
        step, parent = place.lineage.last, place.lineage.parent
        transfer = self.graph.transfer(place)
        result: dict[str, object] = {
            "model": step.model,
            "transfer": step.transfer or "",
            "parent": str(parent or ""),
            "chains": ";".join(self._labels.get(place.lineage, [])),
            "origin": (
                "quantised"
                if self.graph.quantise(place) is not None
                else origin_of(self.graph.model(place))
            ),
        }
        result |= self._made_from(place)
        if transfer is not None:
            weighting = transfer.weighting
            result |= {
                "rule": weighting.rule,
                "delta": getattr(weighting, "delta", None),
                "soft": transfer.soft,
                "temperature": transfer.temperature,
                "output_loss": transfer.separated.loss.name,
                "hint": transfer.hint_modes,
                "hint_losses": "+".join(transfer.hint_losses),
                "views": transfer.views,
            }
        return result

    def _made_from(self, place: ModelFolder) -> dict[str, str]:
        """All that a model is made from but its seed: what decides which models are pooled."""
        passport = self._passports[place]
        own = passport.get("job", {}).get("code", {})
        code = {}
        # Results from before it was stored by itself know it only where there is no other code.
        package = passport.get("package_code") or ("" if own else passport.get("code"))
        if package:
            # Adopting is other code than training, which says nothing about what is trained.
            adopted = self.graph.is_adopted(place)
            code["distil" if place.lineage.parent else "adopt" if adopted else "train"] = package
        weights = self._path(place, "model.safetensors")
        surroundings = {key: passport[key] for key in SURROUNDINGS if key in passport}
        surroundings |= passport.get("arithmetic", {})
        return {
            "settings": canonical(self._settings(place)),
            "code": canonical(code | own),
            "data": passport.get("data", ""),
            "shapes": digest(canonical(artifacts.shapes_of(weights))) if weights.exists() else "",
            "surroundings": canonical(surroundings),
        }

    def _settings(self, place: ModelFolder) -> dict[str, Any]:
        """All of the configuration that a training depends on but names and the seed."""
        job = self.graph.train_job(place)
        settings = job.model_dump(mode="json", exclude={*ITS_OWN, "teachers", "transfer"})
        settings["teachers"] = [
            teacher.model_dump(mode="json", include={"lineage", "model"})
            for teacher in job.teachers
        ]
        if job.transfer is not None:
            # Changes to `training` are in it; of those for a hint nothing else tells.
            settings["transfer"] = job.transfer.model_dump(mode="json", exclude={"training"})
            if job.transfer.hint is not None:
                hint = settings["transfer"]["hint"]
                del hint["training"]
                if job.transfer.hint.mode == "pretrain":
                    training = self.experiment.hint_training_of(place.lineage.last)
                    hint["training"] = training.model_dump(mode="json")
        return settings

    def _size(self, place: ModelFolder) -> dict[str, object]:
        model = self._path(place, "model.safetensors")
        result: dict[str, object] = {"file_bytes": model.stat().st_size if model.exists() else None}
        result |= dict.fromkeys(field.name for field in dataclasses.fields(Cost))
        design = self.experiment.design(place.lineage)
        result |= self._costs.get(place.dataset, {}).get(design, {})
        if design in self.experiment.estimated:
            # Every seed's weights decide for themselves; only latency is the first one's.
            result |= self._own_cost(place)
        return result

    def _architecture(self, place: ModelFolder) -> Architecture | None:
        """What a place's network is, if its file is there."""
        path = self._path(place, "model.safetensors")
        if not path.exists():
            return None
        return stored_architecture(artifacts.read_passport(path), path)

    def _own_cost(self, place: ModelFolder) -> dict[str, object]:
        architecture = self._architecture(place)
        if architecture is None:
            return dict.fromkeys(field.name for field in dataclasses.fields(Cost))
        passport = self._passports[place]
        height, width, channels = passport["image_shape"]
        found = cost(architecture, (height, width, channels), len(passport["classes"]))
        return dataclasses.asdict(found)

    def _prepared(self) -> Iterator[tuple[str, dict]]:
        """The passports of the prepared data sets, of those that are there and still the same that
        the models were trained on."""
        for dataset in self.experiment.datasets:
            name = DATA_FILE.format(experiment=self.experiment.name, dataset=dataset)
            if (self.results / name).exists():
                passport = artifacts.read_passport(self.results / name)
                passports = (self._passports[p] for p in self.places if p.dataset == dataset)
                used = {stored["data"] for stored in passports if "data" in stored}
                if used <= {passport["checksum"]}:
                    yield dataset, passport

    def reading(self) -> pd.DataFrame:
        """One row for each fact about how a data set was read."""
        return pd.DataFrame(
            [
                {"dataset": dataset, "fact": fact, "found": found}
                for dataset, passport in self._prepared()
                for fact, found in passport.get("reading", {}).items()
            ]
        )

    def data_classes(self) -> pd.DataFrame:
        """One row for each class of a data set: its number, its name, its images."""

        def shown(images: dict[str, list[int]]) -> dict[str, list[int]]:
            return {s: counts for s, counts in images.items() if s in ("train", *self.splits)}

        return _joined(
            pd.DataFrame({"label_name": passport["class_names"], **shown(passport["images"])})
            .rename_axis("label")
            .reset_index()
            .assign(dataset=dataset)
            for dataset, passport in self._prepared()
            if "images" in passport
        )

    def history(self) -> pd.DataFrame:
        paths = (
            (place, self._path(place, name))
            for place in self.places
            for name in ("hint_history.csv", "history.csv")
        )
        found = [(training_of(place), path) for place, path in paths if path.exists()]
        return joined_csv(found, SCHEMAS["history"])

    def predictions(self) -> pd.DataFrame:
        """One row for each model, seed and image: what was predicted, and how surely."""
        return self.answers.predictions()

    def per_class(self) -> pd.DataFrame:
        return self.answers.counted.per_class.frame()

    def class_confusions(self) -> pd.DataFrame:
        return self.answers.counted.confusions.frame()

    def weights(self) -> pd.DataFrame:
        """Histogram of the soft weights per sample in the last epoch."""
        return pd.DataFrame(self.answers.counted.weights)

    def responses(self) -> pd.DataFrame:
        """Stored responses: how many views of how many images, and the share answered wrong."""
        rows = []
        for place in self.places:
            names = [f"responses{views}.safetensors" for views in self.graph.views_stored]
            paths = [path for name in names if (path := self._path(place, name)).exists()]
            if paths:
                passports = [artifacts.read_passport(path) for path in paths]
                jobs = [passport["job"] for passport in passports]
                rows.append(
                    key_of(place)
                    | {"views": sum(job["stored_views"] for job in jobs), "folds": jobs[0]["folds"]}
                    # Of as many views in every file.
                    | {"teacher_wrong": sum(p["wrong"] for p in passports) / len(passports)}
                )
        return pd.DataFrame(rows)

    def exports(self) -> pd.DataFrame:
        """Every exported file with what was found when it was run on the test set."""
        rows = []
        for place, name, path in self._exported():
            known = json.loads(path.read_text(encoding="utf-8"))
            found = known["judgement"]
            rows.append(
                key_of(place)
                | {"format": name, "file_bytes": known["bytes"]}
                | {key: found[key] for key in ("images", "accuracy", "network_accuracy")}
                | {key: found[key] for key in ("agreement", "largest_difference")}
                # Files from before these were looked at stay readable.
                | {key: found.get(key) for key in ("balanced_accuracy", "ece")}
            )
        return pd.DataFrame(rows)

    def _exported(self) -> Iterator[tuple[ModelFolder, str, Path]]:
        """Folder, format and description of every exported file that is there."""
        deploy = self.experiment.deploy
        for place in self.graph.exported():
            for name in () if deploy is None else deploy.formats:
                path = self._path(place, f"{exported_file(name)}.json")
                if path.exists():
                    yield place, name, path

    def latency(self) -> pd.DataFrame:
        """Times of exported files, see `results.timings`."""
        return timings(self.experiment, self.results)

    def selector_exports(self) -> pd.DataFrame:
        """Every file of a selector and its recognisers, see `results.devices`."""
        return selector_files(self.experiment, self.results)

    def selector_latency(self) -> pd.DataFrame:
        """Times of these, see `results.timings`."""
        return selector_timings(self.experiment, self.results)


def _joined(frames: Iterator[pd.DataFrame]) -> pd.DataFrame:
    found = list(frames)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def write(stored: StoredResults, folder: str | Path) -> None:
    """Write every table that is collected into ``folder``: CSV, or Parquet for the predictions."""
    # First: what other tables need of the answers is counted on the way.
    stored.answers.write_predictions(Path(folder))
    for name in (name for name, schema in SCHEMAS.items() if schema.collected):
        if name != "predictions":
            write_table(folder, name, getattr(stored, name)())
