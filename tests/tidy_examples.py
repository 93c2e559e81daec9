"""Tidy tables with invented numbers, for tests of what reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from modelswitch.config.metrics import of_models

SIZES = {"teacher": (559_000, 5), "large": (310_000, 8), "middle": (170_000, 12),
         "small": (110_000, 16), "student": (68_800, 20)}  # fmt: skip
LEVELS = {"teacher": 0.884, "large": 0.873, "middle": 0.866, "small": 0.858, "student": 0.848}

FEW = {
    "scratch": "student",
    "direct": "teacher/student@kd",
    "chain": "teacher/middle@kd/student@kd",
}


def many_chains() -> dict[str, str]:
    """Fifteen chains of up to four switches, with and without hints."""
    routes = [[], ["middle"], ["large", "middle"], ["large", "middle", "small"], ["small"]]
    chains = {}
    for route in routes:
        for transfer in ("kd", "kd_hint_pretrain", "kd_hint_joint"):
            label = "_".join([str(len(route)), *route[-1:], transfer])
            chains[label] = "/".join(
                ["teacher", *(f"{m}@{transfer}" for m in route), f"student@{transfer}"]
            )
    return chains


def rule_chains() -> dict[str, str]:
    rules = ["fixed", "correctness_0.05", "correctness_0.1", "correctness_0.2", "correctness_0.4",
             "hard_switch", "confidence", "wsl", "adjusted", "dkd", "standardised", "shuffled",
             "matched"]  # fmt: skip
    return {rule: f"teacher/student@{rule}" for rule in rules}


def write(
    folder: Path,
    chains: dict[str, str] = FEW,
    seeds=(0, 1, 2),
    epochs: int = 12,
    images: int = 600,
    classes: int = 10,
    teacher_wrong: float = 0.05,
) -> Path:
    """Write every tidy table to `folder`: noise around levels that rise along the chain."""
    folder.mkdir(parents=True, exist_ok=True)
    lineages: dict[str, list[str]] = {}
    for label, lineage in chains.items():
        steps = lineage.split("/")
        for end in range(1, len(steps) + 1):
            lineages.setdefault("/".join(steps[:end]), [])
        lineages[lineage].append(label)
    models, history, predictions, weights = [], [], [], []
    # Whatever metrics there are: a new one needs no column of its own here.
    others = {metric.name: 0.5 for metric in of_models()}
    for seed in seeds:
        shared = np.random.default_rng(seed)
        common = shared.normal(0, 0.003)
        labels = shared.integers(0, classes, images)
        difficulty = shared.permutation(images) / images  # the same image is hard for every model
        right: dict[str, np.ndarray] = {}
        for position, (lineage, labelled) in enumerate(lineages.items()):
            rng = np.random.default_rng([seed, position])
            last = lineage.split("/")[-1]
            model, _, transfer = last.partition("@")
            parent = lineage.rpartition("/")[0]
            level = LEVELS[model] + 0.006 * lineage.count("/") + common + rng.normal(0, 0.003)
            if "_0." in transfer:
                delta = float(transfer.rpartition("_")[2])
                level += 0.012 - 0.4 * (delta - 0.1) ** 2
            correct = difficulty + rng.normal(0, 0.02, images) < level
            right[lineage] = correct
            predicted = np.where(correct, labels, (labels + 1) % classes)
            confidence = np.clip(rng.beta(8, 1.2, images) - 0.25 * ~correct, 0.1, 1)
            parent_right = right.get(parent)
            for split in ("validation", "test"):
                models.append(
                    others
                    | {
                        "experiment": "example", "dataset": "pictures", "seed": seed,
                        "lineage": lineage, "model": model, "transfer": transfer,
                        "parent": parent, "chains": ";".join(labelled), "split": split,
                        "images": images, "accuracy": correct.mean(),
                        "macro_f1": correct.mean() - 0.01, "top5": 0.99, "ties": 0.0,
                        "nll": 1 - level, "ece": 0.03 + rng.normal(0, 0.004),
                        "agreement": 0.9 if parent else None,
                        "accuracy_teacher_right":
                            correct[parent_right].mean() if parent else None,
                        "accuracy_teacher_wrong":
                            correct[~parent_right].mean() if parent else None,
                        "parent_accuracy": parent_right.mean() if parent else None,
                        "parameters": SIZES[model][0], "macs": SIZES[model][0] * 300,
                        "depth": SIZES[model][1], "file_bytes": SIZES[model][0] * 4,
                        "latency_ms": SIZES[model][1] * 0.2, "epochs": epochs,
                        "train_seconds": 30.0 * epochs, "processor_seconds": 31.0 * epochs,
                        "peak_memory_mb": 400.0, "precision": "float32",
                        **settings(transfer),
                    }
                )  # fmt: skip
            predictions.append(
                pd.DataFrame(
                    {
                        "dataset": "pictures", "seed": seed, "lineage": lineage, "split": "test",
                        "index": np.arange(images), "label": labels, "predicted": predicted,
                        "confidence": confidence,
                        "probability_true": np.where(correct, confidence, 1 - confidence),
                    }
                )
            )  # fmt: skip
            for epoch in range(1, epochs + 1):
                reached = level * (1 - np.exp(-3.5 * epoch / epochs)) + rng.normal(0, 0.004)
                history.append(
                    {
                        "experiment": "example", "dataset": "pictures", "seed": seed,
                        "lineage": lineage, "stage": "train", "epoch": epoch,
                        "learning_rate": 0.1 * (1 - epoch / epochs), "loss": 2.3 * 0.8**epoch,
                        "loss_hard": 2.3 * 0.8**epoch, "loss_soft": 2.0 * 0.8**epoch,
                        "validation_accuracy": reached, "validation_nll": 1 - reached,
                        "seconds": 30.0,
                        "teacher_wrong": teacher_wrong if parent else None,
                        "weight_soft": 0.7, "weight_hard": 0.3,
                    }
                )  # fmt: skip
            if parent:
                edges = np.linspace(0, 1, 21)
                delta = 0.1 if transfer != "fixed" else 0.0
                on_right = rng.normal(0.7 + delta, 0.04, int(5000 * (1 - teacher_wrong)))
                on_wrong = rng.normal(0.7 - delta, 0.04, int(5000 * teacher_wrong))
                counts = [np.histogram(w.clip(0, 1), edges)[0] for w in (on_right, on_wrong)]
                weights.append(
                    pd.DataFrame(
                        {
                            "dataset": "pictures", "seed": seed, "lineage": lineage,
                            "bin_left": edges[:-1], "bin_right": edges[1:],
                            "count_right": counts[0], "count_wrong": counts[1],
                        }
                    )
                )  # fmt: skip
    pd.DataFrame(models).to_csv(folder / "models.csv", index=False)
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    pd.concat(predictions).to_parquet(folder / "predictions.parquet", index=False)
    write_classes(folder, pd.concat(predictions), classes)
    if weights:
        pd.concat(weights).to_csv(folder / "weights.csv", index=False)
    return folder


def write_classes(folder: Path, predictions: pd.DataFrame, classes: int) -> None:
    """per_class.csv and class_confusions.csv, counted from predictions."""
    key = ["dataset", "seed", "lineage", "split"]
    counted = predictions.value_counts([*key, "label", "predicted"]).reset_index(name="images")
    per_class = []
    for values, rows in counted.groupby(key):
        for label in range(classes):
            images = rows.loc[rows["label"] == label, "images"].sum()
            answered = rows.loc[rows["predicted"] == label, "images"].sum()
            both = (rows["label"] == label) & (rows["predicted"] == label)
            right = rows.loc[both, "images"].sum()
            per_class.append(
                dict(zip(key, values, strict=True))
                | {
                    "label": label, "label_name": f"class {label}", "images": images,
                    "recall": right / images if images else None,
                    "precision": right / answered if answered else None,
                    "f1": 2 * right / (images + answered) if images + answered else None,
                }
            )  # fmt: skip
    pd.DataFrame(per_class).to_csv(folder / "per_class.csv", index=False)
    for column in ("label", "predicted"):
        counted[f"{column}_name"] = "class " + counted[column].astype(str)
    counted.to_csv(folder / "class_confusions.csv", index=False)


def settings(transfer: str) -> dict:
    """The columns of models.csv that say what a transfer does."""
    if not transfer:
        return {}
    rule, _, delta = transfer.partition("_0.")
    rule = "fixed" if transfer.startswith("kd") else rule
    hint = "pretrain" if "pretrain" in transfer else "joint" if "joint" in transfer else ""
    weighting = {"rule": rule} | ({"delta": float(f"0.{delta}")} if delta else {})
    made = {"transfer": {"soft": 0.7, "hint": {"mode": hint} if hint else None}}
    made["transfer"]["weighting"] = weighting
    return {
        "settings": json.dumps(made | {"training": {"epochs": 30}}),
        "rule": rule,
        "delta": weighting.get("delta"),
        "soft": 0.7,
        "temperature": 4.0,
        "hint": hint,
        "views": "live",
    }


def write_selection(folder: Path, seeds=(0, 1, 2)) -> Path:
    """Write selection.csv: a selector that gets better with the degradation, and rivals."""
    folder.mkdir(parents=True, exist_ok=True)
    methods = {"selector": 0.40, "always_periocular": 0.0, "always_iris": 0.0,
               "largest_probability": 0.25, "calibrated_probability": 0.28, "entropy": 0.24,
               "margin": 0.26, "sum_rule": 0.0, "product_rule": 0.0, "logistic_fusion": 0.0,
               "oracle": 0.5}  # fmt: skip
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for degradation, seen in {"noise": True, "occlusion": True, "blur": False}.items():
            for side in ("periocular", "iris", "both"):
                for level in (0, 0.25, 0.5, 0.75, 1.0):
                    for method, gain in methods.items():
                        picked = 0.5 + gain * level + rng.normal(0, 0.01)
                        rows.append(
                            {
                                "experiment": "eyes", "seed": seed, "selector": "mms",
                                "method": method, "degradation": degradation, "side": side,
                                "level": level, "seen": seen, "images": 400,
                                "selection_accuracy": min(picked, 1.0),
                                "accuracy": 0.9 - 0.3 * level * (1 - picked) - 0.05 * level,
                            }
                        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "selection.csv", index=False)
    return folder
