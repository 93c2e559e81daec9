"""Writing a model in a device's format, and believing nothing of it before it was run."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from modelswitch.config.deploy import CALIBRATED, SUFFIXES
from modelswitch.config.metrics import balanced_accuracy, calibration_error
from modelswitch.deployment.blame import layer_of, reason_of
from modelswitch.deployment.deployable import Deployable
from modelswitch.deployment.formats import (
    executorch,
    executorch_int8,
    litert,
    onnx,
    onnx_int8,
    openvino,
)
from modelswitch.deployment.runtimes import open_file, sidecar
from modelswitch.deployment.selecting import OUTPUTS, DeployableSelector
from modelswitch.errors import UserError
from modelswitch.models.quantised import Quantised, set_rounding

# Imported here, each light by itself, so that digests of code cover them.
FORMATS: dict[str, ModuleType] = {
    "onnx": onnx,
    "onnx-int8": onnx_int8,
    "executorch": executorch,
    "executorch-int8": executorch_int8,
    "openvino": openvino,
    "litert": litert,
}
_BATCH = 250


@dataclass(frozen=True)
class Judgement:
    """What an exported file answers on the whole test set, beside the network that it came from.

    Accuracies, agreement and calibration error (`ece`) are shares; `largest_difference` is between
    probabilities.
    """

    images: int
    accuracy: float
    network_accuracy: float
    agreement: float
    largest_difference: float
    balanced_accuracy: float
    ece: float

    @property
    def lost(self) -> float:
        """Accuracy that the file has less than the network."""
        return self.network_accuracy - self.accuracy


def judge(
    path: Path, takes: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> Judgement:
    """Run a file in its own runtime on ``takes`` [N, …] and compare it with its network.

    Args:
        takes: images as the file takes them.
        labels: int [N].
        probabilities: float [N, K] of the network on the same images.

    Raises:
        UserError: the runtime is missing or refuses the file, or an answer is not a number.
    """
    run = open_file(path)
    answers = np.concatenate(
        [run(takes[start : start + _BATCH]) for start in range(0, len(takes), _BATCH)]
    )
    if not np.isfinite(answers).all():
        bad = int((~np.isfinite(answers)).any(1).sum())
        raise UserError(f"{path}: answers {bad} of {len(answers)} test images with no numbers")
    own, network = answers.argmax(1), probabilities.argmax(1)
    # Logits that the answers are the softmax of; what is rounded to 0 stays a number.
    scores = torch.from_numpy(answers).double().clamp(min=1e-30).log()
    truth = torch.from_numpy(np.asarray(labels)).long()
    return Judgement(
        len(labels),
        float((own == labels).mean()),
        float((network == labels).mean()),
        float((own == network).mean()),
        float(np.abs(answers - probabilities).max()),
        balanced_accuracy(scores, truth),
        calibration_error(scores, truth),
    )


def export(
    name: str,
    model: Deployable,
    calibration: torch.Tensor,
    path: Path,
    metadata: dict[str, Any],
) -> None:
    """Write ``model`` in the format ``name`` to ``path``, with a JSON file beside it.

    Args:
        calibration: pixels uint8 [N, H, W, C] of training images, for formats of eight bits.
        metadata: what the file is: class names, lineage, ….

    Raises:
        UserError: the format's packages are not installed, or it lacks an operator of the model.
    """
    module = format_of(name)
    about = metadata | {
        "format": name,
        "preprocessing": model.preprocessing,
        "scale": model.scale.flatten().tolist(),
        "shift": model.shift.flatten().tolist(),
    }
    if name not in CALIBRATED or not isinstance(model.network, Quantised):
        model = copy.deepcopy(model)
        set_rounding(model, False)
    example = (model.takes(calibration[:2]),)
    with _telling(name, metadata.get("lineage", "this model"), model, example):
        module.write(model, calibration, path, about)
    describe_files(name, path, about)


def export_selector(
    model: DeployableSelector, pixels: list[torch.Tensor], path: Path, metadata: dict[str, Any]
) -> None:
    """Write recognisers and selector as one ONNX graph to ``path``, with a JSON file beside it.

    Its inputs are named as the modalities, its outputs `selecting.OUTPUTS`.

    Args:
        pixels: uint8 [N, H, W, C] of each modality, to show two of.
        metadata: what the file is: class names, modalities in order, lineages, ….

    Raises:
        UserError: ONNX's packages are not installed, or it lacks an operator of the models.
    """
    module = format_of("onnx")
    import onnx as library

    about = metadata | {"format": "onnx", "preprocessing": model.preprocessing}
    model = copy.deepcopy(model)
    set_rounding(model, False)
    batch = torch.export.Dim("batch", min=1)
    examples = model.takes([part[:2] for part in pixels])
    with _telling("onnx", f"selector {metadata['selector']}", model, tuple(examples)):
        proto = module.graph_of(
            model,
            tuple(examples),
            metadata["modalities"],
            list(OUTPUTS),
            {"images": tuple({0: batch} for _ in examples)},
        )
        module.mark(proto, about)
        library.save(proto, str(path))
    describe_files("onnx", path, about)


def format_of(name: str) -> ModuleType:
    """What writes a format; raises `UserError` where its packages are not installed."""
    module = FORMATS[name]
    absent = [package for package in module.NEEDS if importlib.util.find_spec(package) is None]
    if absent:
        raise UserError(
            f"deploy.formats: {name} needs the extra {module.EXTRA!r}: "
            f"pip install 'modelswitch[{module.EXTRA}]' (not installed: {', '.join(absent)})"
        )
    return module


@contextlib.contextmanager
def _telling(
    name: str, what: str, model: nn.Module, example: tuple[torch.Tensor, ...]
) -> Iterator[None]:
    """One line of a `UserError`, with the layer, for whatever an exporter raises."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # Exporters raise what their own code runs into.
        layer = layer_of(error, model, example).removeprefix("network").removeprefix(".")
        at = f", at layer {layer!r}" if layer else ""
        raise UserError(
            f"deploy.formats: {name} cannot hold {what}{at} ({reason_of(error)})"
        ) from error


