"""Comparing selectors and baselines on stored outputs, all seeds: the selection tables."""

from pathlib import Path

import pandas as pd

from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.graph import Graph
from modelswitch.lineage import TABLES_FOLDER, Replicate
from modelswitch.randomness import derive_seed
from modelswitch.report.summaries.selection import markdown
from modelswitch.results import findings, pooling
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.selection import summarise
from modelswitch.results.tables import write_table
from modelswitch.selector.contest import Contest, fit_baselines
from modelswitch.selector.deciding import stored
from modelswitch.selector.graph import SelectorGraph
from modelswitch.selector.outputs import load_outputs
from modelswitch.storage import artifacts, atomic


def _contest(graph: SelectorGraph, branch: str, name: str, results: Path) -> Contest:
    """One selector and its rivals, from files."""
    job = graph.job(branch, name)
    files = [results / path for path in graph.files(branch, name)]
    outputs = load_outputs(job.recognisers, files)
    seed = derive_seed(job.seed, "fusion") % 2**32
    baselines = fit_baselines(outputs["validation"], graph.degradations, seed)
    tensors, passport = artifacts.load(
        results / graph.model(branch, name),
        kind="selector",
        job_digest=digest(job.canonical()),
        data=list(outputs["test"].data),
    )
    selector = stored(tensors, passport, job.spec, len(graph.modalities))
    return Contest(
        outputs["test"],
        outputs["validation"],
        baselines,
        selector,
        job.spec,
        graph.degradations,
    )


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
        made_from = _made_from(graph, branch, name, results)
        selection += [key | row | made_from for row in one.rows()]
        confusion += [key | row for row in one.confusions()]
    columns = [column.name for column in SCHEMAS["selection"].columns]
    frame, counts = pd.DataFrame(selection)[columns], pd.DataFrame(confusion)
    folder = results / TABLES_FOLDER.format(experiment=experiment.name)
    write_table(folder, "selection", frame)
    apart = pooling.selectors_apart(frame, [])
    rows = summarise(pooling.without(frame, apart, "selector"))
    for table, content in (("confusion", counts), ("selection_summary", pd.DataFrame(rows))):
        with atomic.replacing(folder / f"{table}.csv") as part:
            content.to_csv(part, index=False)
    remarks = [*(a.line for a in apart), *findings.of_selectors(frame)]
    text = markdown(rows, pooling.without(counts, apart, "selector"), remarks)
    atomic.write_text(folder / "selection_summary.md", text)
