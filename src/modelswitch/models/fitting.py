"""Other people's tensors in a network of ours: whether they fit, and by which names."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from modelswitch.config.origin import Weights
from modelswitch.errors import UserError, in_one_line
from modelswitch.models.build import fill
from modelswitch.storage import state_dicts

SHOWN = 4
_COUNTER = "num_batches_tracked"


def more_than(names: Sequence[object]) -> str:
    """How many there are beside the first few that are shown."""
    return f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""


def head_of(network: nn.Module, example: torch.Tensor) -> str:
    """The path of the layer with weights that runs last in a pass on ``example``."""
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
        for path, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    training = network.training
    try:
        with torch.no_grad(), in_one_line("cannot run on images of its size"):
            network.eval()(example)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    if not ran:
        raise UserError("has no layer with weights that could be its head")
    return ran[-1]


def fill_from(
    network: nn.Module,
    tensors: dict[str, torch.Tensor],
    weights: Weights,
    where: str,
    head: str | None,
) -> list[str]:
    """Load ``tensors`` into ``network`` but for its head, if that is to be new; what was said."""
    state = {n: t for n, t in network.state_dict().items() if isinstance(t, torch.Tensor)}
    said = []
    tensors, prefix = _without_prefix(tensors, state)
    if prefix:
        said.append(f"left out {prefix!r} before the names in {where}")
    if weights.match == "order":
        tensors = _in_order(tensors, state, where)
        said.append(f"took the {len(tensors)} tensors of {where} in their order")
    if head is not None:
        inside = [name for name in state if name.startswith(f"{head}.")]
        tensors = {n: t for n, t in tensors.items() if n not in inside}
        tensors |= {name: state[name] for name in inside}
        said.append(f"the last layer, {head}, is new")
    counters = [
        name
        for name in state
        if name.endswith(_COUNTER)
        and name not in tensors
        and name.replace(_COUNTER, "running_mean") in tensors
    ]
    if counters:
        tensors |= {name: state[name] for name in counters}
        said.append(f"{where} does not count batches; no layer here needs the {len(counters)}")
    _check_fit(tensors, state, where, head)
    other = sorted({str(t.dtype).removeprefix("torch.") for n, t in tensors.items()
                    if t.dtype != state[n].dtype})  # fmt: skip
    if other:
        said.append(f"made {str(torch.get_default_dtype())[6:]} of {', '.join(other)}")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{where}: {name} holds values that are no numbers")
    fill(network, {name: t.to(state[name].dtype) for name, t in tensors.items()})
    return said


def _without_prefix(
    tensors: dict[str, torch.Tensor], state: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], str]:
    """``tensors`` without what was put before all of their names, and that; the model's own names
    may begin so."""
    prefix = ""
    while not tensors.keys() & state.keys():
        common = [p for p in state_dicts.PREFIXES if all(n.startswith(p) for n in tensors)]
        if not common:
            break
        prefix += common[0]
        tensors = {name.removeprefix(common[0]): tensor for name, tensor in tensors.items()}
    return tensors, prefix


def _in_order(
    tensors: dict[str, torch.Tensor], state: Mapping[str, torch.Tensor], where: str
) -> dict[str, torch.Tensor]:
    if len(tensors) != len(state):
        raise UserError(
            f"{where}: has {len(tensors)} tensors, the model {len(state)}; weights.match: order "
            "needs as many"
        )
    pairs = zip(tensors.items(), state.items(), strict=True)
    for number, ((theirs, tensor), (ours, own)) in enumerate(pairs, 1):
        if tensor.shape != own.shape:
            raise UserError(
                f"{where}: tensor {number}, {theirs}, is {list(tensor.shape)}, and the model's, "
                f"{ours}, {list(own.shape)}; weights.match: order needs equal shapes"
            )
    return dict(zip(state, tensors.values(), strict=True))


def _check_fit(
    tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
    where: str,
    head: str | None,
) -> None:
    """Raise `UserError` unless names and shapes are the same."""
    missing = [name for name in state if name not in tensors]
    unexpected = [name for name in tensors if name not in state]
    shapes = [
        f"{name} is {list(tensor.shape)}, not {list(state[name].shape)}"
        for name, tensor in tensors.items()
        if name in state and tensor.shape != state[name].shape
    ]
    if not missing and not unexpected and not shapes:
        return
    parts = [
        f"{len(names)} of {len(state)} tensors {what}: {', '.join(names[:SHOWN])}{more_than(names)}"
        for what, names in (("are missing", missing), ("have another shape", shapes))
        if names
    ]
    if unexpected:
        shown = ", ".join(unexpected[:SHOWN])
        parts.append(f"{len(unexpected)} are unexpected: {shown}{more_than(unexpected)}")
    hint = ""
    if len(tensors) == len(state) and missing and not shapes:
        pairs = zip(tensors.values(), state.values(), strict=True)
        if all(ours.shape == theirs.shape for ours, theirs in pairs):
            hint = "; in their order all shapes fit, which weights.match: order takes"
    elif shapes and not missing and not unexpected and head is None:
        layers = {text.partition(" ")[0].rpartition(".")[0] for text in shapes}
        if len(layers) == 1 and list(state)[-1].startswith(next(iter(layers))):
            hint = "; weights.head: new replaces the last layer"
    raise UserError(f"{where}: does not fit the model: {'; '.join(parts)}{hint}")
