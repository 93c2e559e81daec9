"""Writing a model in a device's format, and believing nothing of it before it was run."""

from __future__ import annotations

import contextlib
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

from modelswitch.config.deploy import SUFFIXES
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

    Accuracies and agreement are shares; `largest_difference` is between probabilities.
    """

    images: int
    accuracy: float
    network_accuracy: float
    agreement: float
    largest_difference: float

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
    return Judgement(
        len(labels),
        float((own == labels).mean()),
        float((network == labels).mean()),
        float((own == network).mean()),
        float(np.abs(answers - probabilities).max()),
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
    with _telling(name, metadata.get("lineage", "this model")):
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
    batch = torch.export.Dim("batch", min=1)
    examples = model.takes([part[:2] for part in pixels])
    with _telling("onnx", f"selector {metadata['selector']}"):
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
def _telling(name: str, what: str) -> Iterator[None]:
    """One line of a `UserError` for whatever an exporter raises."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # Exporters raise what their own code runs into; which layer it was is in the message.
        raise UserError(
            f"deploy.formats: {name} cannot hold {what}{_layer(error)} ({_reason(error)})"
        ) from error


def describe_files(name: str, path: Path, about: dict[str, Any]) -> None:
    """Write the JSON file beside a format's files: ``about``, their digests and size."""
    files = [path.with_suffix(suffix) for suffix in SUFFIXES[name]]
    about["files"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    about["bytes"] = sum(file.stat().st_size for file in files)
    sidecar(path).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # torch.export puts advice before the operator; the operator is what tells.
    telling = [
        line for line in lines if "aten" in line or "perator" in line or "nsupported" in line
    ]
    return (telling or lines or [type(error).__name__])[0][:300]


def _layer(error: Exception) -> str:
    """`, at layer x.y` where the exporter says in which module it was."""
    for line in str(error).splitlines():
        if "nn_module_stack" in line or "Module stack" in line:
            return f", at {line.strip()[:120]}"
    return ""


def check_one_output(name: str, network: nn.Module, example: torch.Tensor) -> None:
    """Raise `UserError` for a network that returns anything but one tensor."""
    with torch.inference_mode():
        answers = network(example)
    if not isinstance(answers, torch.Tensor):
        kind = type(answers).__name__
        raise UserError(f"deploy: {name} returns {kind}, a device's file has one output")


def calibration_images(
    images: torch.Tensor, labels: torch.Tensor, count: int, classes: int, seed: int
) -> torch.Tensor:
    """``count`` training images uint8 [N, H, W, C], drawn by ``seed``, every class among them.

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
    first = torch.stack([(drawn == label).nonzero()[0, 0] for label in range(classes)])
    rest = torch.ones(len(order), dtype=torch.bool)
    rest[first] = False
    chosen = torch.cat([order[first], order[rest]])[:count]
    return images[chosen]
