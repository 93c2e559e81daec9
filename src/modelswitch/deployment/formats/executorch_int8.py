"""ExecuTorch with weights (a scale a channel) and activations of eight bits, by PT2E."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from modelswitch.deployment.deployable import Deployable
from modelswitch.deployment.formats.executorch import lower
from modelswitch.deployment.integers import with_integers
from modelswitch.models.quantised import Quantised

EXTRA = "executorch"
NEEDS = ("executorch", "torchao")


def write(model: Deployable, pixels: torch.Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Write ``model`` to ``path``; the ranges of its activations are those on ``pixels``, or those
    that it was trained with."""
    example = (model.takes(pixels[:1]),)
    if isinstance(model.network, Quantised):
        # The same integers as in ONNX, but for activations that are counted from -128 on.
        integers = with_integers(model, xnnpack=True)
        lower(torch.export.export(integers, example), path)
        return
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = get_symmetric_quantization_config(is_per_channel=True)
        quantizer = XNNPACKQuantizer().set_global(settings)
        observed = prepare_pt2e(torch.export.export(model, example).module(), quantizer)
        for image in pixels:
            observed(model.takes(image[None]))
        quantised = convert_pt2e(observed)
        lower(torch.export.export(quantised, example), path)
