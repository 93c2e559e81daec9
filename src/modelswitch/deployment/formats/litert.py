"""LiteRT (TensorFlow Lite), for phones and small boards: float32, one image at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from modelswitch.deployment.deployable import Deployable

EXTRA = "litert"
NEEDS = ("litert_torch", "ai_edge_litert")


def write(model: Deployable, pixels: torch.Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Write ``model`` to ``path``; the format has no place for ``metadata``."""
    import litert_torch

    litert_torch.convert(model, (model.takes(pixels[:1]),)).export(str(path))
