"""Which layer of a model it is that an exporter cannot write, and what it says of it."""

from __future__ import annotations

import re
from types import TracebackType

import torch
from torch import nn

# An operator as exporters name it: aten.svd.default, aten::svd.
_OPERATOR = re.compile(r"aten(?:\.|::)(\w+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_KIND = re.compile(r"^<class '[\w.]+'>: ")
_LONGEST = 300


def layer_of(error: Exception, model: nn.Module, example: tuple[torch.Tensor, ...]) -> str:
    """Path of the module in ``model`` that ``error`` is about; '' where that cannot be found.

    Exporters name the operator that they lack and not where it is. So the model, called with
    ``example``, is traced once more, which keeps the layer of every operator; if it cannot be
    traced, the layer is the innermost one that was running.
    """
    try:
        # As exporters do, for they meet operators that others were taken apart into.
        program = torch.export.export(model, example, strict=False).run_decompositions()
    except Exception as failed:
        return _running(failed.__traceback__, model)
    lacking = set(_OPERATOR.findall(str(error)))
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.name.partition("::")[2] in lacking:
            return _innermost([path for path, _ in node.meta.get("nn_module_stack", {}).values()])
    return ""


def _running(traceback: TracebackType | None, model: nn.Module) -> str:
    names = {id(module): name for name, module in model.named_modules()}
    paths = []
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if id(owner) in names:
            paths.append(names[id(owner)])
        traceback = traceback.tb_next
    return _innermost(paths)


def _innermost(paths: list[str]) -> str:
    return max(paths, key=lambda path: path.count(".") + bool(path), default="")


def reason_of(error: Exception) -> str:
    """The line of an exporter's message that tells most."""
    lines = [_COLOURS.sub("", line).strip() for line in str(error).splitlines()]
    lines = [_KIND.sub("", line) for line in lines if line]
    # torch.export puts advice before the operator; the operator is what tells.
    telling = [
        line for line in lines if "aten" in line or "perator" in line or "nsupported" in line
    ]
    if not telling and "## Exception summary" in lines:
        telling = lines[lines.index("## Exception summary") + 1 :]
    return (telling or lines or [type(error).__name__])[0][:_LONGEST]
