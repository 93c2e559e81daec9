"""Whether the models of an experiment can be built, run on its images, and be hinted."""

import torch

from modelswitch.config.experiment import Experiment
from modelswitch.config.losses import ImportedLoss
from modelswitch.config.transfer import Transfer
from modelswitch.config.weighting import ImportedWeighting
from modelswitch.data.shapes import shapes_of
from modelswitch.errors import UserError, in_one_line, naming
from modelswitch.lineage import Lineage
from modelswitch.models.build import build
from modelswitch.models.cost import check_logits
from modelswitch.transfer.hints import hint_parts
from modelswitch.transfer.output_losses.registry import output_loss_for
from modelswitch.transfer.weighting import Balance, Samples, rule_for


def check_models(experiment: Experiment) -> None:
    """Raise `UserError` for the first model, weighting rule or hint layer that does not work."""
    # For one image, sharing the work costs more than it saves; the more so beside a training.
    torch.set_num_threads(1)
    for name, transfer in experiment.all_transfers.items():
        if isinstance(transfer.weighting, ImportedWeighting):
            with naming(f"transfers.{name}.weighting"):
                _try_rule(transfer)
        if isinstance(transfer.loss, ImportedLoss):
            with naming(f"transfers.{name}.loss"):
                output_loss_for(transfer.loss)
    for known in shapes_of(experiment.data).values():
        if known is None:
            # Whether models suit images that nobody has seen is told by the trainings.
            continue
        shape, classes = known
        for name in experiment.used_models:
            with naming(f"models.{name}"):
                model = build(experiment.models[name], shape[2], classes).eval()
                with in_one_line(f"cannot run on images of {'x'.join(map(str, shape))}"):
                    with torch.no_grad():
                        logits = model(torch.zeros(1, shape[2], *shape[:2]))
                    check_logits(logits, 1, classes)
        _check_hints(experiment, shape, classes)


def _try_rule(transfer: Transfer) -> None:
    """Call a user's own rule on a few samples, before a teacher has been trained for it."""
    path = transfer.weighting.path
    logits = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    student, teacher = logits[0].clone().requires_grad_(), logits[1]
    samples = Samples(student, teacher, torch.arange(8) % 3, transfer.soft, transfer.temperature, 0)
    rule = rule_for(transfer.weighting)
    try:
        balance = rule(samples)
        tensors = {part: getattr(balance, part) for part in Balance._fields}
        shapes = {part: tuple(tensor.shape) for part, tensor in tensors.items()}
    except Exception as error:
        # Whatever a user's code raises is a mistake in it, to be told in a line.
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: fails on a small batch ({reason})") from error
    for part, shape in shapes.items():
        if shape != (8,):
            raise UserError(f"{path}: {part} has shape {list(shape)}, expected one value a sample")
        if not torch.isfinite(tensors[part]).all():
            raise UserError(f"{path}: {part} is not finite on a small batch")
    for part in ("soft_weight", "hard_weight"):
        if tensors[part].requires_grad:
            raise UserError(f"{path}: {part} has a gradient; detach it from the student's logits")


def _check_hints(experiment: Experiment, shape: tuple[int, int, int], classes: int) -> None:
    example = torch.zeros(1, shape[2], shape[0], shape[1])
    seen = set()
    for lineage in experiment.lineages.values():
        for end in (lineage, *lineage.ancestors()):
            pair = _hinted_pair(experiment, end)
            if pair is None or pair in seen:
                continue
            seen.add(pair)
            transfer, student, teacher = pair
            hint = experiment.all_transfers[transfer].hint
            models = [
                build(experiment.models[name], shape[2], classes) for name in (student, teacher)
            ]
            with naming(f"transfers.{transfer}.hint"):
                names = f"student {student}", f"teacher {teacher}"
                hint_parts(hint, models[0], models[1], example, names)


def _hinted_pair(experiment: Experiment, lineage: Lineage) -> tuple[str, str, str] | None:
    step = lineage.last
    if step.transfer is None or experiment.all_transfers[step.transfer].hint is None:
        return None
    return step.transfer, step.model, lineage.parent.last.model
