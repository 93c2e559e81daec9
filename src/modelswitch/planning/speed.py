"""How fast this machine trains: a few steps of every model, measured once and remembered."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from modelswitch.config.architecture import Architecture
from modelswitch.config.base import canonical, digest
from modelswitch.config.experiment import Experiment
from modelswitch.config.training import Training
from modelswitch.config.transfer import Layer, LayerPair
from modelswitch.config.weighting import FixedWeighting
from modelswitch.data.degradations import degrade
from modelswitch.data.shapes import DataSize
from modelswitch.data.views import Batch
from modelswitch.execution.malloc import keep_freed_memory
from modelswitch.models.build import build, give_shapes, to_channels_last
from modelswitch.models.cost import share_until
from modelswitch.models.designs import Designs
from modelswitch.selector import gate
from modelswitch.selector.draws import AnsweredBatch
from modelswitch.selector.network import Selector, features
from modelswitch.selector.objective import AnswerRightly, PickTrusted, SelectionBatch
from modelswitch.storage import cache_folder
from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import HintParts, JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.labels import CrossEntropy
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import rule_for

_SECONDS = 0.6
_DEGRADED = 20


class MeasuredPace:
    """The `Pace` of this machine, measured when it is asked for and kept under ``.snakemake/``.

    It is measured again when what it depends on changes: the model, the batch, the precision, the
    image shape, the number of threads, the machine.
    """

    def __init__(self, experiment: Experiment, sizes: dict[str, DataSize]) -> None:
        self._experiment, self._sizes = experiment, sizes
        self._designs = {
            name: Designs(experiment, size.shape, size.classes) for name, size in sizes.items()
        }
        self._store = cache_folder.FOLDER / "pace.json"
        self._known: dict[str, float] = {}
        if self._store.exists():
            self._known = json.loads(self._store.read_text(encoding="utf-8"))
        self.device = pick_device(experiment.resources.gpu)
        torch.set_num_threads(experiment.resources.threads)
        # As in a training, which is a good part faster for it.
        keep_freed_memory()

    def _once(self, measure: Callable[[], float], what: str, *depends: Any) -> float:
        machine = [platform.node(), str(self.device), torch.__version__]
        machine.append(str(self._experiment.resources.threads))
        key = digest(canonical([what, machine, *depends]))
        if key not in self._known:
            self._known[key] = measure()
            cache_folder.write(self._store, json.dumps(self._known, indent=1))
        return self._known[key]

    def _of_model(
        self, what: str, dataset: str, model: str, training: Training, images: int
    ) -> float:
        spec, size = self._designs[dataset].of(model), self._sizes[dataset]
        return self._once(
            lambda: self._timed(what, dataset, model, training, images),
            what,
            spec.model_dump(mode="json"),
            [images, training.precision, training.optimizer],
            [*size.shape, size.classes],
        )

    def step(self, dataset: str, model: str, training: Training, images: int) -> float:
        return self._of_model("step", dataset, model, training, images)

    def answer(self, dataset: str, model: str, training: Training, images: int) -> float:
        return self._of_model("answer", dataset, model, training, images)

    def front(self, dataset: str, model: str, layer: Layer) -> float:
        size = self._sizes[dataset]
        return share_until(self._designs[dataset].of(model), layer, size.shape, size.classes)

    def hints(
        self,
        dataset: str,
        student: str,
        teacher: str,
        pairs: Sequence[LayerPair],
        training: Training,
        images: int,
    ) -> float:
        specs = [self._designs[dataset].of(name) for name in (student, teacher)]
        size = self._sizes[dataset]

        def measure() -> float:
            (own, pixels), (above, _) = (
                _network(spec, size, images, self.device) for spec in specs
            )
            batch, guide = _labelled(pixels), LiveTeacher(above.requires_grad_(False))
            parts = [hint_parts(pair, own, above, pixels[:1], (student, teacher)) for pair in pairs]
            seconds = [
                _seconds_per_call(_step(objective, training, batch, self.device))
                for objective in (distilled(own, guide), with_hints(own, guide, pairs, parts))
            ]
            return max(0.0, seconds[1] - seconds[0])

        return self._once(
            measure,
            "hints",
            [spec.model_dump(mode="json") for spec in specs],
            [pair.model_dump(mode="json") for pair in pairs],
            [images, training.precision, training.optimizer],
            [*size.shape, size.classes],
        )

    def degrade(self, dataset: str) -> float:
        assert self._experiment.selector is not None
        sets, shape = self._experiment.selector.degradations.sets, self._sizes[dataset].shape

        def measure() -> float:
            images = torch.randint(0, 256, (_DEGRADED, *shape), dtype=torch.uint8)
            start = time.perf_counter()
            for name, level in sets:
                degrade(images, name, level, seed=0)
            return (time.perf_counter() - start) / _DEGRADED

        return self._once(measure, "degrade", sets, list(shape))

    def selector_step(self, name: str, images: int) -> float:
        comparison = self._experiment.selector
        assert comparison is not None
        settings, training = comparison.selectors[name], comparison.training
        modalities = self._experiment.datasets
        classes = self._sizes[modalities[0]].classes

        def measure() -> float:
            logits = torch.randn(len(modalities), images, classes)
            objective: nn.Module
            batch: SelectionBatch | AnsweredBatch
            if settings.decides == "weigh":
                temperatures = torch.ones(len(modalities))
                inputs = gate.seen(logits, temperatures, settings)
                objective = AnswerRightly(gate.Gate(settings, inputs.shape[2], temperatures))
                none = torch.full((images, len(modalities)), -1)
                batch = AnsweredBatch(logits, torch.zeros(images, dtype=torch.long), none)
            else:
                inputs = features(logits, settings)
                objective = PickTrusted(Selector(inputs.shape[1], len(modalities), settings.hidden))
                trusted = torch.zeros(images, len(modalities), dtype=torch.bool)
                trusted[:, 0] = True
                batch = SelectionBatch(inputs, trusted)
            return _seconds_per_call(_step(objective, training, batch, torch.device("cpu")))

        return self._once(
            measure, "selector", settings.model_dump(mode="json"), training.optimizer,
            [images, classes, len(modalities)],
        )  # fmt: skip

    def _timed(self, what: str, dataset: str, name: str, training: Training, count: int) -> float:
        spec, size = self._designs[dataset].of(name), self._sizes[dataset]
        if what == "step":
            return _seconds_per_call(model_step(spec, size, training, count, self.device))
        dtype = precision.dtype_for(training.precision, self.device)
        model, images = _network(spec, size, count, self.device)
        model.eval()

        def answer() -> None:
            with torch.inference_mode(), precision.autocast(self.device, dtype):
                model(images).sum().item()

        return _seconds_per_call(answer)


def distilled(own: nn.Module, guide: LiveTeacher) -> Distillation:
    """A student that is taught by a teacher's outputs."""
    return Distillation(own, [guide], rule_for(FixedWeighting()), soft=0.5, temperature=1.0)


