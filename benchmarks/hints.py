"""A step with a hint beside the outputs: against one without, and against the bare computation.

Both networks are built of blocks in a row, so that the bare step needs no hooks: it runs the blocks
up to the layer, keeps what they gave, and runs the rest. Losses and their settings are the same.
The three take turns in one process on one core; processor time counts, for there is one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from contestants import BATCH, RESNET20, SMALL
from measure import Figure, Part, arguments, finish, note, ratio, take_one_core
from torch import nn

from modelswitch.config.transfer import Hint
from modelswitch.config.weighting import FixedWeighting
from modelswitch.data.views import Batch
from modelswitch.models.build import build, to_channels_last
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.hints import JointTransfer, WeightedHint, hint_parts
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import rule_for

CLASSES, STEPS = 10, 2
HINT = Hint(mode="joint")
Step = Callable[[Batch], torch.Tensor]  # the loss of a batch


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    """A student and its teacher."""
    torch.manual_seed(0)
    student, teacher = (to_channels_last(build(spec, 3, CLASSES)) for spec in (SMALL, RESNET20))
    assert isinstance(student, nn.Sequential)
    assert isinstance(teacher, nn.Sequential)
    return student.train(), teacher.eval().requires_grad_(False)


def distillation(student: nn.Module, guide: Callable[[Batch], torch.Tensor]) -> Distillation:
    rule = rule_for(FixedWeighting())
    return Distillation(student, [guide], rule, soft=0.9, temperature=4.0)


def without() -> Step:
    student, teacher = networks()
    step = distillation(student, LiveTeacher(teacher)).train()
    return lambda batch: step(batch)["loss"]


def hinted() -> Step:
    student, teacher = networks()
    live = LiveTeacher(teacher)
    parts = hint_parts(HINT, student, teacher, torch.rand(1, 3, 32, 32), ("student", "teacher"))
    hint = WeightedHint(parts, lambda epoch: 1.0)
    step = JointTransfer(distillation(student, live), live, [hint]).train()
    return lambda batch: step(batch)["loss"]


def bare() -> Step:
    student, teacher = networks()
    parts = hint_parts(HINT, student, teacher, torch.rand(1, 3, 32, 32), ("student", "teacher"))
    [own], [above] = parts.student_layers, parts.teacher_layers
    answered: dict[str, torch.Tensor] = {}
    outputs = distillation(student, lambda batch: answered["teacher"])

    def step(batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            features, answered["teacher"] = halves(teacher, above.path, batch.images)
        guided, logits = halves(student, own.path, batch.images)
        loss = outputs.output_loss(logits.float(), batch)["loss"]
        return loss + parts.between({own.path: guided}, {above.path: features})

    return step


def halves(
    model: nn.Sequential, path: str, images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the block of that name gives, and the answer."""
    end = [name for name, _ in model.named_children()].index(path) + 1
    features = model[:end](images)
    return features, model[end:](features)


WAYS = {"without a hint": without, "with a joint hint": hinted, "with it, bare": bare}


def seconds(step: Step, batch: Batch, steps: int = STEPS) -> float:
    start = time.process_time()
    for _ in range(steps):
        step(batch).backward()
    return time.process_time() - start


def main() -> None:
    args = arguments(__doc__).parse_args()
    take_one_core()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, 3, 32, 32, generator=generator)
    labels = torch.arange(BATCH) % CLASSES
    batch = Batch(images.to(memory_format=torch.channels_last), labels, torch.arange(BATCH), None)
    steps = {name: make() for name, make in WAYS.items()}
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for step in steps.values():
        seconds(step, batch, 2)
    rounds = 3 if args.quick else 7
    for turn in range(rounds):
        for name, step in steps.items():
            found[name].append(BATCH * STEPS / seconds(step, batch))
        said = "  ".join(f"{rates[-1]:.0f}" for rates in found.values())
        note(f"round {turn + 1}/{rounds}: {said} images/s")
    rate = partial(ratio, unit="×")
    plain, tapped, floor = found.values()
    taps = [100 * (1 - one / other) for one, other in zip(tapped, floor, strict=True)]
    figures = [
        rate("with a joint hint / without", tapped, plain),
        Figure.of("share of the time for tapping, against bare", taps, "%"),
        *(Figure.of(name, rates, "images/s") for name, rates in found.items()),
    ]
    notes = ["forward and backward in float32, teacher live; in turns on one core"]
    title = f"A step with a hint, batch {BATCH}, 1 thread"
    finish(Part("hints", title, figures, notes, "random images"), args.to)


if __name__ == "__main__":
    main()
