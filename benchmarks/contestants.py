"""The project's own side of the comparisons: its session, views, objective and loop, paced."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from modelswitch.config.data import Augmentation
from modelswitch.config.job import Job, Teacher
from modelswitch.config.models import ModelSpec, PlainModel, ResnetModel
from modelswitch.config.training import Training
from modelswitch.config.transfer import Hint, Transfer
from modelswitch.jobs.fit import fit
from modelswitch.jobs.session import Session
from modelswitch.storage import artifacts
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.labels import CrossEntropy
from modelswitch.transfer.teachers import LiveTeacher, StoredResponses
from modelswitch.transfer.weighting import rule_for

RESNET20 = ResnetModel(family="resnet", widths=[16, 32, 64], blocks=[3, 3, 3])
RESNET56 = ResnetModel(family="resnet", widths=[16, 32, 64], blocks=[9, 9, 9])
# About 70 thousand parameters in 22 layers.
SMALL = ResnetModel(family="resnet", widths=[16, 16, 32], blocks=[4, 4, 2])
# About a million parameters.
LARGE = PlainModel(family="plain", stages=[[64, 64], [128, 128], [256, 256]])
BATCH = 128
VIEWS = 8

Wrap = Callable[[Any, int], Iterable[Any]]


class _Wrapped:
    """Views whose batches pass through ``wrap``; everything else of them as it is."""

    def __init__(self, views: Any, wrap: Wrap) -> None:
        self._views, self._wrap = views, wrap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._views, name)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Any]:
        yield from self._wrap(self._views.epoch(epoch, skip), self._views.steps)


class Session(Session):
    """A training job's session whose batches pass through ``wrap``."""

    wrap: Wrap | None = None

    def views(self, stage: str, training: Training) -> Any:
        views = super().views(stage, training)
        return views if self.wrap is None else _Wrapped(views, self.wrap)

    def untrained(self, model: ModelSpec) -> torch.nn.Module:
        """Another model than the job's, on its device."""
        return self._build(model, self.seed("weights"))


def session(
    data: Path,
    model: ModelSpec,
    *,
    precision: str = "auto",
    teacher: ModelSpec | None = None,
    stored: bool = False,
    hint: bool = False,
    epochs: int = 100,
    threads: int = 1,
    validation: float = 0.1,
    batch: int = BATCH,
    device: str = "cpu",
) -> Session:
    """The session of a first model, or of a student of ``teacher``."""
    transfer, teachers, lineage = None, [], "first"
    if teacher is not None:
        lineage = "first/student@kd"
        transfer = Transfer(
            soft=0.9,
            temperature=4,
            views="stored" if stored else "live",
            hint=Hint(mode="joint") if hint else None,
        )
        teachers = [Teacher(lineage="first", model=teacher, digest="")]
    job = Job(
        dataset="cifar10",
        branch="seed0",
        lineage=lineage,
        model=model,
        training=Training(
            epochs=epochs, warmup=min(1.0, epochs / 2), batch=batch, precision=precision
        ),
        augmentation=Augmentation(),
        validation=validation,
        transfer=transfer,
        teachers=teachers,
        stored_views=VIEWS if stored else 0,
    )
    return Session(job, str(data), threads, device)


def responses(here: Session, path: Path) -> StoredResponses:
    """Random responses of the right shape: how fast they are read does not depend on them."""
    classes, count = here.data.num_classes, len(here.train_index)
    logits = torch.randn(VIEWS, count, classes, generator=torch.Generator().manual_seed(0))
    artifacts.save(path, {"logits": logits.half()}, {"kind": "responses"})
    return StoredResponses(artifacts.MappedTensor(path, "logits"), here.device)


def objective(here: Session, scratch: Path) -> torch.nn.Module:
    """What the session's job minimises, with a fresh student and a teacher that is untrained."""
    student = here.new_model()
    if here.job.transfer is None:
        return CrossEntropy(student)
    transfer = here.job.transfer.separated
    if here.job.stored_views:
        guide = responses(here, scratch / "responses.safetensors")
    teacher = None
    if not here.job.stored_views or transfer.joint_hints:
        teacher = LiveTeacher(
            here.untrained(here.job.teachers[0].model).eval().requires_grad_(False)
        )
    rule = rule_for(transfer.weighting)
    distillation = Distillation(
        student,
        [guide if here.job.stored_views else teacher],
        rule,
        soft=transfer.soft,
        temperature=transfer.temperature,
    )
    if not transfer.joint_hints:
        return distillation
    names = ("student", "teacher")
    hints = [
        WeightedHint.of(
            pair,
            hint_parts(pair, student, teacher.model, here.example(), names),
            here.job.training.epochs,
        )
        for pair in transfer.joint_hints
    ]
    return JointTransfer(distillation, teacher, hints)


def settled(device: torch.device) -> Callable[[], None]:
    """What waits until a device has done all that it was told to."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def serve(here: Session, trained: torch.nn.Module) -> None:
    """Train in windows of steps that the standard input asks for."""
    from pacing import Turn, Windows

    turn = Turn(settled(here.device))
    here.wrap = lambda batches, length: Windows(batches, length, turn)
    about = {"student": parameters(trained.student)}
    print(json.dumps(about), flush=True)
    fit(here, trained, trained.student, "train", here.job.training, validates=False)
    sys.exit("the training came to its end before the benchmark did")
