"""Telling people apart whom no model was trained with, all seeds: the tables of verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch

from modelswitch.config import methods
from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.config.job import Recogniser, SelectorJob
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.jobs.guards import report
from modelswitch.lineage import TABLES_FOLDER
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import write_table
from modelswitch.results.verification import Curve
from modelswitch.selector.contest import known_temperatures
from modelswitch.selector.deciding import stored
from modelswitch.selector.gate import Gate
from modelswitch.selector.graph import SelectorGraph
from modelswitch.selector.outputs import (
    ABSENT,
    CLEAN,
    Condition,
    all_conditions,
    load_outputs,
    situation,
)
from modelswitch.selector.verification import (
    Embedded,
    Fusions,
    Pairs,
    People,
    cannot_decide,
    selector_scores,
)
from modelswitch.storage import artifacts

Scored = dict[str, torch.Tensor]


def load_embedded(recognisers: Sequence[Recogniser], paths: Sequence[str | Path]) -> Embedded:
    """What recognisers made of the same people, in the order of the modalities' names; raises
    `UserError` if files do not belong together."""
    ordered = sorted(zip(recognisers, paths, strict=True), key=lambda pair: pair[0].modality)
    files = [artifacts.load(p, kind="embeddings", job_digest=r.digest) for r, p in ordered]
    first, passport = files[0]
    for (_, path), (tensors, own) in zip(ordered, files, strict=True):
        same = torch.equal(tensors["labels"], first["labels"])
        if not same or (own["sets"], own["people"]) != (passport["sets"], passport["people"]):
            raise UserError(f"{path}: is of other people or sets than {ordered[0][1]}")
    sets = (CLEAN, *((name, level) for name, level in passport["sets"]))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(passport["owners"]))}
    return Embedded(
        tuple(recogniser.modality for recogniser, _ in ordered),
        sets,
        tuple(tensors["vectors"] for tensors, _ in files),
        first["labels"],
        torch.tensor([numbers[name] for name in passport["owners"]]),
    )


class _Trial:
    """The recognisers of one seed on people in no training, and what is fitted there."""

    def __init__(self, graph: SelectorGraph, job: SelectorJob, files: Sequence[Path]) -> None:
        settings = graph.settings.verification
        assert settings is not None, "asked for where there is one"
        self.known = graph.degradations
        embedded = load_embedded(job.recognisers, files)
        self.modalities = embedded.modalities
        self.people = People(embedded, settings, job.seed)
        self.fusions = Fusions.fit(self.people, self.known, job.seed)
        self.scores: dict[str, dict[str, list[torch.Tensor]]] = {}
        self.genuine: dict[str, list[torch.Tensor]] = {}
        for at, pairs in self.pairs():
            self.genuine.setdefault(at, []).append(pairs.genuine.flatten())
            for name, own in self.fusions.scores(pairs).items():
                self.scores.setdefault(at, {}).setdefault(name, []).append(own.flatten())

    def pairs(self) -> Iterator[tuple[str, Pairs]]:
        """Pairs of the people who are tested, by situation, under each condition in turn."""
        condition: Condition
        for condition in all_conditions(self.modalities, self.known):
            at = situation(condition, self.modalities, self.known)
            if at == ABSENT:
                # Of two cosines one is missing then, and nothing is left to fuse.
                continue
            yield at, self.people.pairs(condition, self.people.tested)

    def curve(self, at: str, scores: Sequence[torch.Tensor]) -> Curve:
        return Curve.of(torch.cat(list(scores)).numpy(), torch.cat(self.genuine[at]).numpy())


def _selector(
    trial: _Trial, graph: SelectorGraph, branch: str, name: str, results: Path
) -> tuple[dict[str, list[torch.Tensor]], str]:
    """A selector's scores by situation, or why it has none."""
    job = graph.job(branch, name)
    tensors, passport = artifacts.load(
        results / graph.model(branch, name), kind="selector", job_digest=digest(job.canonical())
    )
    outputs = load_outputs(job.recognisers, [results / p for p in graph.files(branch, name)])
    classes = outputs["validation"].logits.shape[3]
    reason = cannot_decide(job.spec, 1 + len(trial.people.fitted), classes)
    if reason:
        return {}, reason
    network = stored(tensors, passport, job.spec, len(graph.modalities))
    temperatures = (
        network.temperatures
        if isinstance(network, Gate)
        else known_temperatures(outputs["validation"], graph.degradations)
    )
    found: dict[str, list[torch.Tensor]] = {}
    for at, pairs in trial.pairs():
        said = selector_scores(network, job.spec, temperatures, trial.fusions, pairs)
        found.setdefault(at, []).append(said.flatten())
    return found, ""


def verify(experiment: Experiment, results: Path) -> None:
    """Write verification.csv and det.csv from what is stored below ``results``."""
    graph = SelectorGraph(Graph(experiment))
    rows: list[dict[str, object]] = []
    points: list[dict[str, object]] = []
    trials: dict[tuple[str, ...], _Trial] = {}
    fused: dict[tuple[tuple[str, ...], str, str], Curve] = {}
    before = ""
    for branch, name in graph.pairs():
        if branch != before:
            # Scores of all seeds would fill the memory.
            trials, fused, before = {}, {}, branch
        job = graph.job(branch, name)
        files = [results / path for path in graph.embeddings(branch, name)]
        key = tuple(map(str, files))
        if key not in trials:
            trials[key] = _Trial(graph, job, files)
            fused |= {
                (key, at, method): trials[key].curve(at, scores)
                for at, by_method in trials[key].scores.items()
                for method, scores in by_method.items()
            }
        trial = trials[key]
        about = {
            "experiment": experiment.name,
            "seed": job.seed,
            "selector": name,
            "people": trial.people.count,
            "recognisers": canonical({r.modality: r.lineage for r in job.recognisers}),
            "cannot": "",
        }
        found, reason = _selector(trial, graph, branch, name, results)
        if reason:
            report(f"selector {name}: {reason}")
            rows.append(about | {"method": methods.SELECTOR, "situation": "", "cannot": reason})
        curves = {(at, methods.SELECTOR): trial.curve(at, own) for at, own in found.items()}
        curves |= {(at, m): curve for (own, at, m), curve in fused.items() if own == key}
        for (at, method), curve in curves.items():
            rows.append(about | {"method": method, "situation": at} | curve.row())
            told = {c: about[c] for c in ("experiment", "seed", "selector")}
            points += [told | {"method": method, "situation": at} | p for p in curve.points()]
    folder = results / TABLES_FOLDER.format(experiment=experiment.name)
    for table, content in (("verification", rows), ("det", points)):
        columns = [column.name for column in SCHEMAS[table].columns]
        write_table(folder, table, pd.DataFrame(content, columns=columns))
