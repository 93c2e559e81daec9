"""ExecuTorch with its XNNPACK backend, for phones: float32, one image at a time."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from modelswitch.deployment.deployable import Deployable

EXTRA = "executorch"
NEEDS = ("executorch",)


def write(model: Deployable, pixels: torch.Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Write ``model`` to ``path``; the format has no place for ``metadata``."""
    example = (model.takes(pixels[:1]),)
    lower(torch.export.export(model, example), path)


def lower(program: torch.export.ExportedProgram, path: Path) -> None:
    """An exported program as a file for XNNPACK."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        path.write_bytes(edge.to_executorch().buffer)
