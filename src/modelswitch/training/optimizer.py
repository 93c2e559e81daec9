"""Optimisers and the schedule of the learning rate."""

import inspect
import math
from collections.abc import Callable

import torch
from torch import nn

from modelswitch.config.training import Training


def learning_rate(training: Training, step: int, steps_per_epoch: int) -> float:
    """The rate of a step, counted from 0 over the whole training.

    Linear growth that reaches the peak after the warm-up, then cosine or linear decay that would
    reach 0 one step after the last, a constant, or one that falls at milestones.
    """
    total = training.epochs * steps_per_epoch
    warmup = round(training.warmup * steps_per_epoch)
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
    if training.schedule == "step":
        fallen = sum(step >= round(epoch * steps_per_epoch) for epoch in training.falls)
        return training.learning_rate * training.step_factor**fallen
    progress = (step - warmup) / max(total - warmup, 1)
    factor = {
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "linear": 1 - progress,
        "constant": 1.0,
    }[training.schedule]
    return training.learning_rate * factor


def _without_compiler(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """An optimiser whose methods are not wrapped for torch.compile.

    The wrappers import the compiler, which takes longer than importing torch: more than a second
    that every job without a warm start would pay, for what none uses.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), plain | {"step": step})


def make_optimizer(
    module: nn.Module, training: Training, model: nn.Module | None = None
) -> torch.optim.Optimizer:
    """The optimiser of what can be trained in ``module``.

    Every group has a ``factor``, by which its rate is multiplied.

    Args:
        model: the one in ``module`` whose layers have rates of their own; all of it by default.
            What is not of it has the whole rate.
    """
    factors = layer_factors(module if model is None else model, training)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            groups.setdefault(factors.get(parameter, 1.0), []).append(parameter)
    parameters = [{"params": group, "factor": factor} for factor, group in groups.items()]
    if training.optimizer == "adamw":
        return _without_compiler(torch.optim.AdamW)(
            parameters, training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
    if training.optimizer == "rmsprop":
        return _without_compiler(torch.optim.RMSprop)(
            parameters,
            training.learning_rate,
            alpha=training.rms_decay,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            foreach=True,
        )
    return _without_compiler(torch.optim.SGD)(
        parameters,
        training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        nesterov=training.momentum > 0,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def layer_factors(model: nn.Module, training: Training) -> dict[nn.Parameter, float]:
    """What the rate of each of a model's parameters is multiplied by, where that is not 1.

    The last block has the whole rate, times ``head_rate``; the one before it ``layer_decay`` of the
    whole, and so on down to the first.
    """
    parts = blocks_of(model)
    factors = {
        parameter: training.layer_decay ** (len(parts) - 1 - number)
        * (training.head_rate if number == len(parts) - 1 else 1.0)
        for number, part in enumerate(parts)
        for parameter in part
    }
    return {parameter: factor for parameter, factor in factors.items() if factor != 1}


def blocks_of(model: nn.Module) -> list[list[nn.Parameter]]:
    """A model's parameters in the order of its definition, one list a block.

    Blocks are its own parts (`stem`, `fc`), and of those that are lists or sequences the entries
    (`layer1.0`, `blocks.3`). A part without a layer that has a matrix of weights, as a
    normalisation, belongs to the one before it.
    """
    while True:
        children = [
            name for name, child in model.named_children() if any(True for _ in child.parameters())
        ]
        own = any(True for _ in model.parameters(recurse=False))
        if len(children) != 1 or own:
            break
        model = model.get_submodule(children[0])
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        listed = isinstance(getattr(model, words[0]), nn.Sequential | nn.ModuleList)
        found.setdefault(".".join(words[: 1 + listed]), []).append(parameter)
    parts: list[list[nn.Parameter]] = []
    for part in found.values():
        if parts and all(parameter.ndim < 2 for parameter in part):
            parts[-1] += part
        else:
            parts.append(part)
    return parts
