"""How fast this machine trains: a few steps of every model, measured once and remembered."""

import json
import time

import torch

from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.config.models import ModelSpec
from modelswitch.config.training import Training
from modelswitch.data.views import Batch
from modelswitch.models.build import build
from modelswitch.storage import cache_folder
from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer
from modelswitch.transfer.labels import CrossEntropy

_SECONDS = 0.6


def _seconds_per_call(call) -> float:
    """Mean time of a call, after two that warm up, over at least three and about 0.6 s."""
    for _ in range(2):
        call()
    calls, start = 0, time.perf_counter()
    while calls < 3 or time.perf_counter() - start < _SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def _measure(
    spec: ModelSpec, training: Training, shape: tuple[int, int, int], classes: int
) -> dict[str, float]:
    height, width, channels = shape
    device = pick_device()
    dtype = precision.dtype_for(training.precision, device)
    model = build(spec, channels, classes).to(device).to(memory_format=torch.channels_last)
    images = torch.rand(training.batch, channels, height, width, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.zeros(training.batch, dtype=torch.int64, device=device)
    objective = CrossEntropy(model)
    optimizer = make_optimizer(objective, training)

    def step() -> None:
        with precision.autocast(device, dtype):
            terms = objective(Batch(images, labels, labels, None))
        terms["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        terms["loss"].item()

    def answer() -> None:
        with torch.inference_mode(), precision.autocast(device, dtype):
            model(images).sum().item()

    result = {"step": _seconds_per_call(step)}
    model.eval()
    return result | {"answer": _seconds_per_call(answer)}


def seconds_per_step(
    experiment: Experiment, names: list[str], shape: tuple[int, int, int], classes: int
) -> dict[str, dict[str, float]]:
    """Seconds of a training step and of a batch's answers for every model, one thread count.

    Measured figures are kept under ``.snakemake/`` and measured again when the model, the batch,
    the image shape or the number of threads changes.
    """
    store = cache_folder.FOLDER / "calibration.json"
    known = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
    torch.set_num_threads(experiment.resources.threads)
    result = {}
    for name in names:
        spec, training = experiment.models[name], experiment.training
        key = digest(
            canonical(
                [
                    spec.model_dump(mode="json"),
                    [training.batch, training.precision, training.optimizer],
                    [*shape, classes, experiment.resources.threads],
                ]
            )
        )
        if key not in known:
            known[key] = _measure(spec, training, shape, classes)
        result[name] = known[key]
    cache_folder.write(store, json.dumps(known, indent=1))
    return result


def pick_device() -> torch.device:
    """The GPU that this process may see, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
