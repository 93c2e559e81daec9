"""Whether the models of an experiment can be built, run on its images, and be hinted."""

import torch

from modelswitch import sources
from modelswitch.config import Experiment
from modelswitch.data_specs import DataSpec, EyesData, PairedData, TorchvisionData
from modelswitch.errors import UserError
from modelswitch.hinting import hint_parts
from modelswitch.layers import cut
from modelswitch.lineage import Lineage
from modelswitch.modalities import peek_modalities
from modelswitch.models import build
from modelswitch.profiling import Cost, cost
from modelswitch.specs import ImportedWeighting
from modelswitch.weighting import resolve

# For data whose shape is unknown before it is downloaded: enough to build models and find layers.
_UNKNOWN = ((32, 32, 3), 10)


def shapes_of(spec: DataSpec) -> dict[str, tuple[tuple[int, int, int], int]]:
    """Image shape (H, W, C) and number of classes of every data set, or a stand-in where they are
    unknown; several modalities are a data set each."""
    if isinstance(spec, EyesData | PairedData):
        return peek_modalities(spec)
    if isinstance(spec, TorchvisionData):
        sources.torchvision_dataset(spec.dataset)
    return dict.fromkeys(spec.datasets, sources.peek(spec) or _UNKNOWN)


def shape_of(spec: DataSpec, dataset: str | None = None) -> tuple[tuple[int, int, int], int]:
    """Image shape and number of classes of one data set, the first if none is named."""
    shapes = shapes_of(spec)
    return shapes[dataset or next(iter(shapes))]


def model_costs(experiment: Experiment, dataset: str | None = None) -> dict[str, Cost]:
    """The cost of every model that a chain uses, on the images of one data set (the first if none
    is named); raises `UserError` for one that cannot run."""
    shape, classes = shape_of(experiment.data, dataset)
    used = {step.model for lineage in experiment.lineages.values() for step in lineage.steps}
    result = {}
    for name in sorted(used):
        try:
            result[name] = cost(experiment.models[name], shape, classes)
        except UserError as error:
            raise UserError(f"models.{name}: {error}") from error
    return result


def check_models(experiment: Experiment) -> None:
    """Raise `UserError` for the first model, weighting rule or hint layer that does not work."""
    for name, transfer in experiment.all_transfers.items():
        if isinstance(transfer.weighting, ImportedWeighting):
            try:
                resolve(transfer.weighting)
            except UserError as error:
                raise UserError(f"transfers.{name}.weighting: {error}") from error
    for dataset, (shape, classes) in shapes_of(experiment.data).items():
        model_costs(experiment, dataset)
        _check_hints(experiment, shape, classes)


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
            try:
                parts = hint_parts(hint, *models, example, (student, teacher))
                cut(models[0], parts.student_layer.path, f"student {student}", with_logits=True)
            except UserError as error:
                raise UserError(f"transfers.{transfer}.hint: {error}") from error


def _hinted_pair(experiment: Experiment, lineage: Lineage) -> tuple[str, str, str] | None:
    step = lineage.last
    if step.transfer is None or experiment.all_transfers[step.transfer].hint is None:
        return None
    return step.transfer, step.model, lineage.parent.last.model
