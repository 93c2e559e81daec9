"""What a model costs: parameters, depth, multiply-accumulates, size on disk, latency."""

import copy
import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modelswitch.config.experiment import Experiment
from modelswitch.config.models import ModelSpec
from modelswitch.errors import UserError, naming
from modelswitch.models.build import build
from modelswitch.models.layers import weighted_layers


@dataclass(frozen=True)
class Cost:
    """Trainable parameters, convolution and linear layers, multiply-accumulates for one image."""

    parameters: int
    depth: int
    macs: int


def cost(spec: ModelSpec, image_shape: tuple[int, int, int], num_classes: int) -> Cost:
    """Cost of a model for images [H, W, C], on torch's meta device: nothing is computed.

    Multiply-accumulates are half the floating-point operations of convolutions and matrix
    products that torch counts.

    Raises:
        UserError: as `check_runs`.
    """
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        model = build(spec, image_shape[2], num_classes).eval()
        with counter:
            check_runs(model, image_shape, num_classes)
    return Cost(
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        len(weighted_layers(model)),
        counter.get_total_flops() // 2,
    )


def check_runs(model: nn.Module, image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Raise `UserError` unless ``model``, in eval mode, makes [1, K] logits of an image [H, W, C].

    The image is on torch's default device, as the model has to be.
    """
    height, width, channels = image_shape
    try:
        with torch.no_grad():
            logits = model(torch.zeros(1, channels, height, width))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot run on images of {height}x{width}x{channels} ({reason})"
        ) from error
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (1, num_classes):
        raise UserError(
            f"returns {shape or type(logits).__name__} for one image, the data's {num_classes} "
            f"classes need (1, {num_classes})"
        )


def latency(model: nn.Module, image_shape: tuple[int, int, int], runs: int = 50) -> float:
    """Median time in milliseconds for one image on the CPU, float32, one thread."""
    height, width, channels = image_shape
    model = copy.deepcopy(model).cpu().eval().to(memory_format=torch.channels_last)
    example = torch.rand(1, channels, height, width).to(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(5):
                model(example)
            times = []
            for _ in range(runs):
                start = time.perf_counter()
                model(example)
                times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 1000 * statistics.median(times)


def model_costs(
    experiment: Experiment, shape: tuple[int, int, int], classes: int
) -> dict[str, Cost]:
    """The cost of every model that a chain uses, on images [H, W, C] of so many classes; raises
    `UserError` for one that cannot run."""
    result = {}
    for name in experiment.used_models:
        with naming(f"models.{name}"):
            result[name] = cost(experiment.models[name], shape, classes)
    return result
