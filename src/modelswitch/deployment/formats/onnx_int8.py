"""ONNX with weights and activations of eight bits, calibrated on training images.

Weights are signed, of seven bits, and have a scale a channel. Activations are unsigned: signed ones
are slower than float on x86, whose instructions multiply unsigned by signed bytes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from modelswitch.deployment.deployable import INPUT, Deployable
from modelswitch.deployment.formats import onnx as plain
from modelswitch.deployment.integers import with_integers
from modelswitch.errors import UserError
from modelswitch.models.quantised import Quantised

EXTRA = "onnx"
NEEDS = plain.NEEDS
# Where the arithmetic of a network is; anything else stays in float32.
_QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "MaxPool", "GlobalAveragePool")
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_BATCH = 32


def write(model: Deployable, pixels: torch.Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Write ``model`` to ``path``; the ranges of its activations are those on ``pixels``, or those
    that it was trained with."""
    if isinstance(model.network, Quantised):
        # torch's exporter writes integers as they are, and ONNX Runtime takes them together.
        plain.write(with_integers(model), pixels, path, metadata)
        return
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[torch.Tensor] = iter(pixels.split(_BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: model.takes(batch).numpy()}

    # It warns, by logging, that the graph had better be prepared, which it has been.
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        float32, prepared, quantised = (Path(folder, f"{name}.onnx") for name in "abc")
        plain.write(model, pixels, float32, metadata)
        # ONNX knows all shapes; ONNX Runtime's own search stops at operators that it does not know,
        # as the one that joins an ensemble's answers.
        quant_pre_process(str(float32), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared)).graph.node
        first = next((i for i, node in enumerate(nodes) if node.op_type in _WEIGHTED), None)
        if first is None:
            raise UserError("onnx-int8: the network has no convolution and no matrix product")
        quantize_static(
            str(prepared),
            str(quantised),
            Images(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Seven bits: where a processor adds two products of bytes in sixteen bits (x86 without
            # VNNI), eight overflow, and the same file answers differently from machine to machine.
            reduce_range=True,
            op_types_to_quantize=list(_QUANTISED),
            # Normalising pixels costs nothing and its range is known; eight bits would blur it.
            nodes_to_exclude=[node.name for node in nodes[:first]],
        )
        proto = onnx.load(str(quantised))
    plain.mark(proto, metadata)
    onnx.save(proto, str(path))
