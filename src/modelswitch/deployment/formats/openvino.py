"""OpenVINO, for Intel's processors: float32, any number of images at a time; .xml beside .bin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from modelswitch.deployment.deployable import INPUT, Deployable

EXTRA = "openvino"
NEEDS = ("openvino",)


def write(model: Deployable, pixels: torch.Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Write ``model`` with ``metadata`` to ``path`` (.xml) and, beside it, its weights (.bin)."""
    import openvino

    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        model, (model.takes(pixels[:2]),), dynamic_shapes={INPUT: {0: batch}}
    )
    converted = openvino.convert_model(program)
    for key, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value)
        converted.set_rt_info(text, ["modelswitch", key])
    openvino.save_model(converted, str(path), compress_to_fp16=False)
