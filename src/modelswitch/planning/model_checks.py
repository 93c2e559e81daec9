"""Whether the models of an experiment can do what its jobs ask of them, tried on two images.

Every model is built, answers, takes a step of training, is loaded from what its file would hold,
and is hinted where a transfer asks for that: what a job would find out after its first epoch, or
its last, is told before anything is trained.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from modelswitch.config.experiment import Experiment
from modelswitch.config.losses import ImportedLoss, Loss
from modelswitch.config.models import OWN_FAMILIES
from modelswitch.config.origin import Family
from modelswitch.config.training import Training
from modelswitch.config.transfer import Hint, LayerPair, Quantise, Transfer
from modelswitch.config.weighting import ImportedWeighting
from modelswitch.data.batches import epoch_cuts
from modelswitch.data.shapes import DataSize, sizes_of
from modelswitch.data.views import Batch
from modelswitch.deployment.export import format_of
from modelswitch.errors import UserError, in_one_line, naming
from modelswitch.lineage import Lineage
from modelswitch.models.build import build, give_shapes, to_channels_last
from modelswitch.models.cost import check_logits
from modelswitch.models.designs import Designs
from modelswitch.models.given import given
from modelswitch.models.kept import check_kept
from modelswitch.models.memory import Footprint, LiveMemory, answering_bytes
from modelswitch.models.quantised import quantised
from modelswitch.planning.memory import Needs
from modelswitch.planning.speed import with_hints
from modelswitch.randomness import seeded
from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer, set_rate
from modelswitch.transfer.hints import HintPretraining, hint_parts
from modelswitch.transfer.labels import CrossEntropy
from modelswitch.transfer.output_losses.registry import output_loss_for
from modelswitch.transfer.teachers import LiveTeacher
from modelswitch.transfer.weighting import Balance, Samples, rule_for

# Bytes of weights from which a model is tried without values: on a machine where people only log in
# there may be no room for its gradients.
_LARGE = 300e6
# The first steps of a training may be as small, and two images say nothing about its peak.
_RATE = 1e-3


def check_models(experiment: Experiment) -> dict[str, Any]:
    """What the jobs need of memory, in megabytes: of `data`, and by data set and lineage of
    `models`; of a GPU's what trainings need, by rule; nothing where that is unknown before a
    download.

    Raises:
        UserError: for the first model, weighting rule, loss or hint that does not work.
    """
    # For two images, sharing the work costs more than it saves; the more so beside a training.
    torch.set_num_threads(1)
    for name, transfer in experiment.all_transfers.items():
        if isinstance(transfer.weighting, ImportedWeighting):
            with naming(f"transfers.{name}.weighting"):
                _try_rule(transfer, transfer.weighting)
        if isinstance(transfer.loss, ImportedLoss):
            with naming(f"transfers.{name}.loss"):
                output_loss_for(transfer.loss)
    sizes = {name: size for name, size in sizes_of(experiment.data).items() if size is not None}
    footprints: dict[tuple[str, str], Footprint] = {}
    for dataset, size in sizes.items():
        trial = _Trial(experiment, size)
        for design, lineage in experiment.designs.items():
            # What is wrong with a design itself, this names.
            trial.designs.of(design)
            with naming(f"models.{lineage.last.model}"):
                footprints[dataset, design] = trial.model(design)
        trial.switches()
    for name in experiment.deploy.formats if experiment.deploy else ():
        format_of(name)
    if len(sizes) < len(experiment.datasets):
        # Whether models suit images that nobody has seen is told by the trainings.
        return {}
    needs = Needs(experiment, sizes, footprints)
    return {"data": needs.of_data(), "models": needs.of_lineages(), "gpu": needs.on_gpu()}


class _Trial:
    """Models of an experiment on two random images of one data set."""

    def __init__(self, experiment: Experiment, size: DataSize) -> None:
        self._experiment, self._size = experiment, size
        _check_class_weights(experiment, size.classes)
        if experiment.deploy is not None:
            experiment.deploy.check_calibration(size.classes)
        self.designs = Designs(experiment, size.shape, size.classes)
        self._steps = sorted({lineage.last for lineage in experiment.all_lineages}, key=str)

    def _batch(self, images: int = 2) -> Batch:
        height, width, channels = self._size.shape
        labels = torch.arange(images) % self._size.classes
        pixels = torch.randn(images, channels, height, width)
        pixels = pixels.to(memory_format=torch.channels_last)
        return Batch(pixels, labels, torch.arange(images), None)

    def _trainings(self, model: str) -> list[Training]:
        """How a model is trained, in every step that it is of; nowhere if it is taken as it is."""
        experiment = self._experiment
        if model in experiment.adopted:
            return []
        own = [step for step in self._steps if step.model == model]
        found = [experiment.training_of(step) for step in own]
        for step in own:
            if step.transfer and experiment.all_transfers[step.transfer].hint is not None:
                found.append(experiment.hint_training_of(step))
        return found

    def _new(self, design: str, seed: int = 0) -> nn.Module:
        """A fresh model, as trainings build it."""
        architecture = self.designs.of(design)
        with seeded(seed):
            model = build(architecture, self._size.shape[2], self._size.classes)
            give_shapes(model, self._size.shape)
        return to_channels_last(model)

    def model(self, design: str) -> Footprint:
        """Try all that trainings and evaluations do with a model; raises `UserError`."""
        name = self._experiment.designs[design].last.model
        trainings = self._trainings(name)
        spec = self._experiment.all_models[name]
        if isinstance(spec, Family) and spec.weights is not None:
            given(spec, self.designs.images)
        model = self._new(design)
        if _bytes(model) > _LARGE:
            try:
                with torch.device("meta"):
                    return self._passes(self._new(design), trainings)
            except Exception:
                # What a model says to tensors without values may be no fault of it.
                return self._passes(model, trainings)
        found = self._passes(model, trainings)
        if trainings and not isinstance(self.designs.of(design), OWN_FAMILIES):
            batch = self._batch()
            with in_one_line("cannot be trained and kept"):
                check_kept(lambda seed: self._new(design, seed), 0, batch.images, batch.labels)
        return found

    def _passes(self, model: nn.Module, trainings: list[Training]) -> Footprint:
        shown = "x".join(map(str, self._size.shape))
        batch = self._batch()
        with in_one_line(f"cannot run on images of {shown}"), torch.inference_mode():
            for count in (1, 2):
                answer = model.eval()(batch.images[:count].clone())
                check_logits(answer, count, self._size.classes)
                if not answer.is_meta and not torch.isfinite(answer).all():
                    raise UserError("answers with logits that are no numbers, though untrained")
            fixed, each = answering_bytes(model, batch.images[:1])
        if not trainings:
            return Footprint(_bytes(model), 0, fixed, each)
        with in_one_line(f"cannot be trained on images of {shown}"):
            with LiveMemory() as held:
                answer = model.train()(batch.images.clone())
                self._check_in_training(answer)
                kept = held.now
            for training in {t.precision: t for t in trainings}.values():
                _take_step(CrossEntropy(model), batch, training)
        if any(self._smallest_batch(training.batch) == 1 for training in trainings):
            with in_one_line("training.batch: cannot be trained on a batch of one image"):
                _take_step(CrossEntropy(model), self._batch(1), trainings[0])
        return Footprint(_bytes(model), kept // 2, fixed, each)

    def _check_in_training(self, answer: object) -> None:
        with naming("in training"):
            if isinstance(answer, tuple | list | dict):
                raise UserError(
                    f"returns {type(answer).__name__}, expected a tensor of logits; a model with "
                    "auxiliary outputs has to leave them out, e.g. arguments: {aux_logits: false}"
                )
            check_logits(answer, 2, self._size.classes)

    def _smallest_batch(self, batch: int) -> int:
        """Images of the smallest batch that there can be: how many there are is known about."""
        if batch <= 2:
            return 1
        return self._smallest_cut(batch)

    def _smallest_cut(self, batch: int) -> int:
        images = self._size.to_train(self._experiment.data.validation)
        cuts = epoch_cuts(max(images, 1), batch)
        return min(after - before for before, after in itertools.pairwise(cuts))

    def switches(self) -> None:
        """Look whether losses have what they need, and take a step of every kind of hint between
        every two models; raises `UserError`."""
        experiment, seen = self._experiment, set()
        tried_quantised: set[str] = set()
        for lineage in experiment.all_lineages:
            step, parent = lineage.last, lineage.parent
            if step.transfer is None or parent is None:
                continue
            transfer = experiment.all_transfers[step.transfer]
            with naming(f"transfers.{step.transfer}.loss"):
                self._has_enough(transfer.separated.loss, experiment.training_of(step))
            if transfer.quantise is not None:
                design = experiment.design(parent)
                if design not in tried_quantised:
                    tried_quantised.add(design)
                    with naming(f"transfers.{step.transfer}.quantise: {parent.last.model}"):
                        self._quantise(design, transfer.quantise, experiment.training_of(step))
            for key, hints in _kinds_of_hints(transfer):
                where = f"transfers.{step.transfer}.{key}"
                for hint in hints:
                    with naming(where):
                        self._has_enough(hint.loss, experiment.training_of(step))
                pair = experiment.design(lineage), experiment.design(parent)
                tried = (key, tuple(map(str, hints)), *pair)
                if tried not in seen:
                    seen.add(tried)
                    with naming(where):
                        self._hint(key, hints, lineage, parent)

    def _has_enough(self, loss: Loss, training: Training) -> None:
        """Raise `UserError` where the classes or the smallest batch leave a loss nothing to do."""
        classes, batch = self._size.classes, self._smallest_cut(training.batch)
        name = getattr(loss, "name", "")
        if classes < loss.fewest_classes:
            raise UserError(
                f"{name!r} has nothing to compare in {classes} classes; "
                f"it needs at least {loss.fewest_classes}"
            )
        if batch < loss.smallest_batch:
            raise UserError(
                f"{name!r} compares the images of a batch with each other, and training.batch: "
                f"{training.batch} makes batches of {batch}; it needs at least "
                f"{loss.smallest_batch} images in each"
            )

    def _quantise(self, design: str, quantise: Quantise, training: Training) -> None:
        model, batch, shape = self._new(design), self._batch(), self._size.shape
        if _bytes(model) > _LARGE:
            return
        spec = self.designs.of(design)
        network = quantised(spec, model, shape, quantise.weight_bits, batch.images).network
        with in_one_line("cannot take a step of training"):
            _take_step(CrossEntropy(network), batch, training)

    def _hint(
        self, key: str, hints: Sequence[LayerPair], student: Lineage, teacher: Lineage
    ) -> None:
        """Take a step with hints, all of them beside the outputs or one before them."""
        step, design = student.last, self._experiment.design
        names = f"student {step.model}", f"teacher {teacher.last.model}"
        own, above = self._new(design(student)), self._new(design(teacher))
        batch, guide = self._batch(), LiveTeacher(above.requires_grad_(False), names[1])
        example = batch.images[:1]
        parts = [hint_parts(hint, own, above, example, names) for hint in hints]
        if _bytes(own) + _bytes(above) > _LARGE:
            return
        pretrains = isinstance(hints[0], Hint) and hints[0].mode == "pretrain"
        if pretrains:
            objective: nn.Module = HintPretraining(own, guide, parts[0], names[0])
        else:
            objective = with_hints(own, guide, hints, parts)
        of_step = self._experiment.hint_training_of if pretrains else self._experiment.training_of
        with in_one_line("cannot take a step of training"):
            _take_step(objective, batch, of_step(step))


def _check_class_weights(experiment: Experiment, classes: int) -> None:
    """Raise `UserError` where classes have a factor of their own and not all of them have one."""
    for step in {step for end in experiment.lineages.values() for step in end.steps}:
        given = experiment.training_of(step).class_weights
        if isinstance(given, dict) and len(given) != classes:
            raise UserError(
                f"training of {step}: class_weights: found {len(given)} classes, the data has "
                f"{classes}; each needs a factor"
            )


def _kinds_of_hints(transfer: Transfer) -> Iterator[tuple[str, Sequence[LayerPair]]]:
    """The hints that are trained together, by the key that tells of them."""
    hint = transfer.hint
    if hint is not None and hint.mode == "pretrain":
        yield "hint", [hint]
    if transfer.joint_hints:
        yield "hints" if transfer.hints else "hint", transfer.joint_hints


def _bytes(model: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def _take_step(objective: nn.Module, batch: Batch, training: Training) -> None:
    """One step as the loop of trainings takes it; raises `UserError` if its loss is no number."""
    cpu = torch.device("cpu")
    with precision.autocast(cpu, precision.dtype_for(training.precision, cpu)):
        terms = objective.train()(batch)
    loss = terms["loss"]
    loss.backward()
    if loss.is_meta:
        # What torch's optimisers run in one piece, they do not pretend to.
        return
    wrong = {name: value.item() for name, value in terms.items() if not torch.isfinite(value)}
    if wrong:
        # The sum is none because its parts are.
        name = next((name for name in wrong if name != "loss"), "loss")
        raise UserError(f"the {name} of its first step is {wrong[name]}")
    optimizer = make_optimizer(objective, training)
    set_rate(optimizer, _RATE)
    optimizer.step()
    optimizer.zero_grad()


def _try_rule(transfer: Transfer, weighting: ImportedWeighting) -> None:
    """Call a user's own rule on a few samples, before a teacher has been trained for it."""
    path = weighting.path
    logits = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    student, teacher = logits[0].clone().requires_grad_(), logits[1]
    samples = Samples(student, teacher, torch.arange(8) % 3, transfer.soft, transfer.temperature, 0)
    with in_one_line(f"{path}: fails on a small batch"):
        balance = rule_for(weighting)(samples)
        tensors = {part: getattr(balance, part) for part in Balance._fields}
        shapes = {part: tuple(tensor.shape) for part, tensor in tensors.items()}
    for part, shape in shapes.items():
        if shape != (8,):
            raise UserError(f"{path}: {part} has shape {list(shape)}, expected one value a sample")
        if not torch.isfinite(tensors[part]).all():
            raise UserError(f"{path}: {part} is not finite on a small batch")
    for part in ("soft_weight", "hard_weight"):
        if tensors[part].requires_grad:
            raise UserError(f"{path}: {part} has a gradient; detach it from the student's logits")