def describe_files(name: str, path: Path, about: dict[str, Any]) -> None:
    """Write the JSON file beside a format's files: ``about``, their digests and size."""
    files = [path.with_suffix(suffix) for suffix in SUFFIXES[name]]
    about["files"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    about["bytes"] = sum(file.stat().st_size for file in files)
    sidecar(path).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def check_one_output(name: str, network: nn.Module, example: torch.Tensor) -> None:
    """Raise `UserError` for a network that returns anything but one tensor of logits [N, K]."""
    with torch.inference_mode():
        answers = network(example)
    if isinstance(answers, torch.Tensor) and answers.ndim == 2:
        return
    raise UserError(
        f"deploy.models: {name} returns {_described(answers)}; a device's file has one output, "
        "logits [images, classes]"
    )


def _described(answers: object) -> str:
    if isinstance(answers, torch.Tensor):
        return f"a tensor of shape {list(answers.shape)}"
    if isinstance(answers, dict):
        return f"{len(answers)} outputs ({', '.join(map(str, answers))})"
    if isinstance(answers, list | tuple):
        return f"{len(answers)} outputs ({', '.join(map(_described, answers))})"
    return type(answers).__name__


def calibration_images(
    images: torch.Tensor, labels: torch.Tensor, count: int, classes: int, seed: int
) -> torch.Tensor:
    """``count`` training images uint8 [N, H, W, C], drawn by ``seed``, among them every class that
    has some.

    Raises:
        UserError: fewer images than classes are asked for.
    """
    if count < classes:
        raise UserError(
            f"deploy.calibration: found {count}, fewer than the {classes} classes; each needs one"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    drawn = labels[order]
    # One of each class first, then the rest in the order drawn.
    there = [(drawn == label).nonzero().flatten() for label in range(classes)]
    first = torch.stack([rows[0] for rows in there if len(rows)])
    rest = torch.ones(len(order), dtype=torch.bool)
    rest[first] = False
    chosen = torch.cat([order[first], order[rest]])[:count]
    return images[chosen]
