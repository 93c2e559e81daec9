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
    reach 0 one step after the last, or a constant.
    """
    total = training.epochs * steps_per_epoch
    warmup = round(training.warmup * steps_per_epoch)
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
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


def make_optimizer(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if training.optimizer == "adamw":
        return _without_compiler(torch.optim.AdamW)(
            parameters, training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
    return _without_compiler(torch.optim.SGD)(
        parameters,
        training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        nesterov=training.momentum > 0,
        fused=True,
    )
