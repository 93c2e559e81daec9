"""Compare selectors and baselines on stored outputs, all seeds: the selection tables."""

import argparse
from pathlib import Path

import pandas as pd
import torch

from modelswitch import artifacts, configuration_file
from modelswitch.errors import run_script
from modelswitch.graph import Graph
from modelswitch.lineage import Branch, derive_seed
from modelswitch.multimodal import load_outputs
from modelswitch.objectives.selection import Selector
from modelswitch.selection import Contest, fit_baselines
from modelswitch.selection_graph import SelectionGraph
from modelswitch.selection_summary import markdown, summarise
from modelswitch.specs import digest


def contest(graph: SelectionGraph, branch: str, name: str) -> Contest:
    """One selector and its rivals, from files."""
    job = graph.job(branch, name)
    outputs = load_outputs(job.recognisers, graph.files(branch, name))
    seed = derive_seed(job.seed, "fusion") % 2**32
    baselines = fit_baselines(outputs["validation"], graph.degradations, seed)
    tensors, passport = artifacts.load(
        graph.model(branch, name), kind="selector", job_digest=digest(job.canonical())
    )
    selector = Selector(passport["inputs"], len(graph.modalities), job.spec.hidden)
    selector.load_state_dict(tensors)
    return Contest(outputs["test"], baselines, selector, job.spec, graph.degradations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="file with the configuration, as JSON")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tables", required=True, type=Path, help="folder to write to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    experiment = configuration_file.read(args.experiment)
    graph = SelectionGraph(Graph(experiment))
    selection, confusion = [], []
    for branch, name in graph.pairs():
        key = {"experiment": experiment.name, "seed": Branch.parse(branch).seed, "selector": name}
        one = contest(graph, branch, name)
        selection += [key | row for row in one.rows()]
        confusion += [key | row for row in one.confusions()]
    frame = pd.DataFrame(selection)
    columns = ["experiment", "seed", "selector", "method", "degradation", "side", "level", "seen"]
    frame = frame[[*columns, "images", "selection_accuracy", "accuracy"]]
    counts = pd.DataFrame(confusion)
    rows = summarise(frame)
    tables = {"selection": frame, "confusion": counts, "selection_summary": pd.DataFrame(rows)}
    for table, content in tables.items():
        with artifacts.replacing(args.tables / f"{table}.csv") as part:
            content.to_csv(part, index=False, float_format="%.6g")
    with artifacts.replacing(args.tables / "selection_summary.md") as part:
        part.write_text(markdown(rows, counts), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
