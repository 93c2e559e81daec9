"""Comparing selectors and baselines on stored outputs, all seeds: the selection tables."""

from pathlib import Path

import pandas as pd

from modelswitch.config.base import digest
from modelswitch.config.experiment import Experiment
from modelswitch.graph import Graph
from modelswitch.lineage import TABLES_FOLDER, Replicate
from modelswitch.randomness import derive_seed
from modelswitch.report.summaries.selection import markdown
from modelswitch.results.selection import summarise
from modelswitch.selector.contest import Contest, fit_baselines
from modelswitch.selector.graph import SelectorGraph
from modelswitch.selector.network import Selector
from modelswitch.selector.outputs import load_outputs
from modelswitch.storage import artifacts, atomic


def _contest(graph: SelectorGraph, branch: str, name: str, results: Path) -> Contest:
    """One selector and its rivals, from files."""
    job = graph.job(branch, name)
    outputs = load_outputs(job.recognisers, [results / file for file in graph.files(branch, name)])
    seed = derive_seed(job.seed, "fusion") % 2**32
    baselines = fit_baselines(outputs["validation"], graph.degradations, seed)
    tensors, passport = artifacts.load(
        results / graph.model(branch, name), kind="selector", job_digest=digest(job.canonical())
    )
    selector = Selector(passport["inputs"], len(graph.modalities), job.spec.hidden)
    selector.load_state_dict(tensors)
    return Contest(outputs["test"], baselines, selector, job.spec, graph.degradations)


def compare_selectors(experiment: Experiment, results: Path) -> None:
    """Write selection, confusion and summary tables from what is stored below ``results``."""
    graph = SelectorGraph(Graph(experiment))
    selection, confusion = [], []
    for branch, name in graph.pairs():
        key = {
            "experiment": experiment.name,
            "seed": Replicate.parse(branch).seed,
            "selector": name,
        }
        one = _contest(graph, branch, name, results)
        selection += [key | row for row in one.rows()]
        confusion += [key | row for row in one.confusions()]
    frame = pd.DataFrame(selection)
    columns = ["experiment", "seed", "selector", "method", "degradation", "side", "level", "seen"]
    frame = frame[[*columns, "images", "selection_accuracy", "accuracy"]]
    counts = pd.DataFrame(confusion)
    rows = summarise(frame)
    tables = {"selection": frame, "confusion": counts, "selection_summary": pd.DataFrame(rows)}
    folder = results / TABLES_FOLDER.format(experiment=experiment.name)
    for table, content in tables.items():
        with atomic.replacing(folder / f"{table}.csv") as part:
            content.to_csv(part, index=False, float_format="%.6g")
    with atomic.replacing(folder / "selection_summary.md") as part:
        part.write_text(markdown(rows, counts), encoding="utf-8")
