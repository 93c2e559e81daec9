"""The report of 1,000 chains from five seeds each: time, memory, and the size of its page.

Every file that trainings would have left is there, with answers that are drawn: a teacher, and
students that differ in λ, temperature and δ. Then workflow/scripts/report.py runs on them, as the
workflow runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch
from measure import ROOT, Figure, Part, arguments, finish, note

from modelswitch.config.experiment import Experiment
from modelswitch.graph import Graph
from modelswitch.jobs.write import write_history
from modelswitch.lineage import COSTS_FILE, ModelFolder
from modelswitch.models.build import build
from modelswitch.models.designs import model_costs
from modelswitch.storage import artifacts

SEEDS, IMAGES, HELD_BACK, CLASSES, EPOCHS = 5, 1_000, 200, 10, 20
SHAPE = (8, 8, 1)
GOALS = {"time": 60.0, "memory": 2.0, "page": 20.0}


def experiment(chains: int, seeds: int) -> Experiment:
    """At least as many chains, each of its own λ, temperature and δ, and some claims."""
    softs = [round(0.05 + 0.09 * i, 3) for i in range(10)]
    temperatures = [1 + 0.5 * i for i in range(10)]
    deltas = [round(0.01 * i, 3) for i in range(-(-chains // 100))]
    return Experiment.model_validate(
        {
            "name": "many",
            "data": {"source": "digits"},
            "models": {
                "teacher": {"family": "plain", "stages": [[8], [16]]},
                "student": {"family": "plain", "stages": [[4], [8]]},
            },
            "transfers": {"kd": {"weighting": {"rule": "correctness", "delta": 0.1}}},
            "chains": {"scratch": "student", "direct": "teacher/student@kd"},
            "sweeps": {
                "search": {
                    "chain": "teacher/student@kd",
                    "over": {
                        "soft": softs,
                        "temperature": temperatures,
                        "weighting.delta": deltas,
                    },
                }
            },
            "claims": {"distillation_helps": {"better": "direct", "than": "scratch"}},
            "seeds": list(range(seeds)),
            "training": {"epochs": EPOCHS},
        }
    )


def store(graph: Graph, place: ModelFolder, folder: Path, labels: dict[str, torch.Tensor]) -> None:
    """What a training leaves: outputs, history, weights."""
    job = graph.train_job(place)
    stream = torch.Generator().manual_seed(abs(hash((str(place.lineage), place.branch.seed))))
    outputs = {}
    for split, truth in labels.items():
        logits = torch.randn(len(truth), CLASSES, generator=stream)
        logits[torch.arange(len(truth)), truth] += 2.5
        outputs |= {f"{split}.logits": logits, f"{split}.labels": truth}
    passport = {
        "job": job.model_dump(mode="json"),
        "job_digest": job.digest,
        "lineage": job.lineage,
        "branch": job.branch,
        "data": "drawn",
        "code": "none",
        "package_code": "none",
        "classes": [str(label) for label in range(CLASSES)],
        "image_shape": list(SHAPE),
        "versions": artifacts.package_versions(),
        "device": "cpu",
        "threads": 1,
        "epochs": EPOCHS,
        "precision": "float32",
        "train_seconds": 1.0,
    }
    architecture = graph.model(place)
    weights = build(architecture, SHAPE[2], CLASSES).state_dict()
    own = passport | {"kind": "model", "architecture": architecture.model_dump(mode="json")}
    (folder / place.folder).mkdir(parents=True, exist_ok=True)
    artifacts.save(folder / place.file("model.safetensors"), weights, own)
    artifacts.save(
        folder / place.file("outputs.safetensors"), outputs, passport | {"kind": "outputs"}
    )
    rows = [
        {
            "epoch": epoch + 1,
            "learning_rate": 0.1,
            "loss": 2.0 / (epoch + 1),
            "validation_accuracy": 0.8 - 0.6 / (epoch + 1),
            "validation_nll": 1.0,
            "seconds": 0.05,
        }
        for epoch in range(EPOCHS)
    ]
    write_history(str(folder / place.file("history.csv")), rows, "train")


def write_costs(configured: Experiment, results: Path) -> None:
    """What measuring all models leaves."""
    costs = model_costs(configured, SHAPE, CLASSES)
    measured = {name: asdict(cost) | {"latency_ms": 0.1} for name, cost in costs.items()}
    [dataset] = configured.datasets
    path = results / COSTS_FILE.format(experiment=configured.name, dataset=dataset)
    path.write_text(json.dumps(measured), encoding="utf-8")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--chains", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--images", type=int, default=IMAGES, help="of the test set")
    parser.add_argument("--keep", type=Path, help="folder for the results, made anew if not there")
    args = parser.parse_args()
    chains = 100 if args.quick else args.chains
    with tempfile.TemporaryDirectory(prefix="modelswitch-report-") as name:
        folder = args.keep or Path(name)
        configured = experiment(chains, args.seeds)
        graph = Graph(configured)
        if not (folder / "results").exists():
            note(f"files of {len(graph.models())} trainings …")
            draw = torch.Generator().manual_seed(0)
            counts = {"validation": HELD_BACK, "test": args.images}
            labels = {
                split: torch.randint(CLASSES, (count,), generator=draw)
                for split, count in counts.items()
            }
            for place in graph.models():
                store(graph, place, folder / "results", labels)
            write_costs(configured, folder / "results")
        (folder / "experiment.json").write_text(configured.model_dump_json(), encoding="utf-8")
        note("the report …")
        begun = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                *(ROOT / "workflow" / "scripts" / "report.py", "--results", folder / "results"),
                *("--experiment", folder / "experiment.json"),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        _, status, usage = os.wait4(process.pid, 0)
        spent = time.perf_counter() - begun
        if status:
            raise RuntimeError(f"the report ended with status {os.waitstatus_to_exitcode(status)}")
        page = (folder / "results" / "many" / "results.html").stat().st_size
    count = len(configured.lineages)
    figures = [
        Figure("time", spent, "s", goal=GOALS["time"], below=True),
        Figure("peak memory", 1024 * usage.ru_maxrss / 1e9, "GB", goal=GOALS["memory"], below=True),
        Figure("its page", page / 1e6, "MB", goal=GOALS["page"], below=True),
    ]
    lines = [
        f"{count:,} chains, {len(graph.models()):,} trainings, {args.images:,} test images and "
        f"{HELD_BACK} for validation, {CLASSES} classes, {EPOCHS} epochs; one process, one thread."
    ]
    title = f"The report of {count:,} chains from {args.seeds} seeds"
    finish(Part("report", title, figures, lines), args.to)


if __name__ == "__main__":
    main()