def with_hints(
    own: nn.Module, guide: LiveTeacher, pairs: Sequence[LayerPair], parts: Sequence[HintParts]
) -> JointTransfer:
    """The same with hints beside the outputs, of weight 1."""
    weighted = [WeightedHint.of(*pair, 1) for pair in zip(pairs, parts, strict=True)]
    return JointTransfer(distilled(own, guide), guide, weighted)


def model_step(
    spec: Architecture, size: DataSize, training: Training, count: int, device: torch.device
) -> Callable[[], None]:
    """A training step of a model on labels, on ``count`` images."""
    model, images = _network(spec, size, count, device)
    return _step(CrossEntropy(model), training, _labelled(images), device)


def _labelled(images: torch.Tensor) -> Batch:
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    return Batch(images, labels, labels, None)


def _network(
    spec: Architecture, size: DataSize, count: int, device: torch.device
) -> tuple[nn.Module, torch.Tensor]:
    height, width, channels = size.shape
    model = build(spec, channels, size.classes)
    give_shapes(model, size.shape)
    images = torch.rand(count, channels, height, width, device=device)
    return to_channels_last(model.to(device)), images.to(memory_format=torch.channels_last)


def _step(
    objective: nn.Module, training: Training, batch: Any, device: torch.device
) -> Callable[[], None]:
    """One training step, as `modelswitch.training.loop` takes it."""
    optimizer = make_optimizer(objective, training)
    dtype = precision.dtype_for(training.precision, device)

    def step() -> None:
        with precision.autocast(device, dtype):
            terms = objective(batch)
        terms["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        terms["loss"].item()

    return step


def _seconds_per_call(call: Callable[[], None]) -> float:
    """Mean time of a call, after two that warm up, over at least three and about 0.6 s."""
    for _ in range(2):
        call()
    calls, start = 0, time.perf_counter()
    while calls < 3 or time.perf_counter() - start < _SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def pick_device(gpus: int) -> torch.device:
    """The GPU that this process may see, if trainings ask for one, else the processor."""
    return torch.device("cuda" if gpus and torch.cuda.is_available() else "cpu")
