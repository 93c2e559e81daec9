"""At which level each degradation halves what recognisers of synthetic eyes can do above chance.

Reads the recognisers and test images of a finished run of config/eyes.yaml, trains nothing, and
writes a table: for each degradation and modality the level, found on a straight line between levels
that were tried, at which the accuracy above chance is half of that on clean images; and what
accuracy is left at the highest level.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from modelswitch.data.arrays import ImageArrays
from modelswitch.data.degradations import DEGRADATIONS, amount, degrade
from modelswitch.data.views import Normaliser
from modelswitch.errors import UserError, run_script
from modelswitch.models import answers
from modelswitch.models.build import build, fill, give_shapes, stored_architecture
from modelswitch.storage import artifacts

LEVELS = np.linspace(0, 1, 9)


def recogniser(path: Path, data: ImageArrays) -> torch.nn.Module:
    """The trained model in a file."""
    tensors, passport = artifacts.load(path, kind="model")
    model = build(stored_architecture(passport, str(path)), data.image_shape[2], data.num_classes)
    give_shapes(model, data.image_shape)
    fill(model, tensors)
    return model.eval()


def half_level(levels: np.ndarray, accuracies: np.ndarray, chance: float) -> float:
    """Where the accuracy above chance first falls to half of the first one's; NaN for nowhere."""
    half = chance + (accuracies[0] - chance) / 2
    below = np.flatnonzero(accuracies <= half)
    if not len(below):
        return float("nan")
    after = below[0]
    share = (accuracies[after - 1] - half) / (accuracies[after - 1] - accuracies[after])
    return float(levels[after - 1] + share * (levels[after] - levels[after - 1]))


def measured(results: Path, seeds: list[int], lineage: str, images: int) -> pd.DataFrame:
    """Accuracies by modality, seed, degradation and level."""
    rows = []
    modalities = sorted(path.parent.name for path in results.glob("*/data.safetensors"))
    if not modalities:
        raise UserError(f"{results}: no prepared data here; run config/eyes.yaml first")
    for modality in modalities:
        data = ImageArrays.load(results / modality / "data.safetensors")
        normalise = Normaliser(data.mean, data.std, torch.device("cpu"))
        # Evenly over the people, who come one after the other.
        chosen = torch.linspace(0, len(data.test_labels) - 1, images).long()
        for seed in seeds:
            path = results / modality / f"seed{seed}" / lineage / "model.safetensors"
            model = recogniser(path, data)
            for kind in DEGRADATIONS:
                for level in LEVELS:
                    worse = degrade(data.test_images[chosen], kind, float(level), seed)
                    said = answers.logits_on(model, worse, normalise).argmax(1)
                    right = (said == data.test_labels[chosen]).double().mean().item()
                    row = {"modality": modality, "seed": seed, "kind": kind, "level": level}
                    rows.append(row | {"accuracy": right, "chance": 1 / data.num_classes})
    return pd.DataFrame(rows)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """For each degradation the level that halves, each modality and the mean of both."""
    rows = []
    for kind, own in found.groupby("kind", sort=False):
        row: dict[str, object] = {"degradation": kind}
        halves, left = [], []
        for modality, part in own.groupby("modality"):
            means = part.groupby("level")["accuracy"].mean()
            half = half_level(means.index.to_numpy(), means.to_numpy(), part["chance"].iloc[0])
            row[f"{modality}_half"] = half
            row[f"{modality}_clean"], row[f"{modality}_worst"] = means.iloc[0], means.iloc[-1]
            halves.append(half)
            left.append(half == half)
        # Where it never halves one of them, the other's level is what there is.
        known = [half for half in halves if half == half]
        row["half"] = float(np.mean(known)) if known else float("nan")
        row["amount"] = amount(str(kind), row["half"]) if known else ""
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/eyes"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--lineage", default="teacher")
    parser.add_argument("--images", type=int, default=640, help="test images of each modality")
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = table(measured(args.results, args.seeds, args.lineage, args.images))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    found.round(4).to_csv(args.output, index=False)
    print(found.round(3).to_string(index=False))


if __name__ == "__main__":
    run_script(main)
