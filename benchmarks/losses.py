"""What each loss adds to a student's own step: resnet20, batch 128, 100 classes, one thread.

The step is that of training on labels alone, without a teacher's pass, which is the harshest
comparison: to a step that a live teacher answers in, a loss adds a smaller share. Losses between
inner layers are given the maps of all three stages, resnet56's on the other side.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from contestants import BATCH, RESNET20, RESNET56
from measure import Part, arguments, finish, note, ratio, take_one_core

from modelswitch.config.transfer import LayerPair, Transfer
from modelswitch.data.views import Batch
from modelswitch.models.build import build, to_channels_last
from modelswitch.models.stages import stages
from modelswitch.models.taps import run_until_all
from modelswitch.training import precision
from modelswitch.transfer.inner_losses.registry import INNER_LOSSES, OVER_STAGES, inner_loss_for
from modelswitch.transfer.labels import CrossEntropy
from modelswitch.transfer.output_losses.registry import OUTPUT_LOSSES, output_loss_for

CLASSES = 100
CPU = torch.device("cpu")


def step(dtype: torch.dtype) -> Callable[[], None]:
    """Forward and backward of a student on labels."""
    student = to_channels_last(build(RESNET20, 3, CLASSES)).train()
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % CLASSES
    objective, batch = CrossEntropy(student), Batch(images, labels, labels, None)

    def taken() -> None:
        with precision.autocast(CPU, dtype):
            loss = objective(batch)["loss"]
        loss.backward()

    return taken


def of_outputs(name: str, dtype: torch.dtype) -> Callable[[], None]:
    loss = output_loss_for(Transfer(loss={"name": name}).loss)
    student, teacher = torch.randn(BATCH, CLASSES, requires_grad=True), torch.randn(BATCH, CLASSES)
    labels = torch.arange(BATCH) % CLASSES

    def taken() -> None:
        with precision.autocast(CPU, dtype):
            value = loss(student, teacher, 4.0, labels).mean()
        value.backward()

    return taken


def of_stages(name: str, dtype: torch.dtype) -> Callable[[], None]:
    features = []
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    for spec in (RESNET20, RESNET56):
        model = to_channels_last(build(spec, 3, CLASSES))
        paths = [layer.path for layer in stages(model, images[:1]).values()]
        with torch.no_grad(), precision.autocast(CPU, dtype):
            found = run_until_all(model, paths, images, "model")
        features.append([found[path] for path in paths])
    students = [maps.requires_grad_() for maps in features[0]]
    loss = inner_loss_for(
        LayerPair(loss={"name": name}).loss,
        *([tuple(maps.shape) for maps in side] for side in features),
    )

    def taken() -> None:
        with precision.autocast(CPU, dtype):
            value = loss(students, features[1])
        value.backward()

    return taken


def seconds(call: Callable[[], None], least: float) -> float:
    """Of one call, over as many as take so long."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def main() -> None:
    args = arguments(__doc__).parse_args()
    take_one_core()
    torch.set_num_threads(1)
    dtype = precision.dtype_for("auto", CPU)
    programs = {"a step": step(dtype)}
    programs |= {name: of_outputs(name, dtype) for name in OUTPUT_LOSSES}
    programs |= {f"{name}, 3 stages": of_stages(name, dtype) for name in INNER_LOSSES | OVER_STAGES}
    for program in programs.values():
        program(), program()
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(2 if args.quick else 5):
        for name, program in programs.items():
            taken[name].append(seconds(program, 0.2 if args.quick else 1.0))
        note(f"round {turn + 1}: a step {1000 * taken['a step'][-1]:.0f} ms")
    bare = [each / 100 for each in taken.pop("a step")]
    figures = [ratio(name, each, bare, unit="%") for name, each in taken.items()]
    said = str(dtype).removeprefix("torch.")
    title = "Losses' own share of a step of resnet20 on labels, batch 128, 1 thread"
    notes = [f"forward and backward, in {said}; a live teacher's pass is not in the step"]
    finish(Part("losses", title, figures, notes, "random numbers"), args.to)


if __name__ == "__main__":
    main()
