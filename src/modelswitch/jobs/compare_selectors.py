"""Comparing selectors and baselines on stored outputs, all seeds: the selection tables."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from modelswitch.config import methods
from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.config.job import SelectorJob
from modelswitch.graph import Graph
from modelswitch.lineage import TABLES_FOLDER, Replicate
from modelswitch.randomness import derive_seed
from modelswitch.report.summaries.selection import markdown
from modelswitch.results import findings, pooling
from modelswitch.results.abstaining import RiskCoverage
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.selection import summarise
from modelswitch.results.table_files import write_table
from modelswitch.selector.contest import Contest, Rivals, fit_baselines, together
from modelswitch.selector.deciding import stored
from modelswitch.selector.graph import SelectorGraph
from modelswitch.selector.outputs import load_outputs
from modelswitch.storage import artifacts, atomic


class _Seed:
    """The contests of one seed: selectors over the same recognisers share outputs and rivals."""

    def __init__(self, graph: SelectorGraph, branch: str, results: Path) -> None:
        self._graph, self._branch, self._results = graph, branch, results
        self._rivals: dict[tuple[str, ...], Rivals] = {}

    def contest(self, name: str) -> Contest:
        """One selector and its rivals, from files."""
        graph, job = self._graph, self._graph.job(self._branch, name)
        rivals = self._of(job)
        tensors, passport = artifacts.load(
            self._results / graph.model(self._branch, name),
            kind="selector",
            job_digest=digest(job.canonical()),
            data=list(rivals.outputs.data),
        )
        return Contest(rivals, stored(tensors, passport, job.spec, len(graph.modalities)), job.spec)

    def _of(self, job: SelectorJob) -> Rivals:
        files = self._graph.files(self._branch, job.name)
        key = tuple(files)
        if key not in self._rivals:
            outputs = load_outputs(job.recognisers, [self._results / path for path in files])
            seed = derive_seed(job.seed, "fusion") % 2**32
            known = self._graph.degradations
            baselines = fit_baselines(outputs["validation"], known, seed)
            self._rivals[key] = Rivals(outputs["test"], outputs["validation"], baselines, known)
        return self._rivals[key]


def _made_from(graph: SelectorGraph, branch: str, name: str, results: Path) -> dict[str, str]:
    """What a comparison is made from but its seed, which decides what is pooled, and what its
    selector found out about itself."""
    job = graph.job(branch, name)
    settings = job.model_dump(mode="json", exclude={"name", "seed", "recognisers"})
    listened = sorted(zip(job.recognisers, graph.files(branch, name), strict=True),
                      key=lambda pair: pair[0].modality)  # fmt: skip
    passports = [artifacts.read_passport(results / path) for _, path in listened]
    selector = artifacts.read_passport(results / graph.model(branch, name))
    return {
        "recognisers": canonical({one.modality: one.lineage for one, _ in listened}),
        "settings": digest(canonical(settings)),
        "code": digest(canonical([selector["code"], *(p["code"] for p in passports)])),
        "data": digest(canonical([passport["data"] for passport in passports])),
        **findings.found(selector, "at_chance"),
    }


def _abstaining(contest: Contest, allowed: float) -> Iterator[tuple[str, dict[str, object]]]:
    """Rows of the tables of methods that may say that they cannot tell, with the table's name."""
    thresholds = {
        method: RiskCoverage.of(*map(np.asarray, pair)).threshold(allowed)
        for method, pair in contest.sure_on_held_back().items()
    }
    for at, parts in contest.sure.items():
        for method, (sure, right) in together(parts).items():
            curve = RiskCoverage.of(np.asarray(sure), np.asarray(right))
            # Which baseline is the chosen one differs by situation, and so does what it is sure by.
            by = contest.rivals.chosen(at) if method == methods.CHOSEN else method
            coverage, risk = curve.at(thresholds[by])
            about: dict[str, object] = {"method": method, "situation": at}
            row = {"images": len(right), "aurc": curve.aurc, "allowed": allowed}
            yield "abstaining", about | row | {"coverage": coverage, "risk": risk}
            for point in curve.points():
                yield "risk_coverage", about | point


def compare_selectors(experiment: Experiment, results: Path) -> None:
    """Write selection, confusion and summary tables from what is stored below ``results``."""
    graph = SelectorGraph(Graph(experiment))
    selection, confusion = [], []
    tables: dict[str, list[dict[str, object]]] = {"abstaining": [], "risk_coverage": []}
    before, of_seed = "", None
    for branch, name in graph.pairs():
        if branch != before or of_seed is None:
            before, of_seed = branch, _Seed(graph, branch, results)
        key = {
            "experiment": experiment.name,
            "seed": Replicate.parse(branch).seed,
            "selector": name,
        }
        one = of_seed.contest(name)
        made_from = _made_from(graph, branch, name, results)
        selection += [key | row | made_from for row in one.rows()]
        for told, row in _abstaining(one, graph.settings.risk):
            tables[told].append(key | row)
        confusion += [key | row for row in one.confusions()]
    columns = [column.name for column in SCHEMAS["selection"].columns]
    frame, counts = pd.DataFrame(selection)[columns], pd.DataFrame(confusion)
    folder = results / TABLES_FOLDER.format(experiment=experiment.name)
    write_table(folder, "selection", frame)
    for table, content in tables.items():
        names = [column.name for column in SCHEMAS[table].columns]
        write_table(folder, table, pd.DataFrame(content, columns=names))
    apart = pooling.selectors_apart(frame, [])
    rows = summarise(pooling.without(frame, apart, "selector"))
    for name, untidy in (("confusion", counts), ("selection_summary", pd.DataFrame(rows))):
        with atomic.replacing(folder / f"{name}.csv") as part:
            untidy.to_csv(part, index=False)
    remarks = [*(a.line for a in apart), *findings.of_selectors(frame)]
    text = markdown(rows, pooling.without(counts, apart, "selector"), remarks)
    atomic.write_text(folder / "selection_summary.md", text)
