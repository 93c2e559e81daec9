"""ONNX, for ONNX Runtime and most others: float32, any number of images at a time."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelswitch.deployment.deployable import INPUT, OUTPUT, Deployable

EXTRA = "onnx"
NEEDS = ("onnx", "onnxscript", "onnxruntime")


def write(model: Deployable, pixels: torch.Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Write ``model`` with ``metadata`` to ``path``; the first two ``pixels`` show a batch."""
    import onnx

    batch = torch.export.Dim("batch", min=1)
    proto = graph_of(model, (model.takes(pixels[:2]),), [INPUT], [OUTPUT], {INPUT: {0: batch}})
    mark(proto, metadata)
    onnx.save(proto, str(path))


def graph_of(
    model: nn.Module,
    examples: tuple[torch.Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    shapes: dict[str, Any],
) -> Any:
    """The ONNX model of a module that is called with ``examples``.

    Args:
        inputs, outputs: what the graph's are called.
        shapes: sizes that may change, as `torch.export` wants them.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            examples,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            verbose=False,
        )
        assert program is not None
        return program.model_proto


def mark(proto: Any, metadata: dict[str, Any]) -> None:
    """Put ``metadata`` into an ONNX file's own properties, one JSON text a key."""
    del proto.metadata_props[:]
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    # Traces of the code's lines would make equal exports differ from machine to machine.
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    for function in proto.functions:
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
